"""A run's folder: `run.json`, which says what is run, the mean that training subtracted, and the lock."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.alexnet.recipe import NetworkOptions, Recipe
from alexnet_pipeline.dataset.npy import read_npy
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.files import read_whole, write_whole
from alexnet_pipeline.records import PathText, SetOptions, from_json, to_json

CHECKPOINTS, RUN, MEAN, LOCK = "checkpoints", "run.json", "mean.npy", ".lock"


@dataclass(frozen=True, slots=True)
class ShardsRecord:
    """A data set that a run uses.

    Attributes:
        folder: where it was, or its URL.
        method: that downsampled its images.
        fingerprint: of its options, classes and inputs.
        total_images: in it.
    """

    folder: PathText
    method: str
    fingerprint: str
    total_images: int

    @classmethod
    def of(cls, shards: ShardSet) -> ShardsRecord:
        """The record of an opened data set."""
        manifest = shards.manifest
        return cls(utf8(str(shards.origin)), manifest.options.method, manifest.fingerprint, manifest.total_images)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What `run.json` says.

    Attributes:
        command: that a person would repeat; empty where the run was started from Python.
        started: or resumed, as ISO 8601.
        recipe: every number of the training.
        network: that is trained.
        parameters: of both towers.
        train: the training set.
        val: the validation set; None without one.
        towers: their arrangement.
        device: of the first process.
        precision: of the arithmetic.
        seed: of the run.
        machine: processor and threads.
        python: version.
        torch: version.
        conversion: how the training images were decoded, resized and encoded; None in a record of version 0.1.
        class_words: of each class, in label order; empty where they are unknown.
        init_from: what the first weights were taken from; empty for weights drawn by the seed.
    """

    command: str
    started: str
    recipe: Recipe
    network: NetworkOptions
    parameters: int
    train: ShardsRecord
    val: ShardsRecord | None
    towers: str
    device: str
    precision: str
    seed: int
    machine: str
    python: str
    torch: str
    conversion: SetOptions | None = None
    class_words: tuple[str, ...] = ()
    init_from: str = ""


def utf8(text: str) -> str:
    """Text that JSON can hold: bytes of a path that are no UTF-8 are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_run(run: Path, record: RunRecord, mean: NDArray[np.float32]) -> None:
    """Write what is run here, and what is subtracted from every image."""
    buffer = io.BytesIO()
    np.save(buffer, mean, allow_pickle=False)
    write_whole(run / MEAN, buffer.getvalue())
    write_whole(run / RUN, to_json(record, indent=1))


def read_run(run: Path) -> RunRecord:
    """Read what a run says of itself.

    Raises:
        RefusedError: the folder holds no run.
        PipelineError: its record cannot be read.
    """
    path = run / RUN
    if not path.is_file():
        raise RefusedError(f"{run} holds no run: {RUN} is missing; expected a folder that `train` wrote")
    try:
        return from_json(read_whole(path), RunRecord)
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"cannot read {path}: {error}; resuming the run writes it again, if this version trained it"
        ) from error


def first_weights(run: Path) -> Path | None:
    """What the first weights of a run were taken from; None for those that were drawn, or if its record is lost."""
    try:
        return Path(read_run(run).init_from) if read_run(run).init_from else None
    except PipelineError:
        return None


def read_mean(run: Path) -> NDArray[np.float32]:
    """Read what training subtracted: (3,), or (crop, crop, 3).

    Raises:
        PipelineError: it cannot be read.
    """
    try:
        return np.asarray(read_npy(read_whole(run / MEAN)), np.float32)
    except (OSError, ValueError) as error:
        raise PipelineError(f"cannot read {run / MEAN}: {error}; resuming the run writes it again") from error
