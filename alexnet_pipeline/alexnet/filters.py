"""The first layer's filters as small PNG images, as figure 3 of the paper shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pages.charts import png_uri

# Filters per tower: the first half of conv1's rows is one tower's, the second the other's.
TOWERS = 2


@dataclass(frozen=True, slots=True)
class FilterTile:
    """One filter as an image: its data URI, and its least and greatest weight, drawn black and white."""

    uri: str
    low: float
    high: float


def filter_tiles(weights: NDArray[np.floating]) -> tuple[tuple[FilterTile, ...], ...]:
    """The first layer's filters by tower, each scaled to its own range.

    Args:
        weights: (filters, 3, height, width), channels R, G, B; tower 1's filters, then tower 2's.

    Source: figure 3 of the paper.
    """
    half = len(weights) // TOWERS
    return tuple(tuple(map(_filter_tile, weights[first : first + half])) for first in range(0, half * TOWERS, half))


def _filter_tile(weights: NDArray[np.floating]) -> FilterTile:
    values = np.nan_to_num(np.asarray(weights, np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return FilterTile(png_uri(np.rint(scaled * 255).astype(np.uint8).transpose(1, 2, 0)), low, high)
