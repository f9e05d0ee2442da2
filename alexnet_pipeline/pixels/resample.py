"""A picture, a placement and a method in, the target's pixels out: the one engine.

Two separable passes in float32 (rows first), no rounding or clipping between them, one round-half-even and
one clip at the end. Eight output rows are made at a time and laid sample by sample beside each other, so that
the second pass, too, is eight lanes wide and needs no gather.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled, compiled_leaf
from alexnet_pipeline.pixels.geometry import Axis, Placement
from alexnet_pipeline.pixels.kernels import KERNELS, Method
from alexnet_pipeline.pixels.lanes import load, splat, store, transpose, transpose_levels

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

# Rows that go through both passes together: a lane each.
BAND = 8
# Samples of a row that the first pass makes at once, so that the source rows they need stay in the nearest cache.
TILE = 32
# Codes beside those of KERNELS.
NEAREST, AREA = -1, -2
# Entries of the table that guesses an sRGB level from a linear value.
GUESSES = 4096


def resample(image: Bytes, placement: Placement, method: Method, *, linear_light: bool = False) -> Bytes:
    """Resample a picture by a kernel method.

    Args:
        image: HWC uint8, RGB, C-contiguous, of the placement's source size.
        placement: what to compute; only the kept rows and columns are.
        method: one of our engine's.
        linear_light: go through the exact sRGB curve.

    Returns:
        HWC uint8 of the placement's canvas size; black where nothing was placed.
    """
    rows, columns = placement.rows, placement.columns
    row_taps, column_taps = axis_weights(rows, method), axis_weights(columns, method)
    if method.kernel == "nearest":  # nothing to weigh, and one light is as good as the other
        return on_canvas(_gather(image, row_taps[0], column_taps[0]), placement)
    source = image.reshape(image.shape[0], -1)
    samples = columns.count * 3
    result = np.empty((_whole_bands(rows.count), _whole_bands(samples)), np.uint8)
    first, last = needed_samples(columns, method)
    values, bounds = (LINEAR_OF_LEVEL, LEVEL_BOUNDS) if linear_light else (LEVELS, LEVEL_BOUNDS[:0])
    _passes(source, *row_taps, *column_taps, first, last - first, values, LEVEL_GUESSES, bounds, result)
    kept = np.ascontiguousarray(result[: rows.count, :samples])
    return on_canvas(kept.reshape(rows.count, columns.count, 3), placement)


def needed_samples(axis: Axis, method: Method) -> tuple[int, int]:
    """The first source sample that an axis takes, and the one past the last."""
    first, taps, _ = axis_weights(axis, method)
    # No output ever takes less than the one before it.
    return int(first[0]), int(first[-1] + taps[-1])


def _whole_bands(length: int) -> int:
    return -(-length // BAND) * BAND


def axis_weights(axis: Axis, method: Method) -> tuple[Integers, Integers, Floats]:
    """The weights of one axis, as the engine uses them; do not change them, they are kept.

    Returns:
        first: (count,) the first source sample of each output sample.
        taps: (count,) how many source samples it takes.
        weights: (count, most taps, rounded up to a multiple of four) float32, each row summing to 1.

    Source: shared definition, half-pixel centres; taps outside the picture are dropped, the rest normalised.
    """
    return _kept_weights(axis.source, axis.full, axis.start, axis.count, method.kernel, method.support)


@functools.lru_cache(maxsize=8192)  # by plain values, because hashing a dataclass takes Python's own time
def _kept_weights(
    source: int, full: int, start: int, count: int, kernel: str, support: str
) -> tuple[Integers, Integers, Floats]:
    if kernel == "nearest":
        return _weights(source, full, start, count, NEAREST, 0.5, False)
    if kernel == "area":
        return _weights(source, full, start, count, AREA, 0.5, True)
    scaled = support == "scaled"
    # A Gaussian only blurs where there is nothing to filter out.
    chosen = KERNELS["triangle" if kernel == "gaussian" and scaled and full > source else kernel]
    return _weights(source, full, start, count, chosen.code, chosen.radius, scaled)


def on_canvas(part: Bytes, placement: Placement) -> Bytes:
    """Lay the resampled part (HWC uint8) on the placement's canvas, black around it."""
    if part.shape[:2] == placement.canvas_px:
        return part
    canvas = np.zeros((*placement.canvas_px, 3), np.uint8)
    top, left = placement.corner_px
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


