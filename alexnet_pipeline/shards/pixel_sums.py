"""A picture's bytes in; sums of its pixels and of their products, added to those of others."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled
from alexnet_pipeline.pixels.vectors import BYTE, SHORT, WORD, Vector, read, write

# Pixels that are taken at once, each by a lane of its own.
LANES = 16
# R, G, B, and their products RR, RG, RB, GG, GB, BB.
SUMS = 9
# Times that fit sums of 16 bits of a byte.
MOST_TIMES = 256


@compiled
def add_pixels(
    flat: NDArray[np.uint8],
    image: NDArray[np.uint16],
    channels: NDArray[np.int64],
    products: NDArray[np.int64],
) -> None:
    """Add a picture to all sums.

    Args:
        flat: its bytes, R, G, B, R, ...
        image: the sums of each of them, or empty where they are not wanted.
        channels: (3,) the sums of each channel.
        products: (3, 3) the sums of the products of two, of which the upper triangle is added to.
    """
    if not image.size:
        image = np.empty(flat.size, np.uint16)  # nobody looks at these
    step, sums, lanes = 3 * LANES, np.zeros(SUMS, np.int64), np.empty((SUMS, LANES // 2), np.int32)
    times = flat.size // step
    for first in range(0, times, MOST_TIMES):
        _sum_steps(flat, first * step, min(MOST_TIMES, times - first), image, lanes)
        for number in range(SUMS):
            for lane in range(LANES // 2):
                sums[number] += lanes[number, lane]
    for at in range(times * step, flat.size):
        image[at] += flat[at]
        sums[at % 3] += flat[at]
    for at in range(times * step, flat.size, 3):
        number = 3
        for one in range(3):
            for other in range(one, 3):
                sums[number] += np.int64(flat[at + one]) * np.int64(flat[at + other])
                number += 1
    number = 3
    for one in range(3):
        channels[one] += sums[one]
        for other in range(one, 3):
            products[one, other] += sums[number]
            number += 1


@intrinsic
def _sum_steps(typing: Any, flat: Any, begin: Any, times: Any, image: Any, lanes: Any) -> Any:
    """Set the lanes to the nine sums over so many times 16 pixels, of which the first stand at `begin`.

    Each byte is added to the image, too: the sums keep the multipliers busy, the image the memory.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, count, image, target = arguments
        none = [ir.Constant(ir.VectorType(SHORT, LANES), [0] * LANES)] * 3
        none += [ir.Constant(ir.VectorType(WORD, LANES // 2), [0] * (LANES // 2))] * 6
        places = [cgutils.alloca_once_value(builder, zeros) for zeros in none]
        with cgutils.for_range(builder, count) as loop:
            place = builder.add(at, builder.mul(loop.index, at.type(3 * LANES)))
            pixels = read(context, builder, signature.args[0], array, place, BYTE, 3 * LANES)
            seen = read(context, builder, signature.args[3], image, place, SHORT, 3 * LANES)
            write(context, signature.args[3], image, place, seen + pixels.unsigned(SHORT))
            red, green, blue = (pixels.take(range(c, 3 * LANES, 3)).unsigned(SHORT) for c in range(3))
            pairs = ((red, red), (red, green), (red, blue), (green, green), (green, blue), (blue, blue))
            added = [red, green, blue, *(_sums_of_two(a.signed(WORD) * b.signed(WORD)) for a, b in pairs)]
            for place, more in zip(places, added, strict=True):
                builder.store((Vector(builder, builder.load(place)) + more).value, place)
        sums = [Vector(builder, builder.load(place)) for place in places]
        sums[:3] = [_sums_of_two(each.unsigned(WORD)) for each in sums[:3]]
        for number, each in enumerate(sums):
            write(context, signature.args[4], target, at.type(number * LANES // 2), each)
        return context.get_dummy_value()

    return types.none(flat, types.intp, types.intp, image, lanes), generate


def _sums_of_two(v: Vector) -> Vector:
    """Neighbours added; behind a product of 16 bits, LLVM makes one instruction of both."""
    return v.take(range(0, v.count, 2)) + v.take(range(1, v.count, 2))
