"""The resampling engine: two separable passes in float32 over one decoded image, for several methods at once.

The vertical pass comes first. Nothing is rounded or clipped between the passes; at the end there is one clip and one
rounding, half to even. Sixteen output rows (a band) go through both passes together: they are transposed after the
first, so that the second works on sixteen rows at a time without gathers. Methods share the source's rows, which are
converted to float32 once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled, compiled_part, keep
from alexnet_pipeline.pixels.geometry import Axis, Placement, on_canvas
from alexnet_pipeline.pixels.kernels import Method, find_method
from alexnet_pipeline.pixels.lanes import COUNT, SQUARE, copy_four, load, splat, store, transpose, transpose_levels
from alexnet_pipeline.pixels.weights import ends, weights_of_each

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Output rows that go through both passes together, one in each lane.
BAND = COUNT
# Samples of a row that the first pass computes at a time, so that the source rows they need stay in the L1 cache.
TILE = 4 * COUNT
# Entries of the table that guesses an sRGB level from a linear value.
GUESSES = 4096
# Sides, source and output, of the image that is resampled to compile the engine, in pixels.
REHEARSAL_PX = (40, 17)


def resample_each(
    image: Bytes, placement: Placement, methods: Sequence[Method], *, linear_light: bool = False
) -> list[Bytes]:
    """Resample an image by several methods of this engine.

    Args:
        image: HWC uint8, RGB, C-contiguous, of the placement's source size.
        placement: scales of both axes, and the part of the output that is kept; only that is computed.
        methods: kernel methods, `area` or `nearest`.
        linear_light: resample in linear light, through the exact sRGB curve.

    Returns:
        For each method, HWC uint8 of the placement's canvas size; black where nothing was placed.
    """
    prepare()
    return _resample_each(image, placement, methods, linear_light=linear_light)


@functools.cache
def prepare() -> None:
    """Compile the engine, or load its machine code: once in a process, and not again in its forked children."""
    source, size = REHEARSAL_PX
    axis = Axis(source, size, 0, size)
    methods = [find_method(name) for name in ("lanczos", "area", "nearest")]
    image = np.zeros((source, source, 3), np.uint8)
    _resample_each(image, Placement(axis, axis, (size, size), (0, 0)), methods, linear_light=True)
    keep()


def _resample_each(image: Bytes, placement: Placement, methods: Sequence[Method], *, linear_light: bool) -> list[Bytes]:
    rows, columns = placement.rows, placement.columns
    samples = columns.count * 3
    results = np.empty((len(methods), _whole_bands(rows.count), _whole_bands(samples)), np.uint8)
    row_weights, column_weights = weights_of_each(rows, methods), weights_of_each(columns, methods)
    values, bounds = (LINEAR_OF_LEVEL, LEVEL_BOUNDS) if linear_light else (LEVELS, LEVEL_BOUNDS[:0])
    source = image.reshape(len(image), -1)
    weighed = np.array([number for number, method in enumerate(methods) if method.kernel != "nearest"], np.int64)
    if weighed.size:
        band_rows = BAND * rows.source // rows.full + row_weights[2].shape[2] + 2  # most source rows of a band
        _passes(source, weighed, band_rows, *row_weights, *column_weights, values, LEVEL_GUESSES, bounds, results)
    for number, method in enumerate(methods):
        if method.kernel == "nearest":
            _gather(source, row_weights[0][number], column_weights[0][number], results[number])
    if results.shape[1:] != (rows.count, samples):
        results = np.ascontiguousarray(results[:, : rows.count, :samples])
    return [on_canvas(part.reshape(rows.count, columns.count, 3), placement) for part in results]


def _whole_bands(length: int) -> int:
    return -(-length // BAND) * BAND


@compiled
def _gather(source: Bytes, rows: Integers, columns: Integers, result: Bytes) -> None:
    """Copy the pixels at chosen rows and columns."""
    last = columns.size - 1
    for y in range(rows.size):
        begin, to = rows[y] * source.shape[1], y * result.shape[1]
        # A pixel is copied as four bytes; the next pixel overwrites the fourth. The image's last pixel has none.
        safe = last
        while safe and begin + source.shape[1] == source.size and columns[safe - 1] == columns[last]:
            safe -= 1
        for x in range(safe):
            copy_four(source, begin + 3 * columns[x], result, to + 3 * x)
        for x in range(safe, columns.size):
            for channel in range(3):
                result[y, 3 * x + channel] = source[rows[y], 3 * columns[x] + channel]


@compiled
def _passes(
    source: Bytes,
    weighed: Integers,
    band_rows: int,
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
    """Run both passes for the methods numbered in `weighed`.

    `values` holds the value of each of the 256 levels. If `bounds` is empty, these are the levels themselves.
    A band of the output takes at most `band_rows` rows of the source. The results have room for whole bands.
    """
    rows, columns, pitch = row_first.shape[1], column_first.shape[1], results.shape[2]
    first, last = ends(column_first, column_taps, columns - columns, columns)
    width = 3 * (last - first)
    room = (width + TILE) * BAND
    # Allocated here, so that LLVM knows that they do not overlap: a band per method between the passes; a tile of the
    # source rows and, behind them, of one method's rows; a band of the output.
    bands, tile = np.empty(row_first.shape[0] * room, np.float32), np.empty((band_rows + BAND) * TILE, np.float32)
    sums, levels = np.empty((3 * columns + BAND) * BAND, np.float32), np.empty((3 * columns + BAND) * BAND, np.uint8)
    for at in range(tile.size):
        tile[at] = 0
    for top in range(0, rows, BAND):
        begin, end = ends(row_first, row_taps, top, top + BAND)
        for start in range(0, width, TILE):
            _take_rows(source, begin, end, 3 * first + start, width - start, values, bounds.size > 0, tile)
            for method in weighed:
                to = method * room + start * BAND
                _combine_rows(tile, begin, end, method, top, row_first, row_taps, row_weights, bands, to)
        for method in weighed:
            at = method * room - 3 * first * BAND
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


@compiled_part
def _take_rows(
    source: Bytes, begin: int, end: int, left: int, rest: int, values: Floats, linear: bool, tile: Floats
) -> None:
    """Copy a tile of the source rows [begin, end), from sample `left` on, as values.

    The rows have `rest` samples from there on; the tile's content beyond them is not used.
    """
    for row in range(begin, end):
        at, to = row * source.shape[1] + left, (row - begin) * TILE
        if at + TILE <= source.size and not linear:
            for x in range(0, TILE, BAND):
                store(tile, to + x, load(source, at + x))
        else:
            for x in range(rest if rest < TILE else TILE):
                tile[to + x] = values[source[row, left + x]]


@compiled_part
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
    """Compute a tile of sixteen output rows of the vertical pass, and store it transposed from `to` on."""
    last = row_first.shape[1] - 1
    behind = (end - begin) * TILE
    for lane in range(BAND):
        row = top + lane if top + lane < last else last
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


@compiled_part
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
    """Compute one output column of the horizontal pass: three channels of sixteen rows."""
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


@compiled_part
def _quantise_linear(values: Floats, guesses: Bytes, bounds: Floats, levels: Bytes) -> None:
    """Quantise linear values to sRGB levels: the highest level whose lower bound is not above the value."""
    for x in range(levels.size):
        value = values[x]
        value = np.float32(0) if not value > np.float32(0) else value if value < np.float32(1) else np.float32(1)
        level = np.int64(guesses[np.int64(value * np.float32(GUESSES - 1))])
        while level < 255 and value >= bounds[level + 1]:
            level += 1
        levels[x] = level


def _srgb_to_linear(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decode sRGB values as IEC 61966-2-1 defines, 0..1 to 0..1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


# The value of each level, gamma-encoded and linear; and the least linear value for which a level is the nearest.
LEVELS = np.arange(256, dtype=np.float32)
LINEAR_OF_LEVEL = _srgb_to_linear(np.arange(256) / 255).astype(np.float32)
LEVEL_BOUNDS = _srgb_to_linear(np.maximum(np.arange(256) - 0.5, 0) / 255).astype(np.float32)
# Never above the true level, so that the search only goes up.
LEVEL_GUESSES = (
    (np.searchsorted(LEVEL_BOUNDS, np.arange(GUESSES) / (GUESSES - 1) - 1e-6, "right") - 1).clip(0).astype(np.uint8)
)
