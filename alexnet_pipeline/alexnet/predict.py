"""Class probabilities of every image of a data set, by one trained network or by the mean of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_pipeline.alexnet.checkpoint import Checkpoint
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.options import Crops, Device
from alexnet_pipeline.alexnet.processes import Process, alone
from alexnet_pipeline.alexnet.run_folder import read_mean
from alexnet_pipeline.alexnet.trained import find_checkpoint
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.progress import Advance, Report, Stage, silent

BATCH_IMAGES = 64


@dataclass(frozen=True, slots=True)
class Predictions:
    """Class probabilities of a data set, by one network or by the mean of several.

    Attributes:
        probabilities: (images, classes) float32, in the shards' order.
        labels: (images,) int64, the truth.
        steps: of each network's checkpoint.
    """

    probabilities: Tensor
    labels: Tensor
    steps: tuple[int, ...]


def predict(
    runs: Sequence[Path],
    shards: ShardSet,
    *,
    checkpoint: str = "newest",
    crops: Crops = 1,
    shift_px: int = 0,
    device: Device = "auto",
    report: Report = silent,
) -> Predictions:
    """Show every image once to a network of a run, or to those of several.

    Args:
        runs: run folders.
        shards: an opened data set.
        checkpoint: of each run: `newest`, `best`, or a step.
        crops: 1 for the centre, 10 for corners, centre and their flips (section 4.1).
        shift_px: how far the centre crop is moved to the right.
        device: `auto`, `cpu` or `cuda`.
        report: gets progress, and warnings of damaged checkpoints.

    Raises:
        RefusedError: a folder holds no run or no such checkpoint, or its classes are not the shards'.
        PipelineError: an image was missed or counted twice.
    """
    process = alone(device)
    checkpoints = [_checkpoint(run, checkpoint, shards, report) for run in runs]
    models = [_model(each, process) for each in checkpoints]
    crop_px, mean = _common_view(runs, models)
    loader = validation_loader(shards, process, crops=crops, crop_px=crop_px, mean=mean, shift_px=shift_px)
    with closing(loader):
        batches = list(_predict_batches(models, loader, report))
    probabilities, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    check_count(len(labels), shards)
    return Predictions(probabilities, labels, tuple(each.state.step for each in checkpoints))


def mean_probabilities(models: Sequence[Callable[[Tensor], Tensor]], images: Tensor) -> Tensor:
    """(N, classes) mean of the softmax over models, and over crops where images are (N, crops, 3, h, w)."""
    flat = images.flatten(0, 1) if images.ndim == 5 else images
    with torch.inference_mode():
        total = sum((model(flat).float().softmax(1) for model in models), torch.zeros((), device=images.device))
    return (total / len(models)).view(len(images), -1, total.shape[1]).mean(1)


def validation_loader(
    shards: ShardSet,
    process: Process,
    *,
    crops: Crops,
    crop_px: int,
    mean: NDArray[np.float32],
    shift_px: int = 0,
    threads: int | None = None,
) -> Loader:
    """Batches of every image once, in the shards' order; the caller closes it."""
    return Loader(
        shards,
        batch_size=-(-(BATCH_IMAGES // crops) // process.world),
        train=False,
        crops=crops,
        crop_px=crop_px,
        mean=mean,
        shift_px=shift_px,
        device=process.device,
        rank=process.rank,
        world=process.world,
        threads=threads or process.threads(),
    )


def check_alike(shards: ShardSet, classes: tuple[str, ...], size_px: int, training_set: str) -> None:
    """Make sure that a data set has the classes and the size of images that a network is trained on.

    Raises:
        RefusedError: it has others.
    """
    if shards.manifest.classes != classes:
        raise RefusedError(f"{shards.origin} has other classes than {training_set}; shard both from one source")
    found_px = shards.manifest.options.size_px
    if found_px != size_px:
        raise RefusedError(
            f"{shards.origin} has images of {found_px} pixels, {training_set} of {size_px}; shard both with the same "
            "`size`"
        )


def check_count(counted: int, shards: ShardSet) -> None:
    """Make sure that every image was counted once."""
    if counted != shards.manifest.total_images:
        raise PipelineError(f"counted {counted} images of {shards.manifest.total_images} in {shards.folder}")


def _predict_batches(models: Sequence[AlexNet], loader: Loader, report: Report) -> Iterator[tuple[Tensor, Tensor]]:
    report(Stage("evaluate", total=len(loader.shards)))
    done = 0
    for images, labels in loader:
        yield mean_probabilities(models, images).cpu(), labels.cpu()
        done += len(labels)
        report(Advance(done))


def _common_view(runs: Sequence[Path], models: Sequence[AlexNet]) -> tuple[int, NDArray[np.float32]]:
    """Side of the crops, and the mean that is subtracted."""
    crop_px, mean = models[0].options.crop_px, read_mean(runs[0])
    for run, model in zip(runs, models, strict=True):
        if model.options.crop_px != crop_px:
            raise RefusedError(f"{run} takes crops of {model.options.crop_px} pixels, {runs[0]} of {crop_px}")
        if not np.array_equal(read_mean(run), mean):
            raise RefusedError(f"{run} was trained on another set than {runs[0]}: their means differ")
    return crop_px, mean


def _checkpoint(run: Path, which: str, shards: ShardSet, report: Report) -> Checkpoint:
    checkpoint = find_checkpoint(run, report, which)
    check_alike(shards, checkpoint.state.identity.classes, checkpoint.state.size_px, f"the training set of {run}")
    return checkpoint


def _model(checkpoint: Checkpoint, process: Process) -> AlexNet:
    model = AlexNet(checkpoint.state.identity.network, process.exchange)
    model.load_grouped(checkpoint.weights)
    return model.eval()
