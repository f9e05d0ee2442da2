"""One block's coefficients in, 8x8 samples out: libjpeg's accurate inverse DCT, bit for bit.

Source: C. Loeffler, A. Ligtenberg, G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications",
ICASSP 1989, with 13-bit constants and two more bits between the passes, as libjpeg's `islow` has them.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import types
from numba.extending import intrinsic

from alexnet_pipeline.pixels.vectors import BYTE, SHORT, WORD, Vector, read, transposed, write

CONSTANT_BITS, KEPT_BITS = 13, 2


def _fixed(value: float) -> int:
    return int(value * (1 << CONSTANT_BITS) + 0.5)


C0298, C0390, C0541, C0765 = map(_fixed, (0.298631336, 0.390180644, 0.541196100, 0.765366865))
C0899, C1175, C1501, C1847 = map(_fixed, (0.899976223, 1.175875602, 1.501321110, 1.847759065))
C1961, C2053, C2562, C3072 = map(_fixed, (1.961570560, 2.053119869, 2.562915447, 3.072711026))


class _Wide:
    """Eight sums of 32 bits as two vectors of four, which every CPU has registers for."""

    def __init__(self, low: Vector, high: Vector) -> None:
        self.low, self.high = low, high

    def __add__(self, other: _Wide) -> _Wide:
        return _Wide(self.low + other.low, self.high + other.high)

    def __sub__(self, other: _Wide) -> _Wide:
        return _Wide(self.low - other.low, self.high - other.high)

    def descaled(self, bits: int) -> Vector:
        """Rounded, without so many bits, clipped to 16."""
        half = 1 << (bits - 1)
        both = ((self.low + half) >> bits).followed_by((self.high + half) >> bits)
        return both.clipped(SHORT, -(1 << 15), (1 << 15) - 1)


def _products(a: Vector, b: Vector, by_a: int, by_b: int) -> _Wide:
    """Lane by lane a * by_a + b * by_b of 16 bits, as the pairs of products that one instruction adds up."""
    sums = []
    for half in a.interleaved(b):
        wide = half.signed(WORD)
        products = wide * Vector(wide.builder, wide.value.type([by_a, by_b] * 4))
        sums.append(products.take(range(0, 8, 2)) + products.take(range(1, 8, 2)))
    return _Wide(*sums)


def _one_dimension(v: list[Vector], bits: int) -> list[Vector]:
    even_low = _products(v[2], v[6], C0541, C0541 - C1847)
    even_high = _products(v[2], v[6], C0541 + C0765, C0541)
    total, difference = _shifted(v[0] + v[4]), _shifted(v[0] - v[4])
    t10, t13 = total + even_high, total - even_high
    t11, t12 = difference + even_low, difference - even_low
    a, b = v[7] + v[3], v[5] + v[1]
    z3 = _products(a, b, C1175 - C1961, C1175)
    z4 = _products(a, b, C1175, C1175 - C0390)
    t0 = _products(v[7], v[1], C0298 - C0899, -C0899) + z3
    t3 = _products(v[7], v[1], -C0899, C1501 - C0899) + z4
    t1 = _products(v[5], v[3], C2053 - C2562, -C2562) + z4
    t2 = _products(v[5], v[3], -C2562, C3072 - C2562) + z3
    first = [(t10 + t3), (t11 + t2), (t12 + t1), (t13 + t0)]
    last = [(t13 - t0), (t12 - t1), (t11 - t2), (t10 - t3)]
    return [each.descaled(bits) for each in first + last]


def _shifted(v: Vector) -> _Wide:
    return _Wide(*(half << CONSTANT_BITS for half in v.signed(WORD).halves()))


def _first_pass(builder: Any, rows: list[Vector]) -> list[Vector]:
    """Down the columns, which are the vectors of the result; quickly where only the first row is not zero.

    That way wraps round where the other clips, as libjpeg's does, which only damaged files let one see.
    """
    others = functools.reduce(Vector.__or__, rows[1:])
    with builder.if_else(others.is_zero()) as (flat, full):
        with flat:
            first = rows[0] << KEPT_BITS
            quick = [first.take([column] * 8) for column in range(8)]
            after_flat = builder.block
        with full:
            slow = transposed(_one_dimension(rows, CONSTANT_BITS - KEPT_BITS))
            after_full = builder.block
    return [Vector.either(builder, (a, after_flat), (b, after_full)) for a, b in zip(quick, slow, strict=True)]


@intrinsic
def inverse_dct(typing: Any, coefficients: Any, at: Any, plane: Any, to: Any, stride: Any) -> Any:
    """Write the samples of 64 dequantised int16 coefficients into a plane of uint8, rows `stride` apart."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, start, to_array, target, step = arguments
        from_type, to_type = signature.args[0], signature.args[2]
        rows = []
        for row in range(8):
            index = builder.add(start, start.type(8 * row))
            rows.append(read(context, builder, from_type, from_array, index, SHORT, 8))
        columns = _first_pass(builder, rows)
        samples = [
            column.clipped(BYTE, -128, 127) + -128 for column in _one_dimension(columns, CONSTANT_BITS + KEPT_BITS + 3)
        ]
        pairs = transposed([samples[i].followed_by(samples[i + 1]) for i in range(0, 8, 2)])
        for pair in pairs:
            for line in pair.halves():
                write(context, to_type, to_array, target, line)
                target = builder.add(target, step)
        return context.get_dummy_value()

    index = types.intp
    return types.none(coefficients, index, plane, index, index), generate
