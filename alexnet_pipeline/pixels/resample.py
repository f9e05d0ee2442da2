"""A picture, a placement and methods in, the targets' pixels out: the one engine.

Two separable passes in float32 (rows first), no rounding or clipping between them, one round-half-even and
one clip at the end. Sixteen output rows are made at a time and laid sample by sample beside each other, so that
the second pass, too, is sixteen lanes wide and needs no gather. Methods of one pass share the source's rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled, compiled_leaf
from alexnet_pipeline.pixels.geometry import Placement
from alexnet_pipeline.pixels.kernels import Method
from alexnet_pipeline.pixels.lanes import COUNT, SQUARE, copy_four, load, splat, store, transpose, transpose_levels
from alexnet_pipeline.pixels.weights import ends, weights_of_each

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Output rows that go through both passes together: a lane each.
BAND = COUNT
# Samples of a row that the first pass makes at once, so that the source rows they need stay in the nearest cache.
TILE = 4 * COUNT
# Entries of the table that guesses an sRGB level from a linear value.
GUESSES = 4096


def resample(image: Bytes, placement: Placement, method: Method, *, linear_light: bool = False) -> Bytes:
    """Resample a picture by one method, as `resample_each` does by many."""
    return resample_each(image, placement, [method], linear_light=linear_light)[0]


def resample_each(
    image: Bytes, placement: Placement, methods: Sequence[Method], *, linear_light: bool = False
) -> list[Bytes]:
    """Resample a picture by several kernel methods, which share what each would do alone.

    Args:
        image: HWC uint8, RGB, C-contiguous, of the placement's source size.
        placement: what to compute; only the kept rows and columns are.
        methods: of our engine's.
        linear_light: go through the exact sRGB curve.

    Returns:
        For each method, HWC uint8 of the placement's canvas size; black where nothing was placed.
    """
    rows, columns = placement.rows, placement.columns
    samples = columns.count * 3
    results = np.empty((len(methods), _whole_bands(rows.count), _whole_bands(samples)), np.uint8)
    row_weights, column_weights = weights_of_each(rows, methods), weights_of_each(columns, methods)
    values, bounds = (LINEAR_OF_LEVEL, LEVEL_BOUNDS) if linear_light else (LEVELS, LEVEL_BOUNDS[:0])
    source = image.reshape(len(image), -1)
    weighed = np.array([number for number, method in enumerate(methods) if method.kernel != "nearest"], np.int64)
    if weighed.size:
        _passes(source, weighed, *row_weights, *column_weights, values, LEVEL_GUESSES, bounds, results)
    for number, method in enumerate(methods):
        if method.kernel == "nearest":
            _gather(source, row_weights[0][number], column_weights[0][number], results[number])
    if results.shape[1:] != (rows.count, samples):
        results = np.ascontiguousarray(results[:, : rows.count, :samples])
    return [on_canvas(part.reshape(rows.count, columns.count, 3), placement) for part in results]


def _whole_bands(length: int) -> int:
    return -(-length // BAND) * BAND


def on_canvas(part: Bytes, placement: Placement) -> Bytes:
    """Lay the resampled part (HWC uint8) on the placement's canvas, black around it."""
    if part.shape[:2] == placement.canvas_px:
        return part
    canvas = np.zeros((*placement.canvas_px, 3), np.uint8)
    top, left = placement.corner_px
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


@compiled
def _gather(source: Bytes, rows: Integers, columns: Integers, result: Bytes) -> None:
    """The pixels where the rows and columns cross."""
    last = columns.size - 1
    for y in range(rows.size):
        begin, to = rows[y] * source.shape[1], y * result.shape[1]
        # With the byte behind it, which the next pixel overwrites, a pixel is copied at once.
        safe = last if begin + source.shape[1] < source.size else min(last, np.searchsorted(columns, columns[last]))
        for x in range(safe):
            copy_four(source, begin + 3 * columns[x], result, to + 3 * x)
        for x in range(safe, columns.size):
            for channel in range(3):
                result[y, 3 * x + channel] = source[rows[y], 3 * columns[x] + channel]


@compiled
def _passes(
    source: Bytes,
    weighed: Integers,
    row_first: Integers,
    row_taps: Integers,
    row_weights: Floats,
    column_first: Integers,
    column_taps: Integers,
    column_weights: Floats,
    values: Floats,
    guesses: Bytes,
    bounds: Floats,
    results: Bytes,
) -> None:
    """Both passes, by each method of those to be weighed, through the `values` of the 256 levels.

    The results have room for whole bands. Bounds of length 0 mean that the values are the levels themselves.
    """
    methods, rows = row_first.shape
    columns, pitch = column_first.shape[1], results.shape[2]
    first, last = ends(column_first, column_taps, 0, columns)
    width = 3 * (last - first)
    bands = np.empty((methods, (width + TILE) * BAND), np.float32)
    most = 0
    for top in range(0, rows, BAND):
        begin, end = ends(row_first, row_taps, top, top + BAND)
        most = max(most, end - begin)
    # A method's sums lie behind the source rows.
    tile = np.zeros((most + BAND) * TILE, np.float32)
    sums = np.zeros((columns * 3 + BAND) * BAND, np.float32)
    levels = np.empty(sums.size, np.uint8)
    for top in range(0, rows, BAND):
        begin, end = ends(row_first, row_taps, top, top + BAND)
        for start in range(0, width, TILE):
            _take_rows(source, begin, end, 3 * first + start, width - start, values, bounds.size > 0, tile)
            for method in weighed:
                to = (method * (width + TILE) + start) * BAND
                _combine_rows(tile, begin, end, method, top, row_first, row_taps, row_weights, bands, to)
        for method in weighed:
            at = (method * (width + TILE) - 3 * first) * BAND
            for column in range(columns):
                _combine_columns(bands, at, method, column, column_first, column_taps, column_weights, sums)
            if bounds.size:
                _quantise_linear(sums, guesses, bounds, levels)
            else:
                for x in range(0, sums.size, BAND):
                    store(levels, x, load(sums, x))
            to = (method * results.shape[1] + top) * pitch
            for x in range(0, pitch, BAND):
                transpose_levels(levels, x * BAND, results, to + x, pitch)


