"""How fast this machine loads training batches, and how fast it takes training steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from alexnet_pipeline.alexnet.optimizer import backward, make_optimizer, update
from alexnet_pipeline.alexnet.options import LoadOptions, Precision, StepOptions
from alexnet_pipeline.alexnet.precision import LossScale, arithmetic, forward_of, precision_on
from alexnet_pipeline.alexnet.processes import Process, alone, join
from alexnet_pipeline.alexnet.randomness import seeded
from alexnet_pipeline.alexnet.recipe import PAPER, NetworkOptions, Recipe, RecipeChanges, crop_px_of, find_recipe
from alexnet_pipeline.alexnet.run import find_splits, network_of
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.dataset.cache import check_cache, open_sets
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import make, parameters_of, takes_options
from alexnet_pipeline.progress import Progress, reporting
from alexnet_pipeline.storage.place import StrPath, locate

# Batches before the clock starts: decoders and caches are warm, prefetching has begun.
WARM_UP_BATCHES = 5
WARM_UP_STEPS = 3
TRACED_STEPS = 3
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

    Loading takes the options of `LoadOptions`. Training takes those of `StepOptions` and `RecipeChanges`; without
    `shards` its steps are on one generated batch, which needs no loading.

    Args:
        what: `load` or `train`.
        shards: a data set, or a method's folder with train/; a path, or a URL together with `cache`.
        progress: True shows a bar while shards are fetched, False nothing; or a function that gets events.
        **options: see `LoadOptions`, `StepOptions` and `RecipeChanges`.

    Raises:
        RefusedError: the request cannot be carried out.
    """
    if what not in {"load", "train"}:
        raise RefusedError(f"`what`: {what!r} is not one of load, train")
    records: tuple[type, ...] = (LoadOptions,) if what == "load" else (StepOptions, RecipeChanges)
    known = {parameter.name for record in records for parameter in parameters_of(record)}
    for name in sorted(options.keys() - known):
        raise RefusedError(f"`{name}` is not an option of {what!r}; expected some of {', '.join(sorted(known))}")
    if what == "train":
        return measure_training(shards, progress=progress, **options)
    if shards is None:
        raise RefusedError("`shards`: expected a data set to load")
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
    opened = _training_set(shards, chosen.cache, progress)
    crop_px = crop_px_of(PAPER, opened.manifest.options.size_px)
    device = alone(chosen.device).device
    loader = Loader(
        opened,
        chosen.batch_images,
        crop_px=crop_px,
        channels_last=True,
        device=device,
        decode=chosen.decode,
        threads=chosen.threads,
    )
    with closing(loader):
        batches = chain.from_iterable(repeat(loader))  # epoch after epoch
        for _ in range(WARM_UP_BATCHES):
            next(batches)
        _wait(device)
        started, started_cpu, counted = time.perf_counter(), time.process_time(), 0
        while counted < chosen.images:
            counted += len(next(batches)[1])
        _wait(device)
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    what = f"{opened.origin} ({opened.manifest.options.encoding}) on {device}"
    return LoadingSpeed(what, counted, counted / wall_s, cpu_s / counted * 1e3)


