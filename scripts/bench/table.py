#!/usr/bin/env python3
"""Makes Markdown of the bench's raw figures: table.py RESULTS.tsv [RESULTS.md]

With a page, the sections between `<!-- bench -->` and `<!-- /bench -->` in it are replaced by those of the same heading; parts
that were not run keep their figures.
"""

import collections
import contextlib
import io
import re
import statistics
import sys

NAMES = {
    "bundle": "**bundle**", "limit": "*limit: curl, openssl*",
    "limit_patch": "*the same, uploads as here: POST, PATCH, PUT*", "skopeo_debian": "skopeo 1.9.3, tar, zstd",
    "skopeo": "skopeo 1.19.0, tar, zstd", "crane": "crane 0.22.1, tar, zstd", "regctl": "regctl 0.11.7, tar, zstd",
    "imgpkg": "imgpkg 0.46.1, zstd", "zarf": "zarf 0.65.0 (amd64 only)",
}
WALL, CPU, LARGEST, TREE, DISK, WIRE = range(6)

runs = collections.defaultdict(dict)  # (part, workflow) -> round -> figures
facts = {}
for line in open(sys.argv[1]):
    fields = line.rstrip("\n").split("\t")
    if fields[0] == "fact":
        facts[fields[1], fields[2]] = fields[3]
    else:
        runs[fields[0], fields[2]][fields[1]] = [float(field) for field in fields[3:]]


def median(part, name, column):
    return statistics.median(row[column] for row in runs[part, name].values())


def spread(part, name):
    walls = sorted(row[WALL] for row in runs[part, name].values())
    if len(walls) < 4:
        return f"{walls[0]:.2f}–{walls[-1]:.2f}"
    low, _, high = statistics.quantiles(walls, n=4)
    return f"{low:.2f}–{high:.2f}"


def ratio(part, one, other, column=WALL):
    """The median of the rounds' own ratios, so that what slowed a whole round cancels out."""
    ones, others = runs[part, one], runs[part, other]
    return statistics.median(ones[n][column] / others[n][column] for n in ones if n in others)


def mb(value):
    return f"{value / 1e6:,.0f}"


def mib(kib):
    return f"{kib / 1024:,.0f}"


def phase(part, verb):
    names = [name for name in NAMES if (part, f"{verb}_{name}") in runs]
    ours = f"{verb}_bundle"
    print(f"| {verb} | s (quartiles) | of bundle's | CPU s | memory MiB | disk MiB | wire MB |", end="")
    kept = verb == "import" and (part, "kept_import_bundle") in facts
    print(" names with their digest |" if kept else "")
    print("|---|---|---|---|---|---|---|" + ("---|" if kept else ""))
    for name in names:
        work = f"{verb}_{name}"
        row = [NAMES[name], f"{median(part, work, WALL):.2f} ({spread(part, work)})", f"{ratio(part, work, ours):.2f} ×",
               f"{median(part, work, CPU):.1f}", mib(median(part, work, TREE)), mib(median(part, work, DISK)),
               mb(median(part, work, WIRE))]
        if name.startswith("limit"):
            row[4] = row[5] = ""
        if kept:
            row.append("" if name.startswith("limit") else f"{facts[part, f'kept_{work}'].strip()} of {facts[part, 'images'].strip()}")
        print("| " + " | ".join(row) + " |")
    print()


def head(part):
    print(f"{facts[part, 'machine']}; {facts[part, 'program']}; {facts[part, 'date']}; ", end="")
    print(f"{max(len(rounds) for (p, _), rounds in runs.items() if p == part)} rounds, medians.", end="")


