#!/usr/bin/env python3
"""Digests of what stock zlib makes of the inputs that `bin/go1.26 inputs DIR` wrote: zlib.py DIR >zlib.json"""
import hashlib
import json
import pathlib
import sys
import zlib

streams = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    raw = path.read_bytes()
    levels = streams[path.name] = {}
    for level in range(1, 10):
        encoder = zlib.compressobj(level, zlib.DEFLATED, -15)
        whole = encoder.compress(raw) + encoder.flush()
        encoder = zlib.compressobj(level, zlib.DEFLATED, -15)
        half = len(raw) // 2
        flushed = encoder.compress(raw[:half]) + encoder.flush(zlib.Z_SYNC_FLUSH)
        flushed += encoder.compress(raw[half:]) + encoder.flush()
        levels[str(level)] = {
            way: [len(stream), hashlib.sha256(stream).hexdigest()]
            for way, stream in (("whole", whole), ("halves", flushed))
        }
print(json.dumps(streams, indent=1))
