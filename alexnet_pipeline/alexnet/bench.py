"""How fast this machine loads training batches, and how fast it takes training steps."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Literal

import torch

from alexnet_pipeline.alexnet.optimizer import backward, make_optimizer
from alexnet_pipeline.alexnet.options import LoadOptions, StepOptions
from alexnet_pipeline.alexnet.processes import join
from alexnet_pipeline.alexnet.randomness import seeded
from alexnet_pipeline.alexnet.recipe import PAPER, RecipeChanges, crop_px_of, find_recipe
from alexnet_pipeline.alexnet.run import find_splits, forward_of, network_of, precision_on
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.dataset.cache import check_cache, open_sets
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import make, parameters_of, takes_options
from alexnet_pipeline.progress import Progress, reporting
from alexnet_pipeline.storage.place import StrPath, locate

# Batches before the clock starts: decoders and caches are warm, prefetching has begun.
WARM_UP_BATCHES = 5
WARM_UP_STEPS = 3
# Side of the images that the generated crops are of.
SIDE_PX = 256


@dataclass(frozen=True, slots=True)
class LoadingSpeed:
    """How fast batches are loaded.

    Attributes:
        what: was loaded.
        images: counted.
        images_per_s: by the wall clock.
        cpu_ms: CPU time of this process per image.
    """

    what: str
    images: int
    images_per_s: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """How fast training steps are taken.

    Attributes:
        what: was trained.
        batch_images: images per step.
        images_per_s: by the median step.
        step_ms: median.
    """

    what: str
    batch_images: int
    images_per_s: float
    step_ms: float


@takes_options(LoadOptions, StepOptions, RecipeChanges)
def bench(
    what: Literal["load", "train"], shards: StrPath | None = None, *, progress: Progress = True, **options: Any
) -> LoadingSpeed | TrainingSpeed:
    """Measure loading (`bench("load", shards)`) or training (`bench("train")`) on this machine.

    Loading takes batch_size (default: 128), images, device and threads. Training takes steps on generated batches, and
    all options but images and threads.

    Args:
        what: `load` or `train`.
        shards: to load from: a data set, or a method's folder with train/; a path, or a URL together with `cache`.
        progress: True shows a bar while shards are fetched, False nothing; or a function that gets events.
        **options: see `LoadOptions`, `StepOptions` and `RecipeChanges`.

    Raises:
        RefusedError: the request cannot be carried out.
    """
    if what not in {"load", "train"}:
        raise RefusedError(f"`what`: {what!r} is not one of load, train")
    if (what == "load") != (shards is not None):
        raise RefusedError(f"`shards`: expected {'a data set to load' if what == 'load' else 'none for train'}")
    records: tuple[type, ...] = (LoadOptions,) if what == "load" else (StepOptions, RecipeChanges)
    known = {parameter.name for record in records for parameter in parameters_of(record)}
    for name in sorted(options.keys() - known):
        raise RefusedError(f"`{name}` is not an option of {what!r}; expected some of {', '.join(sorted(known))}")
    if shards is None:
        return measure_training(**options)
    return measure_loading(shards, progress=progress, **options)


@takes_options(LoadOptions)
def measure_loading(shards: StrPath, *, progress: Progress = True, **options: Any) -> LoadingSpeed:
    """Load training batches, epoch after epoch, until enough images are counted.

    Args:
        shards: a data set, or a method's folder with train/; a path, or a URL together with `cache`.
        progress: True shows a bar while shards are fetched, False nothing; or a function that gets events.
        **options: see `LoadOptions`.
    """
    chosen = make(LoadOptions, options)
    place = locate(shards)
    check_cache([place], chosen.cache)  # before a store is asked
    with reporting(progress) as report:
        (opened,) = open_sets([find_splits(place)[0]], chosen.cache, report)
    crop_px = crop_px_of(PAPER, opened.manifest.options.size_px)
    with join("one", chosen.device) as process:
        loader = Loader(opened, chosen.batch_images, crop_px=crop_px, device=process.device, threads=chosen.threads)
        with closing(loader):
            batches = chain.from_iterable(repeat(loader))  # epoch after epoch
            for _ in range(WARM_UP_BATCHES):
                next(batches)
            _wait(process.device)
            started, started_cpu, counted = time.perf_counter(), time.process_time(), 0
            while counted < chosen.images:
                counted += len(next(batches)[1])
            _wait(process.device)
            wall_s, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    what = f"{opened.origin} ({opened.manifest.options.encoding}) on {process.device}"
    return LoadingSpeed(what, counted, counted / wall_s, cpu_s / counted * 1e3)


@takes_options(StepOptions, RecipeChanges)
def measure_training(**options: Any) -> TrainingSpeed:
    """Take training steps on one generated batch.

    Args:
        **options: see `StepOptions` and `RecipeChanges`.
    """
    recipe, chosen = find_recipe(options), make(StepOptions, options)
    crop_px = crop_px_of(recipe, SIDE_PX)
    with join("one", chosen.device) as process, seeded(process, 0):
        model = network_of(recipe.network(chosen.classes, crop_px), process, 0)
        optimizer = make_optimizer(model, recipe)
        random = torch.Generator().manual_seed(0)
        images = (torch.randn(recipe.batch_images, 3, crop_px, crop_px, generator=random) * 60).to(process.device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, chosen.classes, (recipe.batch_images,), generator=random).to(process.device)
        precision = precision_on(process.device, chosen.precision)
        forward, spent_s = forward_of(model, process, precision), []
        for _ in range(WARM_UP_STEPS + chosen.steps):
            started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            backward(forward(images), labels, recipe.batch_images, process)
            optimizer.step()
            _wait(process.device)
            spent_s.append(time.perf_counter() - started)
    step_s = statistics.median(spent_s[WARM_UP_STEPS:])
    what = f"{recipe.preset}, norm {recipe.norm}, batch {recipe.batch_images}, {precision} on {process.device}"
    return TrainingSpeed(what, recipe.batch_images, recipe.batch_images / step_s, step_s * 1e3)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
