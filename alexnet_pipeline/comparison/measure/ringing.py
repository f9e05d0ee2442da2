"""A method's result before rounding and clipping, and how far it overshoots."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alexnet_pipeline.pixels.geometry import Axis, Placement
from alexnet_pipeline.pixels.kernels import Method
from alexnet_pipeline.pixels.libraries import resample_floats
from alexnet_pipeline.pixels.weights import axis_weights

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Float32 rounding exceeds the range by less than this, which is not ringing.
NOTICED_LEVELS = 0.001


def unrounded(image: Floats, placement: Placement, method: Method) -> Floats:
    """A method's result before rounding and clipping.

    Args:
        image: HWC float32, 0..255.
        placement: which rows and columns to keep; its canvas is left out.
        method: ours or a library's.

    Returns:
        (rows kept, columns kept, channels) float32.
    """
    rows, columns = placement.rows, placement.columns
    if method.library:
        planes = [
            resample_floats(np.ascontiguousarray(image[..., channel]), (rows.full, columns.full), method)
            for channel in range(image.shape[2])
        ]
        part = np.s_[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
        return np.asarray(np.stack([plane[part] for plane in planes], axis=2), np.float32)
    height, width, channels = image.shape
    middle = _sparse_weights(rows, method) @ image.reshape(height, width * channels)
    turned = middle.reshape(rows.count, width, channels).transpose(1, 0, 2)
    result = _sparse_weights(columns, method) @ turned.reshape(width, rows.count * channels)
    return np.ascontiguousarray(result.reshape(columns.count, rows.count, channels).transpose(1, 0, 2))


def local_range(image: Bytes, placement: Placement) -> tuple[Floats, Floats]:
    """The smallest and the largest source value within one output pixel of each output value's centre.

    Args:
        image: HWC uint8.
        placement: as for `unrounded`.

    Returns:
        Two arrays (rows kept, columns kept, channels) float32.
    """
    lows = highs = image
    for along, axis in enumerate((placement.rows, placement.columns)):
        lows = _extreme(lows, axis, along, np.minimum)
        highs = _extreme(highs, axis, along, np.maximum)
    return lows.astype(np.float32), highs.astype(np.float32)


def overshoot_levels(values: Floats, lows: Floats, highs: Floats) -> float:
    """The mean distance of values from their ranges; float32 rounding counts as none."""
    excess = np.abs(values - np.minimum(np.maximum(values, lows), highs))
    excess *= excess > NOTICED_LEVELS
    return float(excess.mean(dtype=np.float64))


def clipped_share(values: Floats) -> float:
    """The share of values that clipping to 0..255 changes by more than half a level."""
    return int(np.count_nonzero((values < -0.5) | (values > 255.5))) / values.size


def _sparse_weights(axis: Axis, method: Method) -> sparse.csr_array:
    first, taps, weights = axis_weights(axis, method)
    reach = np.arange(weights.shape[1])
    used = reach < taps[:, None]
    columns = (first[:, None] + reach)[used]
    bounds = np.concatenate([[0], np.cumsum(taps)])
    return sparse.csr_array((weights[used], columns, bounds), shape=(axis.count, axis.source))


def _extreme(image: Bytes, axis: Axis, along: int, pick: np.ufunc) -> Bytes:
    """The smallest or largest source sample k along one dimension with |k - centre| < max(scale, 1)."""
    scale = axis.source / axis.full
    reach = max(scale, 1.0)
    centres = (np.arange(axis.start, axis.start + axis.count) + 0.5) * scale - 0.5
    first = np.floor(centres - reach).astype(np.int64) + 1
    last = np.ceil(centres + reach).astype(np.int64) - 1
    extreme: Bytes = image.take(first.clip(0, axis.source - 1), axis=along)
    for step in range(1, math.ceil(2 * reach)):
        positions = np.minimum(first + step, last).clip(0, axis.source - 1)
        pick(extreme, image.take(positions, axis=along), out=extreme)
    return extreme
