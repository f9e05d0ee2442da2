"""Shards or a recipe in, images a second out: what `bench` measures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.options import Precision
from alexnet_pipeline.alexnet.processes import take_place
from alexnet_pipeline.alexnet.recipe import PAPER, Recipe, crop_px_of
from alexnet_pipeline.alexnet.optimizer import backward, make_optimiser
from alexnet_pipeline.dataset.open import open_shards
from alexnet_pipeline.batches.loader import Loader

# Batches before the clock starts: decoders and caches are warm, prefetching has begun.
WARM_UP_BATCHES = 5
WARM_UP_STEPS = 3
# Side of the pictures that generated crops stand for.
SIDE_PX = 256


@dataclass(frozen=True, slots=True)
class Loading:
    """How fast batches come.

    Attributes:
        what: was loaded.
        images: counted.
        images_per_s: by the wall clock.
        cpu_ms: CPU time of this process an image.
    """

    what: str
    images: int
    images_per_s: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Training:
    """How fast steps are taken.

    Attributes:
        what: was trained.
        batch_images: a step.
        images_per_s: by the median step.
        step_ms: median.
    """

    what: str
    batch_images: int
    images_per_s: float
    step_ms: float


def measure_loading(
    folder: Path, *, batch_size: int = 128, images: int = 5000, device: str = "auto", threads: int | None = None
) -> Loading:
    """Load training batches, epoch after epoch, until so many images are counted."""
    shards = open_shards(folder)
    crop_px = crop_px_of(PAPER, shards.manifest.options.size_px)
    with take_place("one", device, timeout_s=600) as place:
        loader = Loader(shards, batch_size, crop_px=crop_px, device=place.device, threads=threads)
        with closing(loader):
            batches = _endless(loader)
            for _ in range(WARM_UP_BATCHES):
                next(batches)
            _wait(place.device)
            started, started_cpu, counted = time.perf_counter(), time.process_time(), 0
            while counted < images:
                counted += len(next(batches)[1])
            _wait(place.device)
            wall_s, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    what = f"{folder} ({shards.manifest.options.encoding}) on {place.device}"
    return Loading(what, counted, counted / wall_s, cpu_s / counted * 1e3)


def measure_training(
    recipe: Recipe, *, steps: int = 20, classes: int = 1000, device: str = "auto", precision: Precision = "auto"
) -> Training:
    """Take steps on one generated batch."""
    crop_px = crop_px_of(recipe, SIDE_PX)
    with take_place("one", device, timeout_s=600) as place:
        model = AlexNet(recipe.network(classes, crop_px), place.exchange)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = make_optimiser(model, recipe)
        random = torch.Generator().manual_seed(0)
        images = (torch.randn(recipe.batch_images, 3, crop_px, crop_px, generator=random) * 60).to(place.device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, classes, (recipe.batch_images,), generator=random).to(place.device)
        bf16 = precision == "bf16" or (precision == "auto" and place.device.type == "cuda")
        spent = []
        for _ in range(WARM_UP_STEPS + steps):
            started = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(place.device.type, torch.bfloat16) if bf16 else nullcontext():
                scores = model(images)
            backward(scores, labels, recipe.batch_images, place)
            optimiser.step()
            _wait(place.device)
            spent.append(time.perf_counter() - started)
    step_s = statistics.median(spent[WARM_UP_STEPS:])
    kind = "bf16" if bf16 else "fp32"
    what = f"{recipe.preset}, norm {recipe.norm}, batch {recipe.batch_images}, {kind} on {place.device}"
    return Training(what, recipe.batch_images, recipe.batch_images / step_s, step_s * 1e3)


def _endless(loader: Loader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
