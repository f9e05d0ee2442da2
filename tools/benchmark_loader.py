"""Measure what training batches cost as multiples of strictly decoding their images, in one run on real images.

    python tools/benchmark_loader.py ../shared/data/imagenet-sample

The images are sharded to 256x256 twice: as JPEG of quality 90, and raw. Every loader makes float32 batches of 128
random 224x224 crops with random flips, minus the channel mean. Each runs in its own process on few and on many images;
the figures are the slopes between the two, as medians over the repetitions. A second table tells how long the thread
that asks for a batch computes for it: on a GPU, it has that much less time to launch the network's kernels.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from process_cost import run, slope

import alexnet_pipeline

QUALITY, BATCH, CROP_PX, THREADS = 90, 128, 224, 2
FEW, MANY = 2_000, {"jpg": 8_000, "raw": 40_000}


def make_shards(source: Path, scratch: Path) -> dict[str, Path]:
    """Shard the images in both encodings, and return the folders by encoding."""
    folders = {}
    for encoding in ("jpg", "raw"):
        out = scratch / encoding
        alexnet_pipeline.shard(source, out, methods=["lanczos"], encoding=encoding, quality=QUALITY)
        folders[encoding] = next(out.glob("lanczos/*/manifest.json")).parent
    return folders


def decode_alone(folder: Path, images: int) -> None:
    """The floor: nothing but strict decoding, of bytes in memory."""
    files = []
    for tar in sorted(folder.glob("*.tar")):
        with tarfile.open(tar) as opened:
            files += [opened.extractfile(m).read() for m in opened if m.name.endswith(".jpg")]  # type: ignore[union-attr]
    for number in range(images):
        simplejpeg.decode_jpeg(files[number % len(files)], "RGB", strict=True)


def by_loader(folder: Path, images: int, mean: Any = "channel") -> None:
    """The loader of this package, as training uses it."""
    loader = alexnet_pipeline.Loader(folder, BATCH, crop_px=CROP_PX, threads=THREADS, mean=mean, channels_last=True)
    seen = 0
    for batch, _ in chain.from_iterable(repeat(loader)):
        seen += len(batch)
        if seen >= images:
            break
    loader.close()


def by_webdataset(folder: Path, images: int) -> None:
    """The usual combination: webdataset, simplejpeg and a PyTorch DataLoader."""
    import torch
    import webdataset
    from torch.utils.data import DataLoader

    mean = torch.tensor([124.0, 117.0, 104.0])[:, None, None]
    random = np.random.default_rng(0)

    def view(sample: dict[str, Any]) -> tuple[Any, int]:
        image = simplejpeg.decode_jpeg(sample["jpg"], "RGB", strict=True)
        top, left = random.integers(0, image.shape[0] - CROP_PX + 1, 2)
        crop = image[top : top + CROP_PX, left : left + CROP_PX]
        if random.integers(2):
            crop = crop[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))).float() - mean, int(sample["cls"])

    urls = [str(tar) for tar in sorted(folder.glob("*.tar"))]
    dataset = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False, nodesplitter=None).repeat().map(view)
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=THREADS)
    seen = 0
    for batch, _ in loader:
        seen += len(batch)
        if seen >= images:
            break


CHILDREN: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "simplejpeg strict decoding alone (the floor)": ("jpg", decode_alone),
    "Loader, JPEG": ("jpg", by_loader),
    "Loader, JPEG, mean image": ("jpg", partial(by_loader, mean="image")),
    "Loader, raw": ("raw", by_loader),
    "Loader, raw, mean image": ("raw", partial(by_loader, mean="image")),
    "webdataset + DataLoader + simplejpeg": ("jpg", by_webdataset),
}


def measure(folders: dict[str, Path], repeats: int) -> Iterator[tuple[str, float, float]]:
    """Give (loader, CPU ms, wall ms) per image; loaders take turns, so that drift of the machine affects all alike."""
    for _ in range(repeats):
        for name, (encoding, _) in CHILDREN.items():
            command = [sys.executable, __file__, str(folders[encoding]), "--child", name, "--images"]
            cpu, wall, _ = slope(lambda images, command=command: run([*command, str(images)]), FEW, MANY[encoding])
            yield name, cpu, wall


def calling_thread_ms(folder: Path) -> float:
    """Median CPU ms that the calling thread spends on a batch."""
    loader = alexnet_pipeline.Loader(folder, BATCH, crop_px=CROP_PX, threads=THREADS, channels_last=True)
    batches = chain.from_iterable(repeat(loader))
    spent = []
    for batch, _ in (next(batches) for _ in range(FEW // BATCH * 3)):
        if len(batch) == BATCH:
            spent.append(time.thread_time())
    loader.close()
    return statistics.median(later - earlier for earlier, later in pairwise(spent)) * 1e3


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="raw images, as for `alexnet-pipeline shard`")
    parser.add_argument("--repeats", type=int, default=3, help="number of repetitions")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, default=FEW, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        CHILDREN[given.child][1](given.source, given.images)
        return
    figures: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folders = make_shards(given.source, Path(scratch))
        threads = {encoding: calling_thread_ms(folder) for encoding, folder in folders.items()}
        for name, cpu, wall in measure(folders, given.repeats):
            figures.setdefault(name, []).append((cpu, wall))
    floors = [cpu for cpu, _ in next(iter(figures.values()))]
    print(f"# benchmark_loader, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"`python tools/benchmark_loader.py SOURCE --repeats {given.repeats}`\n")
    print(f"{platform.processor() or platform.machine()}, {THREADS} threads, Python {platform.python_version()}\n")
    print("| what | CPU ms per image | x floor | wall ms per image |\n|---|---|---|---|")
    for name, values in figures.items():
        ratio = statistics.median(cpu / floor for (cpu, _), floor in zip(values, floors, strict=True))
        cpu, wall = (statistics.median(value[place] for value in values) for place in (0, 1))
        print(f"| {name} | {cpu:.3f} | {ratio:.2f} | {wall:.3f} |")
    print(f"\n| batches of {BATCH} from | ms of the calling thread per batch |\n|---|---|")
    for encoding, milliseconds in threads.items():
        print(f"| {encoding} | {milliseconds:.2f} |")


if __name__ == "__main__":
    main()
