"""Measure what sharding costs as multiples of strict decoding plus encoding, in one run on real images.

    python tools/benchmark_shard.py ../shared/data/imagenet-sample

The images are random crops of the given ones, so that sizes do not repeat and cached weights do not
flatter the result. Every command is run on few and on many images; CPU time per image is the slope between the two,
which excludes start-up, and every figure is the median of the repetitions. Each peer runs in its own virtual
environment, which is made here.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import simplejpeg
from process_cost import run, slope

from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.records import Conversion

QUALITY = 90
SHARD_SIZE = "500"
# Images of the short run: one shard for each of two workers.
FEW = 1000
# Images of the peers' long run, which can be shorter because peers are slow and steady.
PEER_IMAGES = 3000
FOUR = ("lanczos", "nearest", "bilinear", "antialias")
BOUND = "one decoding, four resamplings and encodings, plus 5 %"
PEERS = {
    "Pillow script": (["pillow"], "pillow_script.py"),
    "Pillow-SIMD script": (["pillow-simd"], "pillow_script.py"),
    "img2dataset": (["img2dataset"], "img2dataset_script.py"),
}


def make_images(source: Path, target: Path, count: int) -> list[Path]:
    """Write random crops of the source's images, each of its own size, in class folders."""
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
    """CPU ms per image of strict decoding plus encoding 256x256 pixels of it at quality 90."""
    started = time.process_time()
    for path in paths:
        image = simplejpeg.decode_jpeg(path.read_bytes())
        small = np.ascontiguousarray(np.resize(image[: min(256, len(image)), :256], (256, 256, 3)))
        simplejpeg.encode_jpeg(small, QUALITY, "RGB", "420")
    return (time.process_time() - started) / len(paths) * 1e3


def bound_ms(paths: list[Path]) -> float:
    """CPU ms per image that four methods may take: 1.05 times one decoding and four resamplings and encodings."""
    spent = 0.0
    # Method by method, so that the engine's caches are as useful as in a real run.
    for number, method in enumerate(FOUR):
        conversion = Conversion(method=method, quality=QUALITY)
        for path in paths:
            begun = time.process_time()
            image = simplejpeg.decode_jpeg(path.read_bytes(), strict=True)
            decoded = time.process_time()
            pixels, _ = convert(image, conversion)
            codec.encode(pixels, conversion)
            spent += time.process_time() - (decoded if number else begun)
    return 1.05 * spent / len(paths) * 1e3


def make_environment(folder: Path, packages: list[str]) -> Path:
    """Make a virtual environment with the packages, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def shard(source: Path, out: Path, methods: tuple[str, ...], workers: int, limit: int) -> tuple[float, float, int]:
    """Shard this number of images: (CPU s, wall s, resident kB), as `run` returns."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(source), str(out)]
    command += [word for method in methods for word in ("--method", method)]
    command += ["--quality", str(QUALITY), "--workers", str(workers), "--limit", str(limit)]
    return run([*command, "--shard-size", SHARD_SIZE])


def first_tar_s(source: Path, scratch: Path) -> tuple[float, float]:
    """CPU s of a command that writes one small tar: with nothing compiled, and with kernels of an earlier run."""
    cache = scratch / "kernels"
    shutil.rmtree(cache, ignore_errors=True)
    spent = []
    for _ in range(2):
        shutil.rmtree(scratch / "first", ignore_errors=True)
        command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(source), str(scratch / "first")]
        spent.append(run([*command, "--limit", "16"], NUMBA_CACHE_DIR=str(cache))[0])
    return spent[0], spent[1]


def peer(python: Path, script: str, paths: list[Path]) -> tuple[float, float, int]:
    """Run a peer's script over the images: (CPU s, wall s, resident kB), as `run` returns."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "images.list"
        listed.write_text("".join(f"{path}\n" for path in paths), "utf-8")
        script_path = Path(__file__).parent / "peers" / script
        return run([str(python), str(script_path), str(listed), str(Path(folder) / "out"), str(QUALITY)])


def measure(source: Path, images: int, repeats: int, peers_too: bool) -> dict[str, list[float]]:
    """Measure every figure; they take turns, so that drift of the machine affects all alike."""
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        raw, out = Path(scratch) / "raw", Path(scratch) / "out"
        paths = make_images(source, raw, images)
        peers = {
            name: (make_environment(Path(scratch) / name.replace(" ", "-"), packages), script)
            for name, (packages, script) in (PEERS if peers_too else {}).items()
        }
        shard(raw, out, FOUR, 2, FEW)  # compiles

        def ours(methods: tuple[str, ...], workers: int) -> tuple[float, float, int]:
            return slope(lambda limit: shard(raw, out, methods, workers, limit), FEW, images)

        for _ in range(repeats):
            before = floor_ms(paths[:FEW])
            row = {"floor": 0.0}
            row["lanczos, 2 workers"], wall_two, resident = ours(("lanczos",), 2)
            row["lanczos, 1 worker"], wall_one, _ = ours(("lanczos",), 1)
            bound = bound_ms(paths[:FEW])
            row["four methods, 2 workers"], _, _ = ours(FOUR, 2)
            row["four methods, 1 worker"], _, _ = ours(FOUR, 1)
            bound = (bound + bound_ms(paths[:FEW])) / 2
            row[BOUND] = bound
            for workers in ("2 workers", "1 worker"):
                row[f"part of that bound, {workers}"] = row[f"four methods, {workers}"] / bound
            row["floor"] = (before + floor_ms(paths[:FEW])) / 2
            for name, (python, script) in peers.items():
                row[name], _, _ = slope(
                    lambda limit, python=python, script=script: peer(python, script, paths[:limit]), FEW, PEER_IMAGES
                )
            row["lanczos, 2 workers, wall"], row["lanczos, 1 worker, wall"] = wall_two, wall_one
            row["efficiency from 1 to 2 workers"] = wall_one / wall_two / 2
            row["largest process, resident MB"] = resident / 1e3
            row["first tar, cold, CPU s"], row["first tar, warm, CPU s"] = first_tar_s(raw, Path(scratch))
            for name, value in row.items():
                figures.setdefault(name, []).append(value)
    return figures


def report(figures: dict[str, list[float]]) -> str:
    """Make a Markdown table of the medians."""
    floor = statistics.median(figures["floor"])
    lines = ["| what | ms per image (median) | x floor |", "|---|---|---|"]
    for name, values in figures.items():
        value = statistics.median(values)
        plain = name.startswith(("efficiency", "largest", "part", "first"))
        ratio = (
            "" if plain else f"{statistics.median(v / f for v, f in zip(values, figures['floor'], strict=True)):.2f}"
        )
        lines.append(f"| {name} | {value:.2f} | {ratio} |")
    return "\n".join([*lines, "", f"Floor: {floor:.2f} ms CPU."])


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder of class folders of JPEG files")
    parser.add_argument("--images", type=int, default=6000, help="number of images of the long run")
    parser.add_argument("--repeats", type=int, default=3, help="number of repetitions")
    parser.add_argument("--no-peers", action="store_true", help="measure no other tools")
    given = parser.parse_args()
    figures = measure(given.source, given.images, given.repeats, not given.no_peers)

    print(f"# benchmark_shard, {datetime.datetime.now(datetime.UTC).date()}\n")
    without = " --no-peers" if given.no_peers else ""
    print(f"`python tools/benchmark_shard.py SOURCE --images {given.images} --repeats {given.repeats}{without}`\n")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(report(figures))


if __name__ == "__main__":
    main()
