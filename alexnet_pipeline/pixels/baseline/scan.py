"""The entropy-coded bytes of a baseline scan in, pixels out, a row of MCUs at a time.

Source: ITU-T T.81, F.2.2 (decoding), A.2.3 (order of blocks), B.1.1.5 (stuffed bytes).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.codes import (
    DROP,
    END,
    FIRST_AT,
    FIRST_DROP_AT,
    LONGEST_WORD,
    LOOK,
    NEXT_RUN_AT,
    NIBBLE,
    RUN_AT,
    SECOND_AT,
    SIZE_AT,
    SLOW,
    TWO_AT,
    VALUE_AT,
    Lookups,
    Whole,
    symbol_entry,
)
from alexnet_pipeline.pixels.baseline.colour import REACH, STEP, to_rgb
from alexnet_pipeline.pixels.baseline.dct import inverse_dct
from alexnet_pipeline.pixels.baseline.header import Frame
from alexnet_pipeline.pixels.baseline.planes import HELD, empty_planes
from alexnet_pipeline.pixels.compiled import compiled, compiled_leaf
from alexnet_pipeline.pixels.geometry import Region
from alexnet_pipeline.pixels.vectors import pointer

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
_NUMBER = ir.IntType(64)

# Zeros behind the bytes: more than a block can take, so that one check a block is enough.
MARGIN_BYTES = 512
# Bits that the longest word and value take, hence what must be there before a lookup.
LEAST_BITS = 32
DC_LIMIT = (1 << 15) - 1


def _zigzag() -> NDArray[np.uint64]:
    """Where each coefficient of the stream stands in its block, row by row; T.81, figure A.6.

    Runs past the end, of which the decoder learns when they are over, lead behind the block.
    """

    def along_diagonals(place: int) -> tuple[int, int]:
        row, column = divmod(place, 8)
        return row + column, row if (row + column) % 2 else column

    return np.array([*sorted(range(64), key=along_diagonals), *range(64, 64 + 16)], np.uint64)


ZIGZAG = _zigzag()


@intrinsic
def _eight_bytes(typing: Any, array: Any, at: Any) -> Any:
    """Eight bytes of a uint8 array as one number, the first the highest; not checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at = arguments
        loaded = builder.load(pointer(context, builder, signature.args[0], array, at, _NUMBER), align=1)
        return builder.bswap(loaded) if sys.byteorder == "little" else loaded

    return types.uint64(array, types.intp), generate


@intrinsic
def _put_eight_bytes(typing: Any, array: Any, at: Any, number: Any) -> Any:
    """The opposite of `_eight_bytes`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, number = arguments
        value = builder.bswap(number) if sys.byteorder == "little" else number
        builder.store(value, pointer(context, builder, signature.args[0], array, at, _NUMBER), align=1)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.uint64), generate


@intrinsic
def _leading_zeros(typing: Any, number: Any) -> Any:
    """Zero bits above a number's highest one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), generate


@compiled
def unstuffed(data: Bytes, begin: int) -> tuple[Bytes, Whole, Whole]:
    """A scan without the zeros that follow each 0xFF.

    Returns:
        Its bytes with zeros behind them, how many they are, and where in the data the marker behind them stands,
        -1 without one.
    """
    size = np.uintp(data.size)
    scan = np.empty(data.size - begin + MARGIN_BYTES, np.uint8)
    at, to = np.uintp(begin), np.uintp(0)
    lows = np.uint64(0x7F7F7F7F7F7F7F7F)
    end: Whole = -1
    while at < size:
        while at + np.uintp(8) <= size:  # eight bytes at a time, up to the next 0xFF
            word = _eight_bytes(data, at)
            _put_eight_bytes(scan, to, word)
            flipped = ~word
            zeros = ~(((flipped & lows) + lows) | flipped | lows)
            if zeros:
                skip = np.uintp(_leading_zeros(zeros) >> np.uint64(3))
                at, to = at + skip, to + skip
                break
            at, to = at + np.uintp(8), to + np.uintp(8)
        else:
            while at < size and data[at] != 0xFF:
                scan[to] = data[at]
                at, to = at + np.uintp(1), to + np.uintp(1)
        if at + np.uintp(1) >= size:
            break
        if data[at + np.uintp(1)] != 0:
            end = np.int64(at)
            break
        scan[to] = 0xFF
        at, to = at + np.uintp(2), to + np.uintp(1)
    scan[to : to + np.uintp(MARGIN_BYTES)] = 0
    return scan, np.int64(to), end


