"""Trained networks and a data set in, what they say of every picture out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_pipeline.alexnet.checkpoint import Checkpoint, load_newest
from alexnet_pipeline.alexnet.network import AlexNet, options_from_json
from alexnet_pipeline.alexnet.processes import Place, take_place
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, read_mean
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.errors import PipelineError, RefusedError

LOG = logging.getLogger(__name__)

Crops = Literal[1, 10]
BATCH_IMAGES = 64


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one network, or the mean of several, says of a data set.

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
    crops: Crops = 1,
    shift_px: int = 0,
    device: str = "auto",
    warn: Callable[[str], None] = LOG.warning,
) -> Predictions:
    """Show every picture once to the newest network of a run, or of several.

    Args:
        runs: run folders.
        shards: an opened data set.
        crops: 1 for the centre, 10 for corners, centre and their flips (section 4.1).
        shift_px: how far the centre crop is moved to the right.
        device: `auto`, `cpu` or `cuda`.
        warn: told of damaged checkpoints.

    Raises:
        RefusedError: a folder holds no run, or its classes are not the shards'.
        PipelineError: an image was missed or counted twice.
    """
    with take_place("one", device, timeout_s=600) as place:
        checkpoints = [_newest(run, shards, warn) for run in runs]
        models = [_model(checkpoint, place) for checkpoint in checkpoints]
        crop_px = models[0].options.crop_px
        for run, model in zip(runs, models, strict=True):
            if model.options.crop_px != crop_px:
                raise RefusedError(f"{run} takes crops of {model.options.crop_px} pixels, {runs[0]} of {crop_px}")
        mean = _common_mean(runs)
        loader = validation_loader(shards, place, crops=crops, crop_px=crop_px, mean=mean, shift_px=shift_px)
        with closing(loader):
            batches = [(mean_probabilities(models, images).cpu(), labels.cpu()) for images, labels in loader]
    probabilities, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    check_count(len(labels), shards)
    return Predictions(probabilities, labels, tuple(checkpoint.step for checkpoint in checkpoints))


def mean_probabilities(models: Sequence[Callable[[Tensor], Tensor]], images: Tensor) -> Tensor:
    """(N, classes) mean of the softmax over models, and over crops where images are (N, crops, 3, h, w)."""
    flat = images.flatten(0, 1) if images.ndim == 5 else images
    with torch.inference_mode():
        total = sum((model(flat).float().softmax(1) for model in models), torch.zeros((), device=images.device))
    return (total / len(models)).view(len(images), -1, total.shape[1]).mean(1)


def validation_loader(
    shards: ShardSet, place: Place, *, crops: Crops, crop_px: int, mean: NDArray[np.float32], shift_px: int = 0
) -> Loader:
    """Batches of every image once, in the shards' order; to be closed by the caller."""
    share = BATCH_IMAGES if crops == 1 else max(1, BATCH_IMAGES // crops)
    return Loader(
        shards,
        batch_size=-(-share // place.world),
        train=False,
        crops=crops,
        crop_px=crop_px,
        mean=mean,
        shift_px=shift_px,
        device=place.device,
        rank=place.rank,
        world=place.world,
    )


def check_count(counted: int, shards: ShardSet) -> None:
    """Make sure that every picture was counted once."""
    if counted != shards.manifest.total_images:
        raise PipelineError(f"counted {counted} images of {shards.manifest.total_images} in {shards.folder}")


def _common_mean(runs: Sequence[Path]) -> NDArray[np.float32]:
    means = [read_mean(run) for run in runs]
    for run, mean in zip(runs, means, strict=True):
        if not np.array_equal(mean, means[0]):
            raise RefusedError(f"{run} was trained on another set than {runs[0]}: their means differ")
    return means[0]


def _newest(run: Path, shards: ShardSet, warn: Callable[[str], None]) -> Checkpoint:
    found = load_newest(run / CHECKPOINTS, warn)
    if found is None:
        raise RefusedError(f"{run} holds no checkpoint; name a folder that `train --run-dir` wrote")
    if tuple(found.state["classes"]) != shards.manifest.classes:
        raise RefusedError(
            f"{run} was trained on {len(found.state['classes'])} classes that are not the "
            f"{len(shards.manifest.classes)} of {shards.folder}; evaluate it on shards of the same source"
        )
    size_px = shards.manifest.options.size_px
    if found.state.get("picture_px", size_px) != size_px:
        raise RefusedError(
            f"{run} was trained on pictures of {found.state['picture_px']} pixels, those of {shards.folder} have "
            f"{size_px}; shard with the same --size"
        )
    return found


def _model(checkpoint: Checkpoint, place: Place) -> AlexNet:
    model = AlexNet(options_from_json(checkpoint.state["network"]), place.exchange)
    model.load_grouped(checkpoint.weights)
    return model.eval()
