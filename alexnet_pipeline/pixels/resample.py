"""A picture, a placement and a method in, the target's pixels out: the one engine.

Two separable passes in float32 (rows first), no rounding or clipping between them, one round-half-even and
one clip at the end. Eight output rows are made at a time and laid sample by sample beside each other, so that
both passes run over contiguous memory and the second needs no gather.
"""

from __future__ import annotations

import functools
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.geometry import Axis, Placement
from alexnet_pipeline.pixels.kernels import KERNELS, Method

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Rows that go through both passes together: one AVX register of float32, and what LLVM can interleave.
BAND = 8
BAND_SAMPLES = np.uintp(3 * BAND)
# Adding and subtracting 1.5 * 2^23 rounds a float32 below 2^22 half to even, on every CPU.
ROUNDER = np.float32(12_582_912.0)
# Codes beside those of KERNELS.
NEAREST, AREA = -1, -2
# Entries of the table that guesses an sRGB level from a linear value.
GUESSES = 4096


def _use_writable_cache() -> None:
    """Point numba at a folder it can write, since it raises at import where there is none."""
    settings: Any = numba.config  # numba's settings are set at run time, which its types do not know
    if settings.CACHE_DIR or os.access(Path(__file__).parent, os.W_OK):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alexnet-pipeline" / "numba"
    try:
        home.mkdir(parents=True, exist_ok=True)
        usable = os.access(home, os.W_OK)
    except OSError:
        usable = False
    settings.CACHE_DIR = str(home if usable else Path(tempfile.mkdtemp(prefix="alexnet-pipeline-")))


_use_writable_cache()
# No fastmath: contraction to FMA would make pixels depend on the CPU.
compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


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
    source = image.reshape(image.shape[0], -1)
    result = np.empty((rows.count, columns.count * 3), np.uint8)
    first = int(column_taps[0].min())
    width = int((column_taps[0] + column_taps[1]).max()) - first
    if linear_light:
        linear = LINEAR_OF_LEVEL[source]
        _passes(linear, *row_taps, *column_taps, first, width, result, LEVEL_GUESSES, LEVEL_BOUNDS)
    else:
        _passes(source, *row_taps, *column_taps, first, width, result, LEVEL_GUESSES, LEVEL_BOUNDS[:0])
    return on_canvas(result.reshape(rows.count, columns.count, 3), placement)


@functools.lru_cache(maxsize=8192)
def axis_weights(axis: Axis, method: Method) -> tuple[Integers, Integers, Floats]:
    """The weights of one axis, as the engine uses them.

    Returns:
        first: (count,) the first source sample of each output sample.
        taps: (count,) how many source samples it takes.
        weights: (count, most taps, rounded up to a multiple of four) float32, each row summing to 1.

    Source: shared definition, half-pixel centres; taps outside the picture are dropped, the rest normalised.
    """
    code, radius, scaled = _engine_code(axis, method)
    return _weights(axis.source, axis.full, axis.start, axis.count, code, radius, scaled)


def _engine_code(axis: Axis, method: Method) -> tuple[int, float, bool]:
    if method.kernel == "nearest":
        return NEAREST, 0.5, False
    if method.kernel == "area":
        return AREA, 0.5, True
    scaled = method.support == "scaled"
    # A Gaussian only blurs where there is nothing to filter out.
    blurs = method.kernel == "gaussian" and scaled and axis.enlarges
    kernel = KERNELS["triangle" if blurs else method.kernel]
    return kernel.code, kernel.radius, scaled


def on_canvas(part: Bytes, placement: Placement) -> Bytes:
    """Lay the resampled part (HWC uint8) on the placement's canvas, black around it."""
    if part.shape[:2] == placement.canvas_px:
        return part
    canvas = np.zeros((*placement.canvas_px, 3), np.uint8)
    top, left = placement.corner_px
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


@compiled
def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(math.pi * x) / (math.pi * x)


@compiled
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
def _passes(
    source: Bytes | Floats,
    row_first: Integers,
    row_taps: Integers,
    row_weights: Floats,
    column_first: Integers,
    column_taps: Integers,
    column_weights: Floats,
    first: int,
    width: int,
    result: Bytes,
    guesses: Bytes,
    bounds: Floats,
) -> None:
    """Both passes over `width` source columns from `first` on; bounds of length 0 mean gamma-encoded values."""
    lines = np.zeros((BAND, width * 3), np.float32)
    # Zeros behind the last column: the second pass takes taps by fours, the surplus with weight 0.
    band = np.zeros((width + column_weights.shape[1]) * 3 * BAND, np.float32)
    sums = np.empty(result.shape[1] * BAND, np.float32)
    for top in range(0, result.shape[0], BAND):
        rows = min(BAND, result.shape[0] - top)
        for row in range(rows):
            _combine_rows(
                source,
                row_first[top + row],
                row_taps[top + row],
                row_weights[top + row],
                first * 3,
                lines[row],
            )
        _lay_beside_each_other(lines[0], lines[1], lines[2], lines[3], lines[4], lines[5], lines[6], lines[7], band)
        for column in range(column_first.size):
            _combine_columns(
                band, column_first[column] - first, column_taps[column], column_weights[column], sums, column
            )
        for row in range(rows):
            if bounds.size:
                _quantise_linear(sums, row, guesses, bounds, result[top + row])
            else:
                _quantise(sums, row, result[top + row])