def full(part, title):
    if (part, "export_bundle") not in runs:
        return
    print(f"**{title}**\n")
    head(part)
    print(f" {facts[part, 'images'].strip()} images, {facts[part, 'blobs'].strip()} distinct layers and configs, "
          f"{mb(int(facts[part, 'payload']))} MB ({mb(int(facts[part, 'alone']))} MB if each image were carried alone).\n")
    phase(part, "export")
    phase(part, "import")
    print(f"`verify` takes {median(part, 'verify_bundle', WALL):.2f} s, the hashes alone on all cores "
          f"{median(part, 'verify_limit', WALL):.2f} s (ratio {ratio(part, 'verify_bundle', 'verify_limit'):.2f}). "
          f"Of the limit: export {ratio(part, 'export_bundle', 'export_limit'):.2f}, "
          f"import {ratio(part, 'import_bundle', 'import_limit'):.2f} "
          f"({ratio(part, 'import_bundle', 'import_limit_patch'):.2f} of uploads in the same form); CPU of the export {ratio(part, 'export_bundle', 'export_limit', CPU):.2f}.", end="")
    sizes = [f"{NAMES[name].strip('*').split(' ')[0]} {mb(int(facts[part, f'archive_{name}']))}" for name in NAMES
             if (part, f"archive_{name}") in facts and name != "skopeo_debian"]
    print(f" Archives, MB: {', '.join(sizes)}.\n" if sizes else "\n")


def everything():
    full("a", "Loopback")
    full("tls", "Loopback, TLS on both sides")
    if ("slow", "export_bundle") in runs:
        payload = int(facts["slow", "payload"])
        wire = payload / 25e6
        print("**A link of 50 ms and 200 Mbit/s**\n")
        head("slow")
        print(f" {mb(payload)} MB take {wire:.1f} s of such a link. Export: {median('slow', 'export_bundle', WALL):.1f} s "
              f"({median('slow', 'export_bundle', WALL) / wire:.2f} ×); import: {median('slow', 'import_bundle', WALL):.1f} s "
              f"({median('slow', 'import_bundle', WALL) / wire:.2f} ×).\n")
    if ("b", "export_bundle") in runs:
        print("**Many small images**\n")
        head("b")
        print(" 12 layers each, most of them shared.\n")
        print("| | 200 images, s | 2,000 images, s | per image, of that for 200 | memory MiB |\n|---|---|---|---|---|")
        for name, part, verb in [("export", "", "export_bundle"), ("import", "", "import_bundle"), ("import again", "", "reimport_bundle"),
                                 ("import again, 50 ms away", "-slow", "reimport_bundle")]:
            few, many = median(f"b200{part}", verb, WALL), median(f"b{part}", verb, WALL)
            print(f"| {name} | {few:.2f} | {many:.2f} | {many / few / 10:.2f} | {mib(median(f'b{part}', verb, TREE))} |")
        print(f"\nImporting what is there is {ratio('b', 'import_bundle', 'reimport_bundle'):.0f} times as fast as importing it.\n")
    if ("c", "export_bundle") in runs:
        print("**One layer of 12 GiB**\n")
        head("c")
        print(f" Half of it zeros, half noise. Export {median('c', 'export_bundle', WALL):.0f} s, {mib(median('c', 'export_bundle', TREE))} MiB of memory, "
              f"archive {mb(int(facts['c', 'archive']))} MB; import {median('c', 'import_bundle', WALL):.0f} s, "
              f"{mib(median('c', 'import_bundle', TREE))} MiB.", end="")
        if ("c-resumed", "export_bundle") in runs:
            print(f" Killed after {mb(int(facts['c', 'moved_before_kill']))} MB; the second run moved {mb(median('c-resumed', 'export_bundle', WIRE))} MB.", end="")
        print("\n")


text = io.StringIO()
with contextlib.redirect_stdout(text):
    everything()
text = text.getvalue().rstrip() + "\n"


def sections(text):
    """A text's parts by their headings: the lines that are bold as a whole."""
    parts = re.split(r"^(\*\*[^*\n]+\*\*)$", text, flags=re.M)
    return {heading: body.strip() for heading, body in zip(parts[1::2], parts[2::2])}


if len(sys.argv) > 2:
    with open(sys.argv[2]) as file:
        page = file.read()
    before, begin, rest = page.partition("<!-- bench -->\n")
    there, end, after = rest.partition("<!-- /bench -->")
    if not end:
        sys.exit(f"{sys.argv[2]} has no place for the tables")
    merged = sections(there) | sections(text)
    with open(sys.argv[2], "w") as file:
        file.write(before + begin + "".join(f"\n{heading}\n\n{body}\n" for heading, body in merged.items()) + "\n" + end + after)
print(text, end="")