@takes_options(StepOptions, RecipeChanges)
def measure_training(shards: StrPath | None = None, *, progress: Progress = True, **options: Any) -> TrainingSpeed:
    """Take training steps on batches from shards, or on one generated batch.

    Args:
        shards: a data set, or a method's folder with train/; None for a generated batch.
        progress: True shows a bar while shards are fetched, False nothing; or a function that gets events.
        **options: see `StepOptions` and `RecipeChanges`.
    """
    recipe, chosen = find_recipe(options), make(StepOptions, options)
    opened = _training_set(shards, chosen.cache, progress) if shards else None
    with ExitStack() as stack:
        process = stack.enter_context(join(chosen.towers, chosen.device))
        if process.replicas:
            raise RefusedError(f"`bench train` measures one network, but {process.replica_count} were started")
        precision = precision_on(process.device, chosen.precision)
        stack.enter_context(arithmetic(precision, try_kernels=chosen.cudnn_benchmark))
        stack.enter_context(seeded(process, 0))
        side_px, classes = SIDE_PX, chosen.classes
        if opened:
            side_px, classes = opened.manifest.options.size_px, len(opened.manifest.classes)
        network = recipe.network(classes, crop_px_of(recipe, side_px))
        if opened:
            batches = stack.enter_context(_loaded(opened, recipe, network.crop_px, chosen, process))
        else:
            batches = repeat(_generated(recipe.batch_images, network, process.device))
        step = _step(recipe, network, process, precision, compiled=chosen.compile)
        spent_s = [_timed(step, batches, process.device) for _ in range(WARM_UP_STEPS + chosen.steps)]
        if chosen.trace:
            _write_trace(chosen.trace, step, batches, process.device)
    step_s = statistics.median(spent_s[WARM_UP_STEPS:])
    if opened:  # a loader that is behind is seen in the sum, not in the median of a queue's bursts
        step_s = statistics.fmean(spent_s[WARM_UP_STEPS:])
    source = f" from {opened.origin} ({opened.manifest.options.encoding})" if opened else ""
    what = f"{recipe.preset}, norm {recipe.norm}, batch {recipe.batch_images}, {precision} on {process.device}{source}"
    return TrainingSpeed(what, recipe.batch_images, recipe.batch_images / step_s, step_s * 1e3)


def _training_set(shards: StrPath, cache: Path | None, progress: Progress) -> ShardSet:
    place = locate(shards)
    check_cache([place], cache)  # before a store is asked
    with reporting(progress) as report:
        return open_sets([find_splits(place)[0]], cache, report)[0]


@contextmanager
def _loaded(
    shards: ShardSet, recipe: Recipe, crop_px: int, options: StepOptions, process: Process
) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """Batches as training gets them, but for the short last ones of epochs."""
    loader = Loader(
        shards,
        recipe.batch_images,
        crop_px=crop_px,
        lighting=recipe.lighting,
        random_crops=recipe.random_crops,
        random_flips=recipe.random_flips,
        mean=recipe.mean,
        channels_last=True,
        device=process.device,
        decode=options.decode,
        threads=options.threads,
    )
    if len(shards) < recipe.batch_images:
        raise RefusedError(f"{shards.origin} has {len(shards)} images, fewer than a batch of {recipe.batch_images}")
    with closing(loader):
        endless = chain.from_iterable(repeat(loader))
        yield (batch for batch in endless if len(batch[1]) == recipe.batch_images)


def _generated(count: int, network: NetworkOptions, device: torch.device) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    images = (torch.randn(count, 3, network.crop_px, network.crop_px, generator=random) * 60).to(device)
    labels = torch.randint(0, network.classes, (count,), generator=random).to(device)
    return images.contiguous(memory_format=torch.channels_last), labels


def _step(
    recipe: Recipe, network: NetworkOptions, process: Process, precision: Precision, *, compiled: bool
) -> Callable[[Tensor, Tensor], None]:
    """A step of training, as `train` takes it."""
    model = network_of(network, process, 0)
    optimizer = make_optimizer(model, recipe)
    forward = forward_of(model, process.device, precision, compiled=compiled)
    scale = LossScale() if precision == "fp16" else None

    def step(images: Tensor, labels: Tensor) -> None:
        nonlocal scale
        optimizer.zero_grad(set_to_none=True)
        factor = scale.factor if scale else 1.0
        backward(forward(images), labels, recipe.batch_images, process, recipe.label_smoothing, factor)
        scale = update(model, optimizer, scale, process)

    return step


def _timed(
    step: Callable[[Tensor, Tensor], None], batches: Iterator[tuple[Tensor, Tensor]], device: torch.device
) -> float:
    """Seconds of a batch and its step."""
    started = time.perf_counter()
    step(*next(batches))
    _wait(device)
    return time.perf_counter() - started


def _write_trace(
    path: Path, step: Callable[[Tensor, Tensor], None], batches: Iterator[tuple[Tensor, Tensor]], device: torch.device
) -> None:
    with torch.profiler.profile() as profiler:
        for _ in range(TRACED_STEPS):
            step(*next(batches))
        _wait(device)
    path.parent.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(path))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