@compiled_leaf
def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(math.pi * x) / (math.pi * x)


@compiled_leaf
def _kernel(code: int, x: float) -> float:  # noqa: PLR0911 - one return a kernel reads best
    x = abs(x)
    if code == 0:
        return 1.0 - x
    if code == 1:
        return (1.5 * x - 2.5) * x * x + 1.0 if x < 1.0 else ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    if code == 2:
        if x < 1.0:
            return ((7.0 * x - 12.0) * x * x + 16.0 / 3.0) / 6.0
        return (((-7.0 / 3.0 * x + 12.0) * x - 20.0) * x + 32.0 / 3.0) / 6.0
    if code == 3:
        return _sinc(x) * _sinc(x / 2.0)
    if code == 4:
        return _sinc(x) * _sinc(x / 3.0)
    if code == 5:
        return math.exp(-2.0 * x * x)
    return _sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x))


@compiled_leaf
def _lanczos(start: float, factor: float, values: Doubles) -> None:
    """sinc(x) sinc(x / 3) at x = start / factor and on, a sample apart, by two sines instead of two for each.

    With u = pi x / 3, sin(3 u) = 3 sin(u) - 4 sin(u)^3; and from one sample to the next u turns by one angle.
    """
    step = math.pi / 3.0 / factor
    turn_sine, turn_cosine = math.sin(step), math.cos(step)
    sine, cosine = math.sin(start * step), math.cos(start * step)
    for k in range(values.size):
        angle, square = (start + k) * step, sine * sine
        if abs(angle) < 1e-4:  # the quotient below would lose digits; the series' next term is below 1e-15
            values[k] = 1.0 - 5.0 / 3.0 * angle * angle
        else:
            values[k] = square * (3.0 - 4.0 * square) / (3.0 * angle * angle)
        sine, cosine = sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine


@compiled
def _weights(
    n: int, m: int, start: int, count: int, code: int, radius: float, scaled: bool
) -> tuple[Integers, Integers, Floats]:
    scale = n / m
    factor = max(scale, 1.0) if scaled else 1.0
    reach = radius * (scale if code == AREA else factor)
    most = (int(2.0 * reach) + 2 + 3) // 4 * 4
    first = np.empty(count, np.int64)
    taps = np.empty(count, np.int64)
    weights = np.zeros((count, most), np.float32)
    exact = np.empty(most, np.float64)
    for row in range(count):
        output = start + row
        if code == NEAREST:
            first[row], taps[row], weights[row, 0] = (2 * output + 1) * n // (2 * m), 1, 1.0
            continue
        if code == AREA:
            # In units of 1/m source pixel, so that coverage is exact.
            low = output * n // m
            high = ((output + 1) * n + m - 1) // m
            for k in range(low, high):
                exact[k - low] = (min((output + 1) * n, (k + 1) * m) - max(output * n, k * m)) / n
        else:
            centre = (output + 0.5) * scale - 0.5
            low = max(0, int(math.floor(centre - reach)))
            while abs(low - centre) >= reach:
                low += 1
            high = min(n, int(math.ceil(centre + reach)) + 1)
            while abs(high - 1 - centre) >= reach:
                high -= 1
            if code == 4:
                _lanczos(low - centre, factor, exact[: high - low])
            else:
                for k in range(low, high):
                    exact[k - low] = _kernel(code, (k - centre) / factor)
        total = 0.0
        for tap in range(high - low):
            total += exact[tap]
        for tap in range(high - low):
            weights[row, tap] = exact[tap] / total
        first[row], taps[row] = low, high - low
    return first, taps, weights


@compiled
def _gather(image: Bytes, rows: Integers, columns: Integers) -> Bytes:
    """The pixels where the rows and columns cross."""
    result = np.empty((rows.size, columns.size, 3), np.uint8)
    for y in range(rows.size):
        row = np.uintp(rows[y])
        for x in range(np.uintp(columns.size)):
            column = np.uintp(columns[x])
            for channel in range(np.uintp(3)):
                result[np.uintp(y), x, channel] = image[row, column, channel]
    return result


