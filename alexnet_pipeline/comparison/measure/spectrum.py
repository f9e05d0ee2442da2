"""The power of luma by radial frequency."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Doubles = NDArray[np.float64]

# Rings of equal width between frequency 0 and 1/2 cycles per output pixel.
RINGS = 64


def ring_frequencies() -> tuple[float, ...]:
    """The middle of each ring, cycles per output pixel."""
    return tuple((ring + 0.5) / (2 * RINGS) for ring in range(RINGS))


def radial_power(plane: NDArray[Any]) -> Doubles:
    """Power spectral density, averaged over rings of frequencies.

    The mean is subtracted first, and a Hann window suppresses the discontinuity at the borders.

    Args:
        plane: (height, width), 0..255.

    Returns:
        (RINGS,) in levels squared per (cycle per pixel) squared; that of white noise is its variance everywhere. Rings
        without a frequency, in small planes, are interpolated from their neighbours.
    """
    window, rings, counts = _layout(*plane.shape)
    values = (plane - plane.mean(dtype=np.float64)) * window
    power = np.abs(fft.rfft2(values)) ** 2 / (window**2).sum()
    sums = np.bincount(rings.ravel(), power.ravel(), RINGS + 1)[:RINGS]
    filled = np.flatnonzero(counts)
    if not filled.size:
        return np.zeros(RINGS)
    return np.interp(np.arange(RINGS), filled, sums[filled] / counts[filled])


@functools.lru_cache(maxsize=64)
def _layout(height: int, width: int) -> tuple[Doubles, NDArray[np.int64], NDArray[np.int64]]:
    """The window, the ring of each frequency (RINGS beyond 1/2), and the number of frequencies in each ring."""
    hann = [np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in (height, width)]
    radius = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width))
    rings = np.minimum((radius * 2 * RINGS).astype(np.int64), RINGS)
    return np.outer(*hann), rings, np.bincount(rings.ravel(), minlength=RINGS + 1)[:RINGS]
