#!/usr/bin/env python3
"""What compact bundles save and cost, layer by layer, on the corpus of corpus.sh.

    compact.py BUNDLE CORPUS WORK [--profile compact|max] [--update] [--encoder NAME] [LAYER…]

For each layer of v1 and each encoder of a tool (go6: docker, buildkit; go1: crane; py6: zlib, as jib; pgzip: skopeo itself,
where it is installed): one image with that layer, made compact with `bundle repack`, and made again with `bundle verify`.
With --update, the layer of v2 as zlib encodes it, made compact beside that of v1.
Prints one line for each as JSON: bytes of the layer and of its compact form, seconds of processor time and MiB of memory
of both commands. The last line has the sums.
"""

import argparse
import gzip
import hashlib
import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys

ALL = ["base", "jre", "nginx", "kafka", "zookeeper", "elasticsearch", "hadoop", "spark"]
parser = argparse.ArgumentParser()
parser.add_argument("bundle")
parser.add_argument("corpus", type=pathlib.Path)
parser.add_argument("work", type=pathlib.Path)
parser.add_argument("layers", nargs="*", default=ALL)
parser.add_argument("--profile", default="compact")
parser.add_argument("--update", action="store_true")
parser.add_argument("--encoder", help="only this one")
given = parser.parse_intermixed_args()
BUNDLE, CORPUS, WORK, LAYERS = given.bundle, given.corpus, given.work, given.layers
TYPE = "application/vnd.oci.image.{}"


def layout(folder, layer, compressed):
    """An OCI layout of one image with one layer."""
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": TYPE.format(media_type), "digest": f"sha256:{digest}", "size": len(data)}

    data = layer.read_bytes()
    raw = gzip.decompress(data) if compressed else data
    diff = "sha256:" + hashlib.sha256(raw).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]}}
    kind = "layer.v1.tar+gzip" if compressed else "layer.v1.tar"
    manifest = {
        "schemaVersion": 2,
        "mediaType": TYPE.format("manifest.v1+json"),
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": [put(data, kind)],
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "corpus.example/layer:1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def made(call, *arguments):
    """Calls it in a process of its own: the memory of this one would count as that of the commands."""
    process = multiprocessing.Process(target=call, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("a layer cannot be written")


def measured(*command):
    """Seconds of processor time and MiB of memory of a command, and what it printed."""
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = run.stdout.read()
    why = run.stderr.read().decode()
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {why}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said


def compress(raw, file):
    """The layer as zlib compresses it."""
    file.write_bytes(gzip.compress(raw.read_bytes(), 6))


def encoded(name):
    """Files of the layer as tools compress it, by encoder."""
    if given.update:
        file = WORK / "v2.gz"
        made(compress, CORPUS / "raw/v2" / f"{name}.tar", file)
        yield "py6", file
        return
    for encoder in ("go6", "go1", "py6"):
        yield encoder, CORPUS / "gzip/v1" / f"{name}.{encoder}.gz"
    if shutil.which("skopeo"):
        made(layout, WORK / "raw", CORPUS / "raw/v1" / f"{name}.tar", False)
        out = WORK / "skopeo"
        shutil.rmtree(out, ignore_errors=True)
        source = f"oci:{WORK}/raw:corpus.example/layer:1"
        command = ["skopeo", "copy", "--dest-compress", "--dest-compress-format", "gzip", source, f"dir:{out}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield "pgzip", max(out.iterdir(), key=lambda path: path.stat().st_size)


sums = {"gzip": 0, "held": 0, "export": 0.0, "verify": 0.0, "layers": 0, "recognised": 0}
for name in LAYERS:
    for encoder, file in encoded(name):
        if given.encoder not in (None, encoder):
            continue
        made(layout, WORK / "layout", file, True)
        bundle = WORK / "layer.compact.tar.zst"
        arguments = ["--profile", given.profile, "--force", "--no-sidecar", "-o", str(bundle)]
        bases = []
        if given.update:
            # The base holds the older layer as it is.
            old, base = WORK / "old", WORK / "old.tar.zst"
            made(layout, old, CORPUS / "gzip/v1" / f"{name}.py6.gz", True)
            measured(BUNDLE, "repack", str(old), "--force", "--no-sidecar", "-o", str(base))
            arguments += ["--base", str(base)]
            bases = ["--base", str(base)]
        export, memory, _ = measured(BUNDLE, "repack", str(WORK / "layout"), *arguments)
        verify, memory_verify, _ = measured(BUNDLE, "verify", str(bundle), *bases)
        blobs = json.loads(measured(BUNDLE, "inspect", str(bundle), "--format", "json")[2])["compact"]
        blob = max(blobs, key=lambda blob: blob["size"])
        row = {"layer": name, "encoder": encoder, "gzip": blob["size"], "form": blob["form"], "held": blob["held"]}
        row |= {"export": round(export, 2), "exportMiB": round(memory), "verify": round(verify, 2)}
        row |= {"verifyMiB": round(memory_verify)}
        print(json.dumps(row), flush=True)
        sums["gzip"] += blob["size"]
        sums["held"] += blob["held"]
        sums["export"] += export
        sums["verify"] += verify
        sums["layers"] += 1
        sums["recognised"] += blob["form"] == "compact"
print(json.dumps(sums | {"share": round(sums["held"] / sums["gzip"], 4)}))
