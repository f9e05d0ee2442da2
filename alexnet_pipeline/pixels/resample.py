"""A picture, a placement and a method in, the target's pixels out: the one engine.

Two separable passes in float32 (rows first), no rounding or clipping between them, one round-half-even and
one clip at the end. Eight output rows are made at a time and laid sample by sample beside each other, so that
the second pass, too, is eight lanes wide and needs no gather.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled, compiled_leaf
from alexnet_pipeline.pixels.geometry import Axis, Placement
from alexnet_pipeline.pixels.kernels import KERNELS, Method
from alexnet_pipeline.pixels.lanes import COUNT, SQUARE, load, splat, store, transpose, transpose_levels

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Switches = NDArray[np.bool_]

# Output rows that go through both passes together: a lane each.
BAND = COUNT
# Samples of a row that the first pass makes at once, so that the source rows they need stay in the nearest cache.
TILE = 64
# Codes beside those of KERNELS.
NEAREST, AREA = -1, -2
# Source samples of an axis up to which its weights are kept for pictures to come; longer ones take megabytes.
MOST_KEPT_PX = 1024
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
    row_weights, column_weights = _weights_of_each(rows, methods), _weights_of_each(columns, methods)
    values, bounds = (LINEAR_OF_LEVEL, LEVEL_BOUNDS) if linear_light else (LEVELS, LEVEL_BOUNDS[:0])
    source = image.reshape(len(image), -1)
    weighed = np.array([number for number, method in enumerate(methods) if method.kernel != "nearest"], np.int64)
    if weighed.size:
        _passes(source, weighed, *row_weights, *column_weights, values, LEVEL_GUESSES, bounds, results)
    for number in set(range(len(methods))).difference(weighed):
        _gather(source, row_weights[0][number], column_weights[0][number], results[number])
    kept = results[:, : rows.count, :samples]
    parts = [np.ascontiguousarray(part).reshape(rows.count, columns.count, 3) for part in kept]
    return [on_canvas(part, placement) for part in parts]


def needed_samples(axis: Axis, methods: Sequence[Method]) -> tuple[int, int]:
    """The first source sample that an axis takes by any of the methods, and the one past the last."""
    first, taps, _ = _weights_of_each(axis, methods)
    low, high = _ends(first, taps, 0, axis.count)
    return int(low), int(high)


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
    first, taps, weights = _weights_of_each(axis, [method])
    return first[0], taps[0], weights[0]


def _weights_of_each(axis: Axis, methods: Sequence[Method]) -> tuple[Integers, Integers, Floats]:
    """The same for several methods, along a first axis."""
    kinds = tuple((method.kernel, method.support) for method in methods)
    find = _kept_weights if axis.source <= MOST_KEPT_PX else _find_weights
    return find(axis.source, axis.full, axis.start, axis.count, kinds)


def _find_weights(
    source: int, full: int, start: int, count: int, kinds: tuple[tuple[str, str], ...]
) -> tuple[Integers, Integers, Floats]:
    return _weights(source, full, start, count, *_engine_codes(kinds, full > source))


# By plain values, because hashing a dataclass takes Python's own time.
_kept_weights = functools.lru_cache(maxsize=512)(_find_weights)


@functools.cache
def _engine_codes(kinds: tuple[tuple[str, str], ...], enlarges: bool) -> tuple[Integers, Doubles, Switches]:
    """How the compiled engine tells kernels apart, their radii, and whether they widen with the downscale."""
    found = []
    for kernel, support in kinds:
        scaled = support == "scaled"
        if kernel == "nearest":
            found.append((NEAREST, 0.5, False))
        elif kernel == "area":
            found.append((AREA, 0.5, True))
        else:
            # A Gaussian only blurs where there is nothing to filter out.
            chosen = KERNELS["triangle" if kernel == "gaussian" and scaled and enlarges else kernel]
            found.append((chosen.code, chosen.radius, scaled))
    codes, radii, scaleds = zip(*found, strict=True)
    return np.array(codes), np.array(radii), np.array(scaleds)


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
def _lanczos(start: float, step: float, turn_sine: float, turn_cosine: float, values: Doubles) -> None:
    """sinc(x) sinc(x / 3) at pi x / 3 = start * step and on, a step apart, by two sines instead of two for each.

    With u = pi x / 3, sin(3 u) = 3 sin(u) - 4 sin(u)^3; and from one sample to the next u turns by one angle.
    """
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
    n: int, m: int, start: int, count: int, codes: Integers, radii: Doubles, scaled: Switches
) -> tuple[Integers, Integers, Floats]:
    """For each kernel the first source sample of each output, how many it takes, and with which weights."""
    scale = n / m
    factors = np.where(scaled, max(scale, 1.0), 1.0)
    reaches = radii * np.where(codes == AREA, scale, factors)
    most = (int(2.0 * reaches.max()) + 2 + 3) // 4 * 4
    first = np.empty((codes.size, count), np.int64)
    taps = np.empty((codes.size, count), np.int64)
    weights = np.zeros((codes.size, count, most), np.float32)
    exact = np.empty(most, np.float64)
    for kernel in range(codes.size):
        step = math.pi / 3.0 / factors[kernel]
        turn_sine, turn_cosine = math.sin(step), math.cos(step)
        for row in range(count):
            output = start + row
            low, high = _reached(n, m, output, codes[kernel], reaches[kernel])
            offset = low - ((output + 0.5) * scale - 0.5)
            if codes[kernel] == 4:
                _lanczos(offset, step, turn_sine, turn_cosine, exact[: high - low])
            else:
                for tap in range(high - low):
                    exact[tap] = _weight(n, m, output, codes[kernel], factors[kernel], low + tap)
            total = 0.0
            for tap in range(high - low):
                total += exact[tap]
            for tap in range(high - low):
                weights[kernel, row, tap] = exact[tap] / total
            first[kernel, row], taps[kernel, row] = low, high - low
    return first, taps, weights


@compiled_leaf
def _reached(n: int, m: int, output: int, code: int, reach: float) -> tuple[int, int]:
    """The first source sample of an output, and the one past the last."""
    if code == NEAREST:
        nearest = (2 * output + 1) * n // (2 * m)
        return nearest, nearest + 1
    if code == AREA:
        return output * n // m, ((output + 1) * n + m - 1) // m
    centre = (output + 0.5) * (n / m) - 0.5
    low = max(0, int(math.floor(centre - reach)))
    while abs(low - centre) >= reach:
        low += 1
    high = min(n, int(math.ceil(centre + reach)) + 1)
    while abs(high - 1 - centre) >= reach:
        high -= 1
    return low, high


@compiled_leaf
def _weight(n: int, m: int, output: int, code: int, factor: float, k: int) -> float:
    """Of the source sample k, before all are made to sum to 1."""
    if code == NEAREST:
        return 1.0
    if code == AREA:  # in units of 1/m source pixel, so that coverage is exact
        return (min((output + 1) * n, (k + 1) * m) - max(output * n, k * m)) / n
    return _kernel(code, (k - ((output + 0.5) * (n / m) - 0.5)) / factor)


@compiled
def _gather(source: Bytes, rows: Integers, columns: Integers, result: Bytes) -> None:
    """The pixels where the rows and columns cross."""
    for y in range(np.uintp(rows.size)):
        row = np.uintp(rows[y])
        for x in range(np.uintp(columns.size)):
            at = np.uintp(3) * np.uintp(columns[x])
            for channel in range(np.uintp(3)):
                result[y, np.uintp(3) * x + channel] = source[row, at + channel]


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
    first, last = _ends(column_first, column_taps, 0, columns)
    width = 3 * (last - first)
    bands = np.empty((methods, (width + TILE) * BAND), np.float32)
    most = 0
    for top in range(0, rows, BAND):
        begin, end = _ends(row_first, row_taps, top, top + BAND)
        most = max(most, end - begin)
    # A method's sums lie behind the source rows.
    tile = np.zeros((most + BAND) * TILE, np.float32)
    sums = np.zeros((columns * 3 + BAND) * BAND, np.float32)
    levels = np.empty(sums.size, np.uint8)
    for top in range(0, rows, BAND):
        begin, end = _ends(row_first, row_taps, top, top + BAND)
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
def _ends(first: Integers, taps: Integers, begin: int, end: int) -> tuple[int, int]:
    """The first source sample that some outputs of any method take, and the one past the last."""
    last = min(end, first.shape[1]) - 1
    low, high = first[0, begin], first[0, last] + taps[0, last]
    for method in range(1, first.shape[0]):
        low = min(low, first[method, begin])
        high = max(high, first[method, last] + taps[method, last])
    return low, high


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
            b = b + weight * load(tile, at + np.uintp(16))
            c = c + weight * load(tile, at + np.uintp(32))
            d = d + weight * load(tile, at + np.uintp(48))
            at += np.uintp(TILE)
        sums = behind + lane * TILE
        store(tile, sums, a)
        store(tile, sums + 16, b)
        store(tile, sums + 32, c)
        store(tile, sums + 48, d)
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
