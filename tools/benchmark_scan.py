"""Measure the time and memory that listing and planning ImageNet's train split takes, in several layouts.

    python tools/benchmark_scan.py

The sources are made here: class folders, nested tars like the original, a zip and Parquet files, with 1,281,167 images
of a few bytes each. Listing reads only names and headers, so the sizes of images matter only for the seeks of a disk.
Each layout is listed in a process of its own, from a warm cache. The floor of a listing in class folders is a walk of
the same folders that asks for the size of every file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards import ustar
from alexnet_pipeline.shards.plan import plan_shards

CLASSES = 1000
# Rows of a row group and of a file, as Hugging Face writes ImageNet.
GROUP_ROWS, FILE_ROWS = 100, 4358


def images_of(images: int) -> Iterator[tuple[str, list[str]]]:
    """The class and the file names of each class."""
    for number in range(CLASSES):
        wnid = f"n{number:08d}"
        yield wnid, [f"{wnid}_{i}.JPEG" for i in range(images // CLASSES + (number < images % CLASSES))]


def make_folders(root: Path, images: int) -> Path:
    """Write class folders of this number of images."""
    for wnid, names in images_of(images):
        (root / wnid).mkdir(parents=True)
        for name in names:
            (root / wnid / name).write_bytes(b"x")
    return root


def make_tar(root: Path, images: int) -> Path:
    """Write a train tar, nested like the original."""
    written = 0
    root.mkdir()
    with (root / "ILSVRC2012_img_train.tar").open("wb") as stream:
        for wnid, names in images_of(images):
            inner = b"".join(ustar.member(name, b"x") for name in names)
            written += stream.write(ustar.member(f"{wnid}.tar", inner + ustar.end_of_archive(len(inner))))
        stream.write(ustar.end_of_archive(written))
    return root


def make_zip(root: Path, images: int) -> Path:
    """Write a zip of class folders."""
    root.mkdir()
    with zipfile.ZipFile(root / "train.zip", "w") as archive:
        for wnid, names in images_of(images):
            for name in names:
                archive.writestr(f"train/{wnid}/{name}", b"x")
    return root / "train.zip"


def make_parquet(root: Path, images: int) -> Path:
    """Write Parquet files with the columns of Hugging Face's ImageNet."""
    import pyarrow as pa
    from pyarrow import parquet

    (root / "data").mkdir(parents=True)
    rows = [(f"{n[:-5]}_{w}.JPEG", label) for label, (w, names) in enumerate(images_of(images)) for n in names]
    files = -(-images // FILE_ROWS)
    for number in range(files):
        part = rows[number * FILE_ROWS : (number + 1) * FILE_ROWS]
        image = pa.StructArray.from_arrays(
            [pa.array([b"x"] * len(part)), pa.array([n for n, _ in part])], ["bytes", "path"]
        )
        table = pa.table({"image": image, "label": pa.array([label for _, label in part], pa.int64())})
        parquet.write_table(table, root / f"data/train-{number:05d}-of-{files:05d}.parquet", row_group_size=GROUP_ROWS)
    return root


MAKERS = {"class folders": make_folders, "nested tars": make_tar, "zip": make_zip, "Parquet": make_parquet}


def measure(path: Path) -> dict[str, float]:
    """List and plan a source in this process."""
    start_mb = peak_mb()
    cpu, wall = time.process_time(), time.monotonic()
    (listing,) = open_source(path).read().listings
    listed, listed_cpu = time.monotonic() - wall, time.process_time() - cpu
    cpu = time.process_time()
    plan = plan_shards(listing, SetOptions())
    ordered_cpu = time.process_time() - cpu
    assert plan.digest
    digest_cpu = time.process_time() - cpu - ordered_cpu
    images = len(listing)
    return {
        "images": images,
        "listing s": listed,
        "listing CPU s": listed_cpu,
        "order us an image": 1e6 * ordered_cpu / images,
        "digest us an image": 1e6 * digest_cpu / images,
        "peak MB": peak_mb(),
        "before it MB": start_mb,
    }


def peak_mb() -> float:
    """The largest resident memory of this process; unlike `getrusage`, without that of its parent before `exec`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def walk(path: Path) -> float:
    """CPU seconds to list all folders and ask for the size of every file."""
    cpu = time.process_time()
    for folder in os.scandir(path):
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat()
    return time.process_time() - cpu


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_281_167, help="number of images")
    parser.add_argument("--layout", action="append", choices=MAKERS, help="only this layout; repeatable")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    rows: list[tuple[str, dict[str, Any]]] = []
    floor = None
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(given.layout or MAKERS):
            path = MAKERS[name](Path(scratch) / str(number), given.images)
            command = [sys.executable, __file__, "--measure", str(path)]
            for _ in range(2):  # the first one warms the cache
                done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append((name, json.loads(done.stdout)))
            if name == "class folders":
                floor = walk(path)
    print(f"# benchmark_scan, {datetime.datetime.now(datetime.UTC).date()}\n")
    print("`" + " ".join(["python", *sys.argv]) + "`\n")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    heads = [head for head in rows[0][1] if head != "images"]
    print(f"| {given.images:,} images | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name, found in rows:
        print(f"| {name} | {' | '.join(f'{found[head]:.3g}' for head in heads)} |")
    if floor:
        print(f"\nThe floor, a walk of the class folders that asks for every size: {floor:.2f} s of CPU.")


if __name__ == "__main__":
    main()
