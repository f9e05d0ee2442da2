"""A method's result before rounding and clipping, and how far it overshoots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.measure.responses import sparse_weights
from alexnet_pipeline.pixels.geometry import Axis, Placement
from alexnet_pipeline.pixels.kernels import Method
from alexnet_pipeline.pixels.libraries import resample_floats

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Float32 rounding exceeds the range by less than this, which is not ringing.
NOTICED_LEVELS = 0.001


def unrounded(image: NDArray[Any], placement: Placement, method: Method) -> Floats:
    """A method's result before rounding and clipping.

    Args:
        image: HWC, 0..255, any type.
        placement: which rows and columns to keep; its canvas is left out.
        method: ours or a library's.

    Returns:
        (rows kept, columns kept, channels) float32.
    """
    rows, columns = placement.rows, placement.columns
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    if method.library:
        part = np.s_[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
        results = [resample_floats(plane, (rows.full, columns.full), method)[part] for plane in planes]
    else:
        down, across = sparse_weights(rows, method), sparse_weights(columns, method).T
        results = [down @ plane @ across for plane in planes]
    return np.stack(results, axis=2)


def local_range(image: Bytes, placement: Placement) -> tuple[Floats, Floats]:
    """The smallest and the largest source value within one output pixel of each output value's centre.

    Returns:
        Two arrays like that of `unrounded`.
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
