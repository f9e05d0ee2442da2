"""The slow definition of a view, which the pipeline is tested against."""

import numpy as np
from numpy.typing import NDArray


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
