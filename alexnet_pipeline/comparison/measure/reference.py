"""The ideal low-pass of an image in float64, which every method is measured against.

A cosine transform (DCT-II) treats an axis as mirrored at its borders and sampled at pixel centres. Keeping the first
m of n coefficients and transforming back at length m is the ideal band limit with half-pixel centres; coefficients
beyond n are zero.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from alexnet_pipeline.pixels.geometry import Axis, Placement

Doubles = NDArray[np.float64]
Real = TypeVar("Real", NDArray[np.float32], NDArray[np.float64])


def low_pass(image: NDArray[np.uint8], placement: Placement) -> Doubles:
    """The resampled part of a placement by the ideal low-pass, neither rounded nor clipped.

    Args:
        image: HWC uint8.
        placement: which rows and columns to keep; its canvas is left out.

    Returns:
        (rows kept, columns kept, channels) float64; like every ideal filter it rings beyond 0..255 at edges.
    """
    return band_limit(band_limit(image, placement.rows, 0), placement.columns, 1)


def band_limit(values: NDArray[np.uint8] | Doubles, axis: Axis, along: int) -> Doubles:
    """Resample one dimension from `axis.source` to `axis.full` samples without aliasing; keep the axis's part."""
    coefficients = fft.dct(np.asarray(values, np.float64), axis=along)
    # The inverse takes the first `n` coefficients, or adds zeros.
    whole = fft.idct(coefficients, n=axis.full, axis=along) * (axis.full / axis.source)
    return np.asarray(np.take(whole, range(axis.start, axis.start + axis.count), axis=along))


def shifted(values: Real, by_px: float) -> Real:
    """Interpolate columns at positions `by_px` further right, band-limited, with mirrored borders.

    Args:
        values: (height, width, channels) float32 or float64.
        by_px: any number; beyond the border lies the mirror image.

    Returns:
        The same shape and type.

    A shifted cosine is cos(a + b) = cos a cos b - sin a sin b: one inverse cosine and one inverse sine transform.
    """
    width = values.shape[1]
    coefficients = fft.dct(values, axis=1)
    angles = math.pi * by_px / width * np.arange(width)[:, None]
    even = fft.idct(coefficients * np.cos(angles).astype(values.dtype), axis=1)
    turned = coefficients * np.sin(angles).astype(values.dtype)
    # Coefficient k of a sine transform belongs to sine k + 1; sine 0 is zero, and the highest sine has no cosine.
    sines = np.concatenate([turned[:, 1:], np.zeros_like(turned[:, :1])], axis=1)
    return np.asarray(even - fft.idst(sines, axis=1), values.dtype)