@compiled_leaf
def _take_rows(
    source: Bytes, begin: int, end: int, left: int, rest: int, values: Floats, linear: bool, tile: Floats
) -> None:
    """The values of a tile's source rows, from sample `left` on, of which the rows have `rest` more.

    Where they have less than the tile, something follows that is not looked at.
    """
    for row in range(begin, end):
        at, to = row * source.shape[1] + left, (row - begin) * TILE
        if at + TILE <= source.size and not linear:
            for x in range(0, TILE, BAND):
                store(tile, to + x, load(source, at + x))
        else:
            for x in range(min(rest, TILE)):
                tile[to + x] = values[source[row, left + x]]


@compiled_leaf
def _combine_rows(
    tile: Floats,
    begin: int,
    end: int,
    method: int,
    top: int,
    row_first: Integers,
    row_taps: Integers,
    row_weights: Floats,
    bands: Floats,
    to: int,
) -> None:
    """A method's sixteen weighted sums of a tile's source rows, laid beside each other from `to` on."""
    last = row_first.shape[1] - 1
    behind = (end - begin) * TILE
    for lane in range(BAND):
        row = min(top + lane, last)
        at = np.uintp((row_first[method, row] - begin) * TILE)
        a = b = c = d = splat(np.float32(0))
        for tap in range(np.uintp(row_taps[method, row])):
            weight = splat(row_weights[np.uintp(method), np.uintp(row), tap])
            a = a + weight * load(tile, at)
            b = b + weight * load(tile, at + np.uintp(COUNT))
            c = c + weight * load(tile, at + np.uintp(2 * COUNT))
            d = d + weight * load(tile, at + np.uintp(3 * COUNT))
            at += np.uintp(TILE)
        sums = behind + lane * TILE
        store(tile, sums, a)
        store(tile, sums + COUNT, b)
        store(tile, sums + 2 * COUNT, c)
        store(tile, sums + 3 * COUNT, d)
    for lane in range(0, BAND, SQUARE):
        for x in range(0, TILE, SQUARE):
            transpose(tile, behind + lane * TILE + x, TILE, bands, to + x * BAND + lane, BAND)


@compiled_leaf
def _combine_columns(
    bands: Floats,
    origin: int,
    method: int,
    column: int,
    column_first: Integers,
    column_taps: Integers,
    column_weights: Floats,
    sums: Floats,
) -> None:
    """The weighted sum of a band's columns: three channels of sixteen rows."""
    at = np.uintp(origin + column_first[method, column] * 3 * BAND)
    red = green = blue = splat(np.float32(0))
    for tap in range(np.uintp(column_taps[method, column])):
        weight = splat(column_weights[np.uintp(method), np.uintp(column), tap])
        red = red + weight * load(bands, at)
        green = green + weight * load(bands, at + np.uintp(BAND))
        blue = blue + weight * load(bands, at + np.uintp(2 * BAND))
        at += np.uintp(3 * BAND)
    to = column * 3 * BAND
    store(sums, to, red)
    store(sums, to + BAND, green)
    store(sums, to + 2 * BAND, blue)


@compiled_leaf
def _quantise_linear(values: Floats, guesses: Bytes, bounds: Floats, levels: Bytes) -> None:
    """The sRGB level of linear values: the highest level whose lower bound is not above the value."""
    for x in range(levels.size):
        value = min(max(values[x], np.float32(0)), np.float32(1))
        level = np.int64(guesses[np.int64(value * np.float32(GUESSES - 1))])
        while level < 255 and value >= bounds[level + 1]:
            level += 1
        levels[x] = level


def _srgb_to_linear(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1, 0..1 to 0..1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


# The value of each level, gamma-encoded and linear, and the linear value from which on a level is the nearest.
LEVELS = np.arange(256, dtype=np.float32)
LINEAR_OF_LEVEL = _srgb_to_linear(np.arange(256) / 255).astype(np.float32)
LEVEL_BOUNDS = _srgb_to_linear(np.maximum(np.arange(256) - 0.5, 0) / 255).astype(np.float32)
# Never above the true level, so that the search only goes up.
LEVEL_GUESSES = (
    (np.searchsorted(LEVEL_BOUNDS, np.arange(GUESSES) / (GUESSES - 1) - 1e-6, "right") - 1).clip(0).astype(np.uint8)
)
