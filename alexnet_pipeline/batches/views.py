"""Which crop, flip and lighting each image gets in an epoch: pure functions of seed, epoch and position, in NumPy.

So nothing depends on the number of processes, nor on where a run was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.manifest import PixelStatistics

# Streams of randomness, so that one more draw in one of them changes nothing in the other.
ORDER_STREAM, VIEW_STREAM = 0, 1


@dataclass(frozen=True, slots=True)
class Views:
    """The order of an epoch, and how each of its images is augmented.

    Attributes:
        order: (n,) positions in the data set.
        corner: (n, 2) top and left of the crop in pixels.
        flip: (n,) int32, 1 where the crop is mirrored.
        alphas: (n, 3) of the lighting.
    """

    order: NDArray[np.int64]
    corner: NDArray[np.int64]
    flip: NDArray[np.int32]
    alphas: NDArray[np.float64]


def training_views(
    images: int,
    side_px: int,
    crop_px: int,
    lighting: float,
    seed: int,
    epoch: int,
    *,
    crops: bool = True,
    flips: bool = True,
) -> Views:
    """One epoch: a permutation; uniform crops and flips; alphas ~ N(0, lighting). Source: section 4.1.

    Without `crops` or `flips` all of them are the centre or not mirrored; what is drawn otherwise stays the same.
    """
    random = _generator(seed, epoch, VIEW_STREAM)
    corner = random.integers(0, side_px - crop_px + 1, (images, 2))
    flip = random.integers(0, 2, images, np.int32)
    return Views(
        order=_generator(seed, epoch, ORDER_STREAM).permutation(images),
        corner=corner if crops else np.full_like(corner, (side_px - crop_px) // 2),
        flip=flip if flips else np.zeros_like(flip),
        alphas=random.normal(0.0, lighting, (images, 3)) if lighting else np.zeros((images, 3)),
    )


def centre_views(images: int, side_px: int, crop_px: int, shift_px: int) -> Views:
    """Every image once, in the data set's order: the centre crop, moved to the right by a shift, nothing else."""
    middle = (side_px - crop_px) // 2
    corner = np.tile(np.array([middle, middle + shift_px], np.int64), (images, 1))
    return Views(np.arange(images), corner, np.zeros(images, np.int32), np.zeros((images, 3)))


def lighting_shift(alphas: NDArray[np.float64], statistics: PixelStatistics) -> NDArray[np.float64]:
    """What lighting adds to every pixel: sum_i alpha_i sigma_i p_i, in 0..255 units. Source: section 4.1.

    Args:
        alphas: (n, 3), one for each principal component, largest first.
        statistics: deviations and vectors of the training set.

    Returns:
        (n, 3) to be added to R, G, B.
    """
    return np.asarray((alphas * statistics.pca_deviations) @ np.array(statistics.pca_vectors))


def ten_crops(side_px: int, crop_px: int) -> tuple[tuple[int, int, int], ...]:
    """(top, left, flip) of four corners and the centre, then of their mirror images. Source: section 4.1."""
    far, middle = side_px - crop_px, (side_px - crop_px) // 2
    corners = ((0, 0), (0, far), (far, 0), (far, far), (middle, middle))
    return tuple((top, left, flip) for flip in (0, 1) for top, left in corners)


def _generator(seed: int, epoch: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, stream])))
