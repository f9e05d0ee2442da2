"""Measure the time and memory that listing and planning ImageNet's train tar takes, with 1,281,167 members.

    python tools/benchmark_scan.py

The tar is made here, nested like the original, with images of one block each. The scan reads only headers, so the sizes
of images matter only for the seeks of a disk.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards import ustar
from alexnet_pipeline.shards.plan import plan_shards

CLASSES = 1000


def make_tar(path: Path, images: int) -> None:
    """Write a train tar of this number of images in 1,000 classes."""
    written = 0
    with path.open("wb") as stream:
        for number in range(CLASSES):
            wnid = f"n{number:08d}"
            count = images // CLASSES + (number < images % CLASSES)
            inner = b"".join(ustar.member(f"{wnid}_{i}.JPEG", b"x") for i in range(count))
            written += stream.write(ustar.member(f"{wnid}.tar", inner + ustar.end_of_archive(len(inner))))
        stream.write(ustar.end_of_archive(written))


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_281_167, help="number of images in the tar")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        make_tar(Path(scratch) / "ILSVRC2012_img_train.tar", given.images)
        cpu, wall = time.process_time(), time.monotonic()
        listing = open_source(Path(scratch)).listings()[0]
        listed = time.monotonic()
        plan = plan_shards(listing, SetOptions())
        plan.digest()
        done = time.monotonic()
        cpu = time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"# benchmark_scan, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"`python tools/benchmark_scan.py --images {given.images}`\n")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| what | s |\n|---|---|")
    print(f"| scan of {len(listing):,} members | {listed - wall:.1f} |")
    print(f"| plan of {plan.shards:,} shards and digest | {done - listed:.1f} |")
    print(f"| CPU of both | {cpu:.1f} |")
    print(f"\nPeak resident memory: {peak_mb:.0f} MB.")


if __name__ == "__main__":
    main()