@compiled
def _combine_rows(source: Bytes | Floats, row: int, taps: int, weights: Floats, offset: int, line: Floats) -> None:
    """The weighted sum of source rows: four at a time keeps the sums in registers."""
    width = line.size
    end = offset + width
    done = 0
    if taps < 4:
        only, weight = source[row, offset:end], weights[0]
        for x in range(width):
            line[x] = weight * np.float32(only[x])
        done = 1
    while done + 4 <= taps:
        a, b = source[row + done, offset:end], source[row + done + 1, offset:end]
        c, d = source[row + done + 2, offset:end], source[row + done + 3, offset:end]
        wa, wb, wc, wd = weights[done], weights[done + 1], weights[done + 2], weights[done + 3]
        if done == 0:
            for x in range(width):
                line[x] = (wa * np.float32(a[x]) + wb * np.float32(b[x])) + (
                    wc * np.float32(c[x]) + wd * np.float32(d[x])
                )
        else:
            for x in range(width):
                line[x] += (wa * np.float32(a[x]) + wb * np.float32(b[x])) + (
                    wc * np.float32(c[x]) + wd * np.float32(d[x])
                )
        done += 4
    while done < taps:
        only, weight = source[row + done, offset:end], weights[done]
        for x in range(width):
            line[x] += weight * np.float32(only[x])
        done += 1


@compiled
def _lay_beside_each_other(
    a: Floats, b: Floats, c: Floats, d: Floats, e: Floats, f: Floats, g: Floats, h: Floats, band: Floats
) -> None:
    """Eight rows become runs of eight samples; written out, because LLVM then shuffles in registers."""
    for x in range(a.size):
        at = x * BAND
        band[at] = a[x]
        band[at + 1] = b[x]
        band[at + 2] = c[x]
        band[at + 3] = d[x]
        band[at + 4] = e[x]
        band[at + 5] = f[x]
        band[at + 6] = g[x]
        band[at + 7] = h[x]


@compiled
def _combine_columns(band: Floats, column: int, taps: int, weights: Floats, sums: Floats, output: int) -> None:
    """The weighted sum of a band's columns. Unsigned indices spare numba its test for negative ones."""
    at = np.uintp(column) * BAND_SAMPLES
    to = np.uintp(output) * BAND_SAMPLES
    b, c, d = BAND_SAMPLES, BAND_SAMPLES * np.uintp(2), BAND_SAMPLES * np.uintp(3)
    for done in range(0, taps, 4):
        wa, wb, wc, wd = weights[done], weights[done + 1], weights[done + 2], weights[done + 3]
        if done == 0:
            for x in range(BAND_SAMPLES):
                sums[to + x] = (wa * band[at + x] + wb * band[at + b + x]) + (
                    wc * band[at + c + x] + wd * band[at + d + x]
                )
        else:
            for x in range(BAND_SAMPLES):
                sums[to + x] += (wa * band[at + x] + wb * band[at + b + x]) + (
                    wc * band[at + c + x] + wd * band[at + d + x]
                )
        at += np.uintp(4) * BAND_SAMPLES


@compiled
def _quantise(sums: Floats, row: int, line: Bytes) -> None:
    for x in range(line.size):
        value = min(max(sums[x * BAND + row], np.float32(0)), np.float32(255))
        line[x] = np.uint8(np.int32((value + ROUNDER) - ROUNDER))


@compiled
def _quantise_linear(sums: Floats, row: int, guesses: Bytes, bounds: Floats, line: Bytes) -> None:
    """The sRGB level of linear values: the highest level whose lower bound is not above the value."""
    for x in range(line.size):
        value = min(max(sums[x * BAND + row], np.float32(0)), np.float32(1))
        level = np.int64(guesses[np.int64(value * np.float32(GUESSES - 1))])
        while level < 255 and value >= bounds[level + 1]:
            level += 1
        line[x] = level


def _srgb_to_linear(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1, 0..1 to 0..1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


# Linear value of each level, and the linear value from which on a level is the nearest one.
LINEAR_OF_LEVEL = _srgb_to_linear(np.arange(256) / 255).astype(np.float32)
LEVEL_BOUNDS = _srgb_to_linear(np.maximum(np.arange(256) - 0.5, 0) / 255).astype(np.float32)
# Never above the true level, so that the search only goes up.
LEVEL_GUESSES = (
    (np.searchsorted(LEVEL_BOUNDS, np.arange(GUESSES) / (GUESSES - 1) - 1e-6, "right") - 1).clip(0).astype(np.uint8)
)
