"""The weights of each output sample along an axis, for the kernels of several methods."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled, compiled_part
from alexnet_pipeline.pixels.geometry import Axis
from alexnet_pipeline.pixels.kernels import KERNELS, Method

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Switches = NDArray[np.bool_]

# Codes in addition to those of KERNELS.
NEAREST, AREA = -1, -2
# Longest source axis whose weights are cached for later images; those of longer ones take megabytes.
MAX_CACHED_PX = 1024


def axis_weights(axis: Axis, method: Method) -> tuple[Integers, Integers, Floats]:
    """Compute the weights of one axis as the engine uses them. They are cached: do not change them.

    Returns:
        first: (count,) the first source sample of each output sample.
        taps: (count,) the number of source samples that contribute to it.
        weights: (count, largest number of taps, rounded up to a multiple of four) float32; each row sums to 1.

    Samples have half-pixel centres; taps outside the image are dropped, and the rest is normalised.
    """
    first, taps, weights = weights_of_each(axis, [method])
    return first[0], taps[0], weights[0]


def weights_of_each(axis: Axis, methods: Sequence[Method]) -> tuple[Integers, Integers, Floats]:
    """Compute the same for several methods: each array gets a leading axis, with one entry per method."""
    kinds = tuple((method.kernel, method.support) for method in methods)
    compute = _cached_weights if axis.source <= MAX_CACHED_PX else _compute_weights
    return compute(axis.source, axis.full, axis.start, axis.count, kinds)


def _compute_weights(
    source: int, full: int, start: int, count: int, kinds: tuple[tuple[str, str], ...]
) -> tuple[Integers, Integers, Floats]:
    codes, radii, scaled = _engine_codes(kinds, full > source)
    scale = source / full
    reaches = [_reach(scale, *row) for row in zip(codes.tolist(), radii.tolist(), scaled.tolist(), strict=True)]
    most = (int(2.0 * max(reaches)) + 2 + 3) // 4 * 4
    # Arrays are allocated here, because each allocation takes as long to compile as a small function.
    first, taps = np.empty((2, len(kinds), count), np.int64)
    weights = np.zeros((len(kinds), count, most), np.float32)
    _weights(source, full, start, codes, np.array(reaches), scaled, np.empty(most), first, taps, weights)
    return first, taps, weights


def _reach(scale: float, code: int, radius: float, scaled: bool) -> float:
    """How far from its centre an output sample takes source samples, in source samples."""
    return radius * (scale if code == AREA else max(scale, 1.0) if scaled else 1.0)


# Keyed by plain values, because hashing a dataclass in Python is slow.
_cached_weights = functools.lru_cache(maxsize=512)(_compute_weights)


@functools.cache
def _engine_codes(kinds: tuple[tuple[str, str], ...], enlarges: bool) -> tuple[Integers, Doubles, Switches]:
    """The codes of kernels in compiled code, their radii, and whether they widen with the downscale."""
    rows: list[tuple[int, float, bool]] = []
    for kernel, support in kinds:
        scaled = support == "scaled"
        if kernel == "nearest":
            rows.append((NEAREST, 0.5, False))
        elif kernel == "area":
            rows.append((AREA, 0.5, True))
        else:
            # Where an axis is enlarged, there is nothing to filter out, and a Gaussian would only blur.
            chosen = KERNELS["triangle" if kernel == "gaussian" and scaled and enlarges else kernel]
            rows.append((chosen.code, chosen.radius, scaled))
    codes, radii, scaleds = zip(*rows, strict=True)
    return np.array(codes), np.array(radii), np.array(scaleds)


@compiled_part
def ends(first: Integers, taps: Integers, begin: int, end: int) -> tuple[int, int]:
    """The range [first, end) of source samples that the outputs [begin, end) of all methods take."""
    last = (end if end < first.shape[1] else first.shape[1]) - 1
    low, high = first[0, begin], first[0, last] + taps[0, last]
    for method in range(1, first.shape[0]):
        reached = first[method, last] + taps[method, last]
        low = first[method, begin] if first[method, begin] < low else low
        high = reached if reached > high else high
    return low, high


@compiled_part
def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(math.pi * x) / (math.pi * x)


@compiled_part
def _kernel(code: int, x: float) -> float:  # noqa: PLR0911 - one return per kernel reads best
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


@compiled_part
def _lanczos(start: float, step: float, turn_sine: float, turn_cosine: float, values: Doubles) -> None:
    """Evaluate sinc(x) sinc(x / 3) at pi x / 3 = (start + k) step, with one sine and one cosine in all.

    With u = pi x / 3, sin(3 u) = 3 sin(u) - 4 sin(u)^3; and the next sample's u is a rotation by a fixed angle.
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
    n: int,
    m: int,
    start: int,
    codes: Integers,
    reaches: Doubles,
    scaled: Switches,
    exact: Doubles,
    first: Integers,
    taps: Integers,
    weights: Floats,
) -> None:
    """Fill the arrays that `axis_weights` returns, for each kernel; `exact` is a buffer for one output's weights."""
    scale = n / m
    for kernel in range(codes.size):
        factor = scale if scaled[kernel] and scale > 1.0 else 1.0
        step = math.pi / 3.0 / factor
        turn_sine, turn_cosine = math.sin(step), math.cos(step)
        for row in range(first.shape[1]):
            output = start + row
            low, high = _reached(n, m, output, codes[kernel], reaches[kernel])
            offset = low - ((output + 0.5) * scale - 0.5)
            if codes[kernel] == 4:
                _lanczos(offset, step, turn_sine, turn_cosine, exact[: high - low])
            else:
                for tap in range(high - low):
                    exact[tap] = _weight(n, m, output, codes[kernel], factor, low + tap)
            total = 0.0
            for tap in range(high - low):
                total += exact[tap]
            for tap in range(high - low):
                weights[kernel, row, tap] = exact[tap] / total
            first[kernel, row], taps[kernel, row] = low, high - low


@compiled_part
def _reached(n: int, m: int, output: int, code: int, reach: float) -> tuple[int, int]:
    """The range [first, end) of source samples that an output takes."""
    if code == NEAREST:
        nearest = (2 * output + 1) * n // (2 * m)
        return nearest, nearest + 1
    if code == AREA:
        return output * n // m, ((output + 1) * n + m - 1) // m
    centre = (output + 0.5) * (n / m) - 0.5
    low = int(math.floor(centre - reach))
    low = low if low > 0 else 0
    while abs(low - centre) >= reach:
        low += 1
    high = int(math.ceil(centre + reach)) + 1
    high = high if high < n else n
    while abs(high - 1 - centre) >= reach:
        high -= 1
    return low, high


@compiled_part
def _weight(n: int, m: int, output: int, code: int, factor: float, k: int) -> float:
    """The weight of source sample k before normalisation."""
    if code == NEAREST:
        return 1.0
    if code == AREA:  # in units of 1/m source pixel, so that coverage is exact
        begin, end = output * n, (output + 1) * n
        return ((end if end < (k + 1) * m else (k + 1) * m) - (begin if begin > k * m else k * m)) / n
    return _kernel(code, (k - ((output + 0.5) * (n / m) - 0.5)) / factor)
