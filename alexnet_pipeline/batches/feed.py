"""What DALI is fed: the bytes and the views of one batch after another, ahead of time and across epochs' ends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_pipeline.batches.pipeline import PipelineOptions
from alexnet_pipeline.batches.views import Views, lighting_shift
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError

# A `.npy` header of version 1 says its own length here.
NPY_LENGTH_AT, NPY_MAGIC_BYTES = 8, 10

# A batch: epoch, and step within the epoch.
Batch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Share:
    """A process's part of every batch of an epoch.

    Attributes:
        total_images: of the data set.
        batch_images: of this process in a full batch.
        rank: of this process.
        world: number of processes.
    """

    total_images: int
    batch_images: int
    rank: int
    world: int

    def steps(self) -> int:
        """Batches per epoch, the same in every process."""
        return -(-self.total_images // (self.batch_images * self.world))

    def positions(self, step: int) -> NDArray[np.int64]:
        """This process's positions in the epoch's order at a step; at the end there may be none left."""
        start = (step * self.world + self.rank) * self.batch_images
        return np.arange(start, min(start + self.batch_images, self.total_images))


class Feed:
    """Gives batch after batch to DALI, and keeps their labels until the batches come out.

    Args:
        shards: the data set.
        share: this process's part.
        options: what decides the graph.
        views: the views of an epoch by its number.
        first: the first batch to give.
    """

    def __init__(
        self, shards: ShardSet, share: Share, options: PipelineOptions, views: Callable[[int], Views], first: Batch
    ) -> None:
        self.labels: dict[Batch, Tensor] = {}
        self._shards, self._share, self._options, self._next = shards, share, options, first
        self._views = functools.lru_cache(maxsize=1)(views)

    def upcoming(self) -> Batch:
        """The batch that DALI gives next: the first that it was fed and that was not handed out."""
        return min(self.labels, default=self._next)

    def __call__(self) -> tuple[list[NDArray[np.uint8]] | NDArray[Any], ...]:
        """The next batch that is not empty; views are arrays, since DALI looks at each item of a list in Python."""
        while not len(self._share.positions(self._next[1])):
            self._advance()
        epoch, step = self._next
        views, at = self._views(epoch), self._share.positions(step)
        samples = views.order[at]
        labels, images = self._shards.read_batch(samples)
        if self._shards.manifest.options.encoding == "raw":
            images = [raw_pixels(self._shards, sample, data) for sample, data in zip(samples, images, strict=True)]
        self.labels[self._next] = torch.tensor(labels)
        self._advance()
        self._prefetch(epoch, views)
        mean = self._options.mean if self._options.mean.ndim == 1 else np.zeros(3)
        means = (mean - lighting_shift(views.alphas[at], self._shards.statistics())).astype(np.float32)
        if self._options.crops:
            return images, means
        tops, lefts = np.ascontiguousarray((views.corner[at] / self._options.room_px).astype(np.float32).T)
        return images, means, tops, lefts, views.flip[at]

    def _prefetch(self, epoch: int, views: Views) -> None:
        """Let the operating system read the next batch ahead, unless it is of another epoch, whose order is unknown."""
        if self._next[0] == epoch:
            self._shards.prefetch(views.order[self._share.positions(self._next[1])])

    def _advance(self) -> None:
        epoch, step = self._next
        self._next = (epoch, step + 1) if step + 1 < self._share.steps() else (epoch + 1, 0)


def raw_pixels(shards: ShardSet, sample: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels of a raw image, (side, side, 3) uint8, in the memory of its `.npy` file.

    Raises:
        PipelineError: it has another shape.
    """
    header = NPY_MAGIC_BYTES + int.from_bytes(data[NPY_LENGTH_AT:NPY_MAGIC_BYTES].tobytes(), "little")
    side = shards.manifest.options.size_px
    if len(data) - header != side * side * 3:
        raise PipelineError(
            f"{shards.folder}: sample {sample} is not a .npy of {side} x {side} x 3 bytes; run `verify`"
        )
    return data[header:].reshape(side, side, 3)
