"""What each batch consists of: its images, and their views; the same for every decoder, and known long before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.batches.views import Views, lighting_shift
from alexnet_pipeline.dataset.manifest import PixelStatistics

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


@dataclass(frozen=True, slots=True)
class Request:
    """The images of a batch and their views; several views of an image lie side by side.

    Attributes:
        batch: which one.
        samples: (n,) int64 positions in the data set.
        corners: (n, views, 2) int64 top and left of the crops in pixels.
        flips: (n, views) bool, whether a crop is mirrored.
        offsets: (n, 3) float32 to subtract from R, G, B: the mean of the channel, where it is that, less the lighting.
    """

    batch: Batch
    samples: NDArray[np.int64]
    corners: NDArray[np.int64]
    flips: NDArray[np.bool_]
    offsets: NDArray[np.float32]


def requests(
    share: Share,
    views: Callable[[int], Views],
    statistics: PixelStatistics,
    *,
    first: Batch,
    mean: NDArray[np.float32],
    crops: tuple[tuple[int, int, int], ...] = (),
) -> Iterator[Request]:
    """One request after another, epoch after epoch, without those of batches in which this process has no part.

    Args:
        share: this process's part.
        views: the views of an epoch by its number.
        statistics: of the data set, for the lighting.
        first: the first batch.
        mean: (3,) to subtract, or an image, which is left to others.
        crops: (top, left, flip) of several fixed views of each image, in the place of the epoch's one.
    """
    views = functools.lru_cache(maxsize=1)(views)
    channel_mean = mean if mean.ndim == 1 else np.zeros(3)
    fixed = np.array(crops, np.int64).reshape(-1, 3)
    epoch, step = first
    while True:
        at = share.positions(step)
        if len(at):
            chosen = views(epoch)
            if crops:
                corners = np.broadcast_to(fixed[:, :2], (len(at), len(fixed), 2))
                flips = np.broadcast_to(fixed[:, 2] > 0, (len(at), len(fixed)))
            else:
                corners, flips = chosen.corner[at][:, None], chosen.flip[at][:, None] > 0
            offsets = (channel_mean - lighting_shift(chosen.alphas[at], statistics)).astype(np.float32)
            yield Request((epoch, step), chosen.order[at], corners, flips, offsets)
        epoch, step = (epoch, step + 1) if step + 1 < share.steps() else (epoch + 1, 0)