@compiled
def decode_scan(
    scan: Bytes,
    length: int,
    frame: Frame,
    quants: Integers,
    lookups: Lookups,
    region: Region,
    flat: Bytes,
) -> bool:
    """Decode every block, and make samples and pixels of those that a region needs.

    Args:
        scan: as `unstuffed` made it, and likewise `length`.
        frame: the file's, and likewise `quants` and `lookups`, as `Header` has them.
        quants: see above; longer than three tables, since runs past the end read on.
        lookups: see above.
        region: of the picture.
        flat: receives the pixels, as `to_rgb` writes them.

    Returns:
        Whether the bytes are what the header says, to the last bit.
    """
    planes, kept = empty_planes(frame), _kept(frame, region)
    # numba counts references to what it takes out of a tuple, which is too slow within the loops.
    single, pairs = lookups.single, lookups.pairs
    samples, starts, strides = planes.samples, planes.starts, planes.strides
    previous = np.zeros(3, np.int64)
    block = np.zeros(ZIGZAG.size, np.int16)
    bits: Whole = np.uint64(0)
    count: Whole = 0
    at: Whole = 0
    for mcu_row in range(-(-frame.height // (8 * frame.down))):
        place = mcu_row % HELD
        for mcu_column in range(-(-frame.width // (8 * frame.across))):
            keep = kept[0] <= mcu_row < kept[1] and kept[2] <= mcu_column < kept[3]
            for component in range(np.uintp(frame.components)):
                across, down = (frame.across, frame.down) if component == 0 else (1, 1)
                dc, ac = np.uintp(2) * component, np.uintp(2) * component + np.uintp(1)
                quant = component << np.uintp(6)
                for part in range(across * down):
                    block[:] = 0
                    bits, count, at, difference = _decode_difference(scan, bits, count, at, single, lookups, dc)
                    previous[component] += difference
                    level = previous[component]
                    if at > length + 8 or abs(level) > DC_LIMIT:
                        return False
                    block[0] = np.int16(level * quants[quant])
                    bits, count, at, end = _decode_block(
                        scan, bits, count, at, single, pairs, lookups, ac, quants, quant, block
                    )
                    if end > 64:
                        return False
                    if keep:
                        row, column = place * down + part // across, mcu_column * across + part % across
                        stride = strides[component]
                        to = starts[component] + row * 8 * stride + column * 8
                        inverse_dct(block, 0, samples, to, stride)
        if kept[0] <= mcu_row < kept[1]:
            to_rgb(planes, frame, region, mcu_row, flat)
    return bool((at * 8 - count + 7) // 8 == length)


@compiled
def _kept(frame: Frame, region: Region) -> tuple[Whole, Whole, Whole, Whole]:
    """The MCUs that the region's pixels come from: first row, past the last one, first column, past the last one."""
    high, wide = 8 * frame.down, 8 * frame.across
    left = region.left // STEP * STEP
    return (
        max(region.top - REACH, 0) // high,
        -(-min(region.bottom + REACH, frame.height) // high),
        max(left - REACH, 0) // wide,
        -(-min(region.right + REACH, frame.width) // wide),
    )


# What a decoder holds, as each function below takes it and gives it back: `bits`, the next ones from the highest
# on; `count`, how many of them are certain; `at`, where the bytes go on. Mixing signed and unsigned integers makes
# floats in numba, hence the casts.


@compiled_leaf
def _filled(scan: Bytes, bits: Whole, count: Whole, at: Whole) -> tuple[Whole, Whole, Whole]:
    """Have at least 56 bits. The others, below the certain ones, are those that the next filling adds again."""
    bits |= _eight_bytes(scan, at) >> np.uint64(count)
    return bits, count | 56, at + ((63 - count) >> 3)


@compiled_leaf
def _value(bits: Whole, size: Whole) -> Whole:
    """The value that so many of the next bits mean; T.81, table F.1."""
    value = np.int64(bits >> np.uint64(1) >> np.uint64(63 - size))
    return value if np.int64(bits) < 0 else value + 1 - (1 << size)


@compiled_leaf
def _long_word(bits: Whole, lookups: Lookups, code: Whole, is_dc: bool) -> Whole:
    """The entry of a word longer than a lookup sees; 0 where there is none."""
    top = np.int64(bits >> np.uint64(64 - LONGEST_WORD))
    for length in range(LOOK + 1, LONGEST_WORD + 1):
        if top < lookups.limits[code, length]:
            place = (top >> (LONGEST_WORD - length)) + lookups.offsets[code, length]
            return symbol_entry(lookups.symbols[code, np.uintp(place)], length, is_dc)
    return 0


@compiled_leaf
def _decode_difference(
    scan: Bytes, bits: Whole, count: Whole, at: Whole, single: NDArray[np.int32], lookups: Lookups, code: Whole
) -> tuple[Whole, Whole, Whole, Whole]:
    """A block's first value, which is the difference from the block before; too large where there is no word."""
    bits, count, at = _filled(scan, bits, count, at)
    entry = np.int64(single[code << np.uintp(LOOK) | np.uintp(bits >> np.uint64(64 - LOOK))])
    if entry & DROP == 0:
        entry = _long_word(bits, lookups, code, True)
        if entry == 0:
            return bits, count, at, 4 * DC_LIMIT
    drop, size = entry & DROP, (entry >> SIZE_AT) & NIBBLE
    bits <<= np.uint64(drop)
    value = _value(bits, size) if entry & SLOW else entry >> VALUE_AT
    return bits << np.uint64(size), count - drop - size, at, value


@compiled_leaf
def _decode_block(
    scan: Bytes,
    bits: Whole,
    count: Whole,
    at: Whole,
    single: NDArray[np.int32],
    pairs: Integers,
    lookups: Lookups,
    code: Whole,
    quants: Integers,
    quant: Whole,
    block: NDArray[np.int16],
) -> tuple[Whole, Whole, Whole, Whole]:
    """A block's other values, dequantised; and 64, more where they pass the end or there is no word."""
    table, shift, zigzag = code << np.uintp(LOOK), np.uint64(64 - LOOK), ZIGZAG
    one = np.uintp(1)
    k = one
    while k < np.uintp(64):
        if count < LEAST_BITS:
            bits, count, at = _filled(scan, bits, count, at)
        place = table | np.uintp(bits >> shift)
        entry = pairs[place]
        if entry & SLOW:
            entry = np.int64(single[place])
            if entry & DROP == 0:
                entry = _long_word(bits, lookups, code, False)
                if entry == 0:
                    return bits, count, at, 65
            drop, size = entry & DROP, (entry >> SIZE_AT) & NIBBLE
            bits <<= np.uint64(drop)
            count -= drop + size
            if entry & END:
                break
            k += np.uintp((entry >> RUN_AT) & NIBBLE)
            block[zigzag[k]] = np.int16(_value(bits, size) * quants[quant + k])
            bits <<= np.uint64(size)
            k += one
            continue
        k += np.uintp((entry >> RUN_AT) & NIBBLE)
        block[zigzag[k]] = np.int16((entry >> FIRST_AT) * quants[quant + k])
        k += one
        # What follows a block's last value is the next block's.
        drop = entry & DROP if k < np.uintp(64) else (entry >> FIRST_DROP_AT) & DROP
        bits <<= np.uint64(drop)
        count -= drop
        if k < np.uintp(64):
            # Without a second value this writes a zero where there is one.
            k += np.uintp((entry >> NEXT_RUN_AT) & NIBBLE)
            block[zigzag[k]] = np.int16(np.int16(entry >> SECOND_AT) * quants[quant + k])
            k += np.uintp((entry >> TWO_AT) & 1)
            if entry & END:
                break
    return bits, count, at, max(np.int64(k), 64)
