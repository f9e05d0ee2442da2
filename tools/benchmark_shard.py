"""What sharding costs, as multiples of strict decoding plus encoding, measured in one run on real pictures.

    python tools/benchmark_shard.py ../shared/data/imagenet-sample --images 2000

The pictures are random crops of the given ones, so that sizes do not repeat and no cache of weights flatters.
CPU time per picture is the slope between a short and a long run, so that start-up stays apart; every figure is
the median of the repetitions. The peers run in this environment if they are importable, each as a plain script
would: Pillow-SIMD (or Pillow) with a tar, and img2dataset's own resizer where it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import simplejpeg

QUALITY = 90


def make_pictures(source: Path, target: Path, count: int) -> list[Path]:
    """Random crops of the source's pictures, each of its own size, in class folders."""
    random = np.random.Generator(np.random.PCG64(0))
    originals = sorted(p for p in source.glob("*/*") if p.is_file())
    paths = []
    for number in range(count):
        original = originals[number % len(originals)]
        image = simplejpeg.decode_jpeg(original.read_bytes())
        keep = random.uniform(0.85, 1.0, 2)
        height, width = (max(64, int(side * part)) for side, part in zip(image.shape[:2], keep, strict=True))
        top, left = (
            int(random.integers(0, a - min(a, b) + 1)) for a, b in zip(image.shape, (height, width), strict=False)
        )
        crop = np.ascontiguousarray(image[top : top + height, left : left + width])
        path = target / original.parent.name / f"{original.parent.name}_{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(simplejpeg.encode_jpeg(crop, 92, "RGB", "420"))
        paths.append(path)
    return paths


def floor_ms(paths: list[Path]) -> float:
    """CPU ms a picture of strict decoding plus encoding a 256x256 of it at quality 90."""
    started = time.process_time()
    for path in paths:
        image = simplejpeg.decode_jpeg(path.read_bytes())
        small = np.ascontiguousarray(np.resize(image[: min(256, len(image)), :256], (256, 256, 3)))
        simplejpeg.encode_jpeg(small, QUALITY, "RGB", "420")
    return (time.process_time() - started) / len(paths) * 1e3


def pillow_script(paths: list[Path], target: Path) -> float:
    """CPU ms a picture of a plain Pillow script: open, resize by Lanczos, crop, save, tar."""
    from PIL import Image

    started = time.process_time()
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
        for path in paths:
            image = Image.open(path).convert("RGB")
            scale = 256 / min(image.size)
            size = [max(256, round(side * scale)) for side in image.size]
            image = image.resize(size, Image.Resampling.LANCZOS)
            left, top = (size[0] - 256) // 2, (size[1] - 256) // 2
            buffer = io.BytesIO()
            image.crop((left, top, left + 256, top + 256)).save(buffer, "JPEG", quality=QUALITY)
            for name, data in ((f"{path.stem}.cls", b"0000"), (f"{path.stem}.jpg", buffer.getvalue())):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return (time.process_time() - started) / len(paths) * 1e3


def shard(source: Path, out: Path, methods: tuple[str, ...], workers: int, limit: int) -> tuple[float, float, int]:
    """(CPU s, wall s, largest resident kB of a process) of the whole command."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(source), str(out)]
    command += [word for method in methods for word in ("--method", method)]
    command += ["--quality", str(QUALITY), "--workers", str(workers), "--limit", str(limit)]
    command += ["--shard-size", "125"]
    # The forked workers are grandchildren, so the command reports for its whole process tree.
    with tempfile.NamedTemporaryFile("r") as report:
        subprocess.run(
            ["/usr/bin/env", sys.executable, "-c", MEASURE, report.name, *command],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        cpu, wall, resident = json.load(report)
    return cpu, wall, resident


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


def slope(source: Path, out: Path, methods: tuple[str, ...], workers: int, images: int) -> tuple[float, float, int]:
    """(CPU ms a picture, wall ms a picture, resident kB) without start-up."""
    short = max(1, images // 8)
    few = shard(source, out, methods, workers, short)
    many = shard(source, out, methods, workers, images)
    count = images - short
    return (many[0] - few[0]) / count * 1e3, (many[1] - few[1]) / count * 1e3, many[2]


def measure(source: Path, images: int, repeats: int) -> dict[str, list[float]]:
    """Every figure, repeated in turn, so that a drift of the machine meets all alike."""
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        raw, out = Path(scratch) / "raw", Path(scratch) / "out"
        paths = make_pictures(source, raw, images)
        shard(raw, out, ("lanczos", "nearest", "bilinear", "antialias"), 2, 250)  # compiles
        for _ in range(repeats):
            row = {"floor": floor_ms(paths)}
            row["lanczos, 2 workers"], wall_two, resident = slope(raw, out, ("lanczos",), 2, images)
            row["lanczos, 1 worker"], wall_one, _ = slope(raw, out, ("lanczos",), 1, images)
            row["four methods, 2 workers"], _, _ = slope(
                raw, out, ("lanczos", "nearest", "bilinear", "antialias"), 2, images
            )
            with contextlib.suppress(ImportError):
                row["Pillow script"] = pillow_script(paths, Path(scratch) / "pillow.tar")
            row["wall, 2 workers"], row["wall, 1 worker"] = wall_two, wall_one
            row["efficiency 1 to 2"] = wall_one / wall_two / 2
            row["resident MB"] = resident / 1e3
            for name, value in row.items():
                figures.setdefault(name, []).append(value)
    return figures


def report(figures: dict[str, list[float]]) -> str:
    """A Markdown table of medians."""
    floor = statistics.median(figures["floor"])
    lines = ["| what | ms a picture (median) | x floor |", "|---|---|---|"]
    for name, values in figures.items():
        value = statistics.median(values)
        plain = name in {"efficiency 1 to 2", "resident MB"}
        ratio = (
            "" if plain else f"{statistics.median(v / f for v, f in zip(values, figures['floor'], strict=True)):.2f}"
        )
        lines.append(f"| {name} | {value:.2f} | {ratio} |")
    return "\n".join([*lines, "", f"Floor: {floor:.2f} ms CPU."])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    figures = measure(given.source, given.images, given.repeats)
    import PIL

    print(f"# benchmark_shard, {datetime.date.today()}\n")
    print(f"`python tools/benchmark_shard.py SOURCE --images {given.images} --repeats {given.repeats}`\n")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, PIL {PIL.__version__}\n")
    print(report(figures))


if __name__ == "__main__":
    main()
