"""Measure a command and all its descendants: CPU and wall seconds, and the memory of the largest process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

# Runs a command below a subreaper and waits for every descendant, so that their CPU time is counted.
MEASURE = """
import ctypes, json, os, resource, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1)
started = time.monotonic()
process = subprocess.Popen(sys.argv[2:])
process.wait()
wall = time.monotonic() - started
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump([usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss], open(sys.argv[1], "w"))
sys.exit(process.returncode)
"""


def run(command: list[str], **variables: str) -> tuple[float, float, int]:
    """Run a command: (CPU s, wall s, largest resident kB of a process), including all its descendants."""
    with tempfile.NamedTemporaryFile("r") as report:
        subprocess.run(
            [sys.executable, "-c", MEASURE, report.name, *command],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | variables,
        )
        cpu, wall, resident = json.load(report)
    return cpu, wall, resident


def slope(measured: Callable[[int], tuple[float, float, int]], few: int, many: int) -> tuple[float, float, int]:
    """(CPU ms per image, wall ms per image, resident kB) of the images beyond `few`, which excludes start-up."""
    less, more = measured(few), measured(many)
    count = many - few
    return (more[0] - less[0]) / count * 1e3, (more[1] - less[1]) / count * 1e3, more[2]
