#!/usr/bin/env python3
"""Writes an OCI layout of COUNT images with 12 small layers each: many.py FOLDER COUNT. Prints the names of the images.

Four layers come from one of 10 bases, four from one of 50 runtimes, three from one of 200 products; one is the image's own.
"""

import gzip
import hashlib
import io
import json
import os
import random
import sys
import tarfile

folder, count = sys.argv[1], int(sys.argv[2])
blobs = os.path.join(folder, "blobs", "sha256")
os.makedirs(blobs)
dice = random.Random(7)


def blob(data):
    name = hashlib.sha256(data).hexdigest()
    with open(os.path.join(blobs, name), "wb") as out:
        out.write(data)
    return {"digest": "sha256:" + name, "size": len(data)}


def layer(size):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("srv/%016x" % dice.getrandbits(64))
        entry.size = size
        archive.addfile(entry, io.BytesIO(dice.randbytes(size)))
    content = tar.getvalue()
    packed = blob(gzip.compress(content, 1, mtime=0))
    packed["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
    return packed, "sha256:" + hashlib.sha256(content).hexdigest()


bases = [[layer(40_000) for _ in range(4)] for _ in range(10)]
runtimes = [[layer(20_000) for _ in range(4)] for _ in range(50)]
products = [[layer(10_000) for _ in range(3)] for _ in range(200)]
manifests = []
for number in range(count):
    layers = bases[number % 10] + runtimes[number % 50] + products[number % 200] + [layer(4_000)]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/srv/%d" % number]},
              "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]}}
    described = blob(json.dumps(config).encode())
    described["mediaType"] = "application/vnd.oci.image.config.v1+json"
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": [packed for packed, _ in layers]}
    described = blob(json.dumps(manifest).encode())
    described["mediaType"] = kind
    name = "many/image-%04d:1" % number
    described["annotations"] = {"org.opencontainers.image.ref.name": "bench.invalid/" + name}
    manifests.append(described)
    print(name)
with open(os.path.join(folder, "oci-layout"), "w") as out:
    out.write('{"imageLayoutVersion":"1.0.0"}')
with open(os.path.join(folder, "index.json"), "w") as out:
    json.dump({"schemaVersion": 2, "manifests": manifests}, out)
