"""How alike two images of one size are: error, PSNR and SSIM."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PEAK = 255.0
# Rounding to whole levels has a variance of 1/12; smaller errors count as that.
LEAST_MSE = 1 / 12
MOST_PSNR_DB = 10 * math.log10(PEAK**2 / LEAST_MSE)
# Wang, Bovik, Sheikh and Simoncelli 2004, section III-C: window and constants.
SSIM_TAPS, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
# Subtracted before squaring, so that float32 keeps its digits; variances do not change.
MIDDLE = 128.0


def root_mean_square(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The root mean square of the difference of two HWC arrays of one shape, uint8 or float32, summed in float64."""
    if first.dtype != second.dtype:
        first, second = first.astype(np.float32), second.astype(np.float32)
    return float(cv2.norm(first, second, cv2.NORM_L2)) / math.sqrt(first.size)


def psnr_db(error_levels: float) -> float:
    """The peak signal-to-noise ratio of a root mean squared error in 0..255, capped at that of rounding."""
    return 10 * math.log10(PEAK**2 / max(error_levels**2, LEAST_MSE))


def luma(image: NDArray[Any]) -> Floats:
    """Rec. 601 luma: HWC RGB, any type, 0..255, to (height, width) float32."""
    return np.asarray(cv2.cvtColor(np.asarray(image, np.float32), cv2.COLOR_RGB2GRAY), np.float32)


def ssim(first: Floats, second: Floats) -> float:
    """Mean structural similarity of two planes in 0..255.

    The mean is over windows that lie inside the image, as in the authors' program; sides shorter than a window are
    extended by mirroring.

    Source: Wang et al. 2004, equation 13, with the constants of section III-C.
    """
    x, y = first - np.float32(MIDDLE), second - np.float32(MIDDLE)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variances = _blurred(x * x) - mean_x * mean_x + _blurred(y * y) - mean_y * mean_y
    covariance = _blurred(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + MIDDLE, mean_y + MIDDLE
    alike = (2 * mean_x * mean_y + SSIM_C1) * (2 * covariance + SSIM_C2)
    alike /= (mean_x * mean_x + mean_y * mean_y + SSIM_C1) * (variances + SSIM_C2)
    top, left = (min(SSIM_TAPS // 2, (side - 1) // 2) for side in alike.shape)
    inside = alike[top : alike.shape[0] - top, left : alike.shape[1] - left]
    return float(inside.mean(dtype=np.float64))


def _blurred(plane: Floats) -> Floats:
    size = (SSIM_TAPS, SSIM_TAPS)
    return np.asarray(cv2.GaussianBlur(plane, size, SSIM_SIGMA, borderType=cv2.BORDER_REFLECT), np.float32)
