"""Measure what converting the same images costs from class folders, a tar, zips and Parquet, in one run.

    python tools/benchmark_layouts.py ../shared/data/imagenet-sample

The images are those of `benchmark_shard.py`. CPU and wall time per image are slopes between few and many images, which
excludes listing and start-up; every figure is a median, and ratios are medians of the paired runs. The target for
Parquet is 1.15 x class folders.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import statistics
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
from benchmark_shard import QUALITY, make_images
from process_cost import run, slope
from pyarrow import parquet

# Hugging Face writes ImageNet in row groups of 100; pyarrow's users often take 1,000.
GROUP_ROWS, LARGE_GROUP_ROWS = 100, 1000
# Images of the short run: one shard.
FEW = 1000


def make_sources(folders: Path, scratch: Path) -> dict[str, Path]:
    """Write the images of class folders in every other container."""
    files = sorted(folders.glob("*/*"))
    names = [f"{path.parent.name}/{path.name}" for path in files]
    with tarfile.open(scratch / "images.tar", "w") as archive:
        for path, name in zip(files, names, strict=True):
            archive.add(path, name)
    sources = {"class folders": folders, "tar": scratch / "images.tar"}
    for title, method in (("zip, stored", zipfile.ZIP_STORED), ("zip, deflated", zipfile.ZIP_DEFLATED)):
        sources[title] = scratch / f"{method}.zip"
        with zipfile.ZipFile(sources[title], "w", method) as archive_zip:
            for path, name in zip(files, names, strict=True):
                archive_zip.write(path, name)
    labels = {name: label for label, name in enumerate(sorted({path.parent.name for path in files}))}
    image = pa.StructArray.from_arrays(
        [pa.array([path.read_bytes() for path in files]), pa.array([path.name for path in files])], ["bytes", "path"]
    )
    table = pa.table({"image": image, "label": pa.array([labels[path.parent.name] for path in files], pa.int64())})
    for rows in (GROUP_ROWS, LARGE_GROUP_ROWS):
        title = f"Parquet, row groups of {rows:,}"
        sources[title] = scratch / str(rows)
        (sources[title] / "data").mkdir(parents=True)
        parquet.write_table(table, sources[title] / "data/train-00000-of-00001.parquet", row_group_size=rows)
    return sources


def shard(source: Path, out: Path, limit: int) -> tuple[float, float, int]:
    """Cost of a run over the first images of the order."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(source), str(out), "--method", "lanczos"]
    options = ["--quality", str(QUALITY), "--workers", "1", "--limit", str(limit)]
    return run([*command, *options])


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder of class folders with images to cut from")
    parser.add_argument("--images", type=int, default=3000, help="number of images")
    parser.add_argument("--repeats", type=int, default=5, help="number of paired runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        make_images(given.source, scratch / "folders", given.images)
        sources = make_sources(scratch / "folders", scratch)
        cost: dict[str, list[tuple[float, float, int]]] = {title: [] for title in sources}
        for _ in range(given.repeats):
            for title, source in sources.items():
                cost[title].append(
                    slope(lambda limit, source=source: shard(source, scratch / "out", limit), FEW, given.images)
                )
    plain = cost["class folders"]
    print(f"# benchmark_layouts, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"`python tools/benchmark_layouts.py {given.source} --images {given.images} --repeats {given.repeats}`\n")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, pyarrow {pa.__version__}\n"
    )
    print("| source | CPU ms an image | x folders | wall ms an image | x folders | largest process MB |")
    print("|---|---|---|---|---|---|")
    for title, runs in cost.items():
        ratios = [statistics.median(a[i] / b[i] for a, b in zip(runs, plain, strict=True)) for i in (0, 1)]
        cpu, wall, memory = (statistics.median(each[i] for each in runs) for i in range(3))
        print(f"| {title} | {cpu:.3f} | {ratios[0]:.2f} | {wall:.3f} | {ratios[1]:.2f} | {memory * 1024 / 1e6:.0f} |")


if __name__ == "__main__":
    main()