@compiled
def _passes(
    source: Bytes,
    row_first: Integers,
    row_taps: Integers,
    row_weights: Floats,
    column_first: Integers,
    column_taps: Integers,
    column_weights: Floats,
    first: int,
    width: int,
    values: Floats,
    guesses: Bytes,
    bounds: Floats,
    result: Bytes,
) -> None:
    """Both passes over `width` source columns from `first` on, through the `values` of the 256 levels.

    The result has room for whole bands. Bounds of length 0 mean that the values are the levels themselves.
    """
    band = np.empty((3 * width + TILE) * BAND, np.float32)
    # The eight sums lie behind the source rows.
    tile = np.zeros((_most_rows(row_first, row_taps) + BAND) * TILE, np.float32)
    sums = np.zeros((column_first.size * 3 + BAND) * BAND, np.float32)
    levels = np.empty(sums.size, np.uint8)
    for top in range(0, row_first.size, BAND):
        for start in range(0, 3 * width, TILE):
            left, rest = 3 * first + start, 3 * width - start
            _take_rows(source, top, row_first, row_taps, left, rest, values, bounds.size > 0, tile)
            _combine_rows(tile, top, row_first, row_taps, row_weights, band, start)
        for column in range(column_first.size):
            _combine_columns(band, column_first[column] - first, column_taps[column], column_weights, column, sums)
        if bounds.size:
            _quantise_linear(sums, guesses, bounds, levels)
        else:
            for at in range(0, sums.size, BAND):
                store(levels, at, load(sums, at))
        for start in range(0, result.shape[1], BAND):
            transpose_levels(levels, start * BAND, result, top * result.shape[1] + start, result.shape[1])


@compiled_leaf
def _most_rows(first: Integers, taps: Integers) -> int:
    """How many source rows the band that needs most takes."""
    most = 0
    for top in range(0, first.size, BAND):
        last = min(top + BAND, first.size) - 1
        most = max(most, first[last] + taps[last] - first[top])
    return most


@compiled_leaf
def _take_rows(
    source: Bytes,
    top: int,
    row_first: Integers,
    row_taps: Integers,
    left: int,
    rest: int,
    values: Floats,
    linear: bool,
    tile: Floats,
) -> None:
    """The values of a tile's source rows, from sample `left` on, of which the rows have `rest` more."""
    last = min(top + BAND, row_first.size) - 1
    for row in range(row_first[top], row_first[last] + row_taps[last]):
        to = (row - row_first[top]) * TILE
        if rest >= TILE and not linear:
            for x in range(0, TILE, 8):
                store(tile, to + x, load(source, row * source.shape[1] + left + x))
        else:
            for x in range(min(rest, TILE)):
                tile[to + x] = values[source[row, left + x]]


@compiled_leaf
def _combine_rows(
    tile: Floats, top: int, row_first: Integers, row_taps: Integers, row_weights: Floats, band: Floats, start: int
) -> None:
    """The eight weighted sums of a tile's source rows, laid beside each other in the band from `start` on."""
    last = min(top + BAND, row_first.size) - 1
    origin = row_first[top]
    rows = row_first[last] + row_taps[last] - origin
    for lane in range(BAND):
        row = min(top + lane, last)
        at = np.uintp((row_first[row] - origin) * TILE)
        a = b = c = d = splat(np.float32(0))
        for tap in range(np.uintp(row_taps[row])):
            weight = splat(row_weights[np.uintp(row), tap])
            a = a + weight * load(tile, at)
            b = b + weight * load(tile, at + np.uintp(8))
            c = c + weight * load(tile, at + np.uintp(16))
            d = d + weight * load(tile, at + np.uintp(24))
            at += np.uintp(TILE)
        to = (rows + lane) * TILE
        store(tile, to, a)
        store(tile, to + 8, b)
        store(tile, to + 16, c)
        store(tile, to + 24, d)
    for x in range(0, TILE, 8):
        transpose(tile, rows * TILE + x, TILE, band, (start + x) * BAND, BAND)


@compiled_leaf
def _combine_columns(band: Floats, first: int, taps: int, weights: Floats, column: int, sums: Floats) -> None:
    """The weighted sum of a band's columns: three channels of eight rows."""
    at = np.uintp(first * 3 * BAND)
    red = green = blue = splat(np.float32(0))
    for tap in range(np.uintp(taps)):
        weight = splat(weights[np.uintp(column), tap])
        red = red + weight * load(band, at)
        green = green + weight * load(band, at + np.uintp(BAND))
        blue = blue + weight * load(band, at + np.uintp(2 * BAND))
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
