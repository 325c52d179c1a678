#!/usr/bin/env python3
"""Writes a tar with one file of GIB gibibytes, of which every other 64 MiB is a hole: big.py FILE GIB. Prints its digest."""

import hashlib
import random
import sys
import tarfile

path, size = sys.argv[1], int(sys.argv[2]) << 30
piece = 64 << 20
dice = random.Random(7)
digest = hashlib.sha256()
entry = tarfile.TarInfo("srv/model.bin")
entry.size = size
with open(path, "wb") as out:
    head = entry.tobuf(tarfile.GNU_FORMAT)
    out.write(head)
    digest.update(head)
    for at in range(0, size, piece):
        if at // piece % 2:
            data = bytes(piece)
            out.seek(piece, 1)
        else:
            data = dice.randbytes(piece)
            out.write(data)
        digest.update(data)
    end = bytes(10240 - out.tell() % 10240 + 10240)
    out.write(end)
    digest.update(end)
print("sha256:" + digest.hexdigest())
