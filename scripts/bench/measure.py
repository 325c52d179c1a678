#!/usr/bin/env python3
"""Runs one workflow and adds a line about it to the raw figures.

    measure.py OUT PART ROUND FOLDER NAME COMMAND…

The line: part, round, name, wall seconds, CPU seconds of the command and all its children, peak memory of the largest
process and of the whole tree (KiB, resident), peak disk in FOLDER beyond what was there before (KiB, allocated), and bytes
over the loopback interface. Memory of the tree and disk are sampled ten times a second, the rest is counted by the kernel.
"""

import os
import sys
import threading
import time


def loopback():
    with open("/proc/net/dev") as lines:
        return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))


def tree(session):
    """Resident KiB of all processes of a session. Pages shared between processes count in each."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += int(fields[21]) * 4
    return total


def disk(folder):
    """Allocated KiB, each inode once."""
    total, seen = 0, set()
    for at, _, files in os.walk(folder):
        for file in files:
            try:
                status = os.lstat(os.path.join(at, file))
            except OSError:
                continue
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_blocks // 2
    return total


def main():
    out, part, number, folder, name, *command = sys.argv[1:]
    os.sync()
    before, moved = disk(folder), loopback()
    most = {"tree": 0, "disk": 0}
    ended = threading.Event()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.execvp(command[0], command)

    def watch():
        while not ended.wait(0.1):
            most["tree"] = max(most["tree"], tree(pid))
            most["disk"] = max(most["disk"], disk(folder))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    moved = loopback() - moved
    ended.set()
    watcher.join()
    most["disk"] = max(most["disk"], disk(folder)) - before
    line = [part, number, name, f"{wall:.3f}", f"{usage.ru_utime + usage.ru_stime:.3f}", usage.ru_maxrss, most["tree"],
            max(most["disk"], 0), moved]
    text = "\t".join(map(str, line))
    code = os.waitstatus_to_exitcode(status)
    if code:
        sys.exit(f"{name} ended with {code}")
    print(text)
    with open(out, "a") as raw:
        print(text, file=raw)


main()
