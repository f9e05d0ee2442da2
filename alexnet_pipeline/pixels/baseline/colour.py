"""Planes of luma and chroma in, interleaved RGB out, bit for bit as libjpeg's smooth upsampling makes it.

Source: JFIF 1.02 (ITU-R BT.601 over the full range), coefficients of 16 bits; halved chroma is widened by the
triangle filter, 3/4 of the nearer and 1/4 of the farther sample on each axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.header import Frame
from alexnet_pipeline.pixels.baseline.planes import HELD, Planes
from alexnet_pipeline.pixels.compiled import compiled, compiled_leaf
from alexnet_pipeline.pixels.geometry import Region
from alexnet_pipeline.pixels.vectors import BYTE, SHORT, WORD, Vector, read, write

Bytes = NDArray[np.uint8]

# Pixels made at once.
STEP = 16
# How many pixels on each side of one have a part in its chroma.
REACH = 2
FRACTION_BITS = 16
HALF = 1 << (FRACTION_BITS - 1)


def _fixed(value: float) -> int:
    return int(value * (1 << FRACTION_BITS) + 0.5)


# What a chroma sample of 1 adds; whole parts are taken out of them, so that the rest fits 16 bits.
RED_CR = _fixed(1.402) - (1 << FRACTION_BITS)
GREEN_CB, GREEN_CR = -_fixed(0.34414), (1 << FRACTION_BITS) - _fixed(0.71414)
BLUE_CB = _fixed(1.772) - (2 << FRACTION_BITS)


def _scaled(a: Vector, by_a: int, b: Vector | None = None, by_b: int = 0) -> Vector:
    """The rounded a * by_a + b * by_b of 16-bit lanes, without the fraction."""
    total = a.signed(WORD) * by_a + HALF
    if b is not None:
        total = total + b.signed(WORD) * by_b
    return (total >> FRACTION_BITS).wrapped(SHORT)


def _rgb(luma: Vector, cb: Vector, cr: Vector) -> Vector:
    """Sixteen pixels of 16-bit lanes, as 48 bytes."""
    cb, cr = cb - 128, cr - 128
    red = luma + cr + _scaled(cr, RED_CR)
    green = luma - cr + _scaled(cb, GREEN_CB, cr, GREEN_CR)
    blue = luma + cb + cb + _scaled(cb, BLUE_CB)
    red, green, blue = (channel.clipped(BYTE, 0, 255) for channel in (red, green, blue))
    return _mixed(red, green, blue)


def _mixed(red: Vector, green: Vector, blue: Vector) -> Vector:
    order = [pixel + channel * STEP for pixel in range(STEP) for channel in range(3)]
    return red.followed_by(green).take(order, blue.followed_by(blue))


@intrinsic
def _grey(typing: Any, planes: Any, luma: Any, out: Any, to: Any) -> Any:
    """Sixteen pixels of luma alone."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, target, index = arguments
        level = read(context, builder, signature.args[0], array, at, BYTE, STEP)
        write(context, signature.args[2], target, index, _mixed(level, level, level))
        return context.get_dummy_value()

    return types.none(planes, types.intp, out, types.intp), generate


@intrinsic
def _full(typing: Any, planes: Any, luma: Any, cb: Any, cr: Any, out: Any, to: Any) -> Any:
    """Sixteen pixels with a chroma sample each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *places, target, index = arguments
        levels = (_levels(context, builder, signature, array, place, STEP) for place in places)
        write(context, signature.args[4], target, index, _rgb(*levels))
        return context.get_dummy_value()

    place = types.intp
    return types.none(planes, place, place, place, out, place), generate


@intrinsic
def _half_width(typing: Any, planes: Any, luma: Any, cb: Any, cr: Any, out: Any, to: Any) -> Any:
    """Sixteen pixels with a chroma sample for two."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, luma, cb, cr, target, index = arguments

        def wide(place: Any) -> Vector:
            before, here, after = _three(context, builder, signature, array, place)
            return _in_turn((here * 3 + before + 1) >> 2, (here * 3 + after + 2) >> 2)

        level = _levels(context, builder, signature, array, luma, STEP)
        write(context, signature.args[4], target, index, _rgb(level, wide(cb), wide(cr)))
        return context.get_dummy_value()

    place = types.intp
    return types.none(planes, place, place, place, out, place), generate


