"""PCA lighting, and the slow definition of a whole view that the pipeline is tested against.

Source: section 4.1; deviations are in 0..255 units, as in the 2012 source.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.manifest import PixelStatistics


def lighting_shift(alphas: NDArray[np.float64], statistics: PixelStatistics) -> NDArray[np.float64]:
    """What lighting adds to every pixel: sum_i alpha_i sigma_i p_i.

    Args:
        alphas: (n, 3), one for each principal component, largest first.
        statistics: deviations and vectors of the training set.

    Returns:
        (n, 3) to be added to R, G, B.
    """
    return np.asarray((alphas * statistics.pca_deviations) @ np.array(statistics.pca_vectors))


def view(
    image: NDArray[np.uint8],
    corner: tuple[int, int],
    crop_px: int,
    *,
    flip: bool,
    shift: NDArray[np.float64],
    mean: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One augmented view of an image, by its definition.

    Args:
        image: HWC uint8, RGB.
        corner: top and left of the crop.
        crop_px: its side.
        flip: mirror it.
        shift: (3,) of the lighting.
        mean: (3,), or (crop, crop, 3): the mean image's centre, which is neither moved nor mirrored.

    Returns:
        (3, crop, crop) float64.
    """
    top, left = corner
    crop = image[top : top + crop_px, left : left + crop_px].astype(np.float64)
    seen = crop[:, ::-1] if flip else crop
    return (seen + shift - mean).transpose(2, 0, 1)