@intrinsic
def _half_both(typing: Any, planes: Any, luma: Any, cb: Any, cr: Any, farther: Any, out: Any, to: Any) -> Any:
    """Sixteen pixels with a chroma sample for two by two; the farther row of chroma lies so many bytes on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, luma, cb, cr, farther, target, index = arguments

        def wide(place: Any) -> Vector:
            near = _three(context, builder, signature, array, place)
            far = _three(context, builder, signature, array, builder.add(place, farther))
            before, here, after = (a * 3 + b for a, b in zip(near, far, strict=True))
            return _in_turn((here * 3 + before + 8) >> 4, (here * 3 + after + 7) >> 4)

        level = _levels(context, builder, signature, array, luma, STEP)
        write(context, signature.args[5], target, index, _rgb(level, wide(cb), wide(cr)))
        return context.get_dummy_value()

    place = types.intp
    return types.none(planes, place, place, place, place, out, place), generate


def _levels(context: Any, builder: Any, signature: Any, array: Any, place: Any, count: int) -> Vector:
    return read(context, builder, signature.args[0], array, place, BYTE, count).unsigned(SHORT)


def _three(context: Any, builder: Any, signature: Any, array: Any, place: Any) -> list[Vector]:
    """Eight samples of chroma with their neighbours: the ones before them, themselves, the ones behind them."""
    places = (builder.add(place, place.type(by)) for by in (-1, 0, 1))
    return [_levels(context, builder, signature, array, each, STEP // 2) for each in places]


def _in_turn(even: Vector, odd: Vector) -> Vector:
    first, second = even.interleaved(odd)
    return first.followed_by(second)


@compiled
def to_rgb(planes: Planes, frame: Frame, region: Region, mcu_row: int, flat: Bytes) -> None:
    """Write the region's pixels that a row of MCUs completes, and perhaps others of whole steps.

    Args:
        planes: with the samples of that row and the one above.
        frame: the picture's.
        region: of the picture.
        mcu_row: which was decoded last.
        flat: receives the whole picture's bytes, with room for a step behind its last pixel.
    """
    samples, starts, strides = planes.samples, planes.starts, planes.strides
    held = HELD * 8  # rows of chroma
    if frame.across == 2:
        for component in (1, 2):
            first = starts[component] + mcu_row % HELD * 8 * strides[component]
            _repeat_edges(samples, first, strides[component], (frame.width + 1) // 2)
    # Halved downwards, the last row of pixels waits for the chroma below it.
    late = frame.down - 1
    top = max(region.top, mcu_row * 8 * frame.down - late)
    bottom = (mcu_row + 1) * 8 * frame.down - late if (mcu_row + 1) * 8 * frame.down < frame.height else frame.height
    for y in range(top, min(region.bottom, bottom)):
        row = farther = y // frame.down
        if frame.down == 2:
            farther = min(row + 1, (frame.height + 1) // 2 - 1) if y % 2 else max(row - 1, 0)
        luma = starts[0] + y % (held * frame.down) * strides[0]
        cb, cr = starts[1] + row % held * strides[1], starts[2] + row % held * strides[2]
        for x in range(region.left // STEP * STEP, region.right, STEP):
            to = (y * frame.width + x) * 3  # what passes the row's end is overwritten by the next row
            half = x // 2
            if frame.components == 1:
                _grey(samples, luma + x, flat, to)
            elif frame.across == 1:
                _full(samples, luma + x, cb + x, cr + x, flat, to)
            elif frame.down == 1:
                _half_width(samples, luma + x, cb + half, cr + half, flat, to)
            else:
                other = (farther % held - row % held) * strides[1]
                _half_both(samples, luma + x, cb + half, cr + half, other, flat, to)


@compiled_leaf
def _repeat_edges(samples: Bytes, first: int, stride: int, columns: int) -> None:
    """Repeat the first and the last sample of a row of blocks once, for the filter that looks past them."""
    for row in range(8):
        at = first + row * stride
        samples[at - 1] = samples[at]
        samples[at + columns] = samples[at + columns - 1]
