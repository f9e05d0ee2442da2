"""The lengths of a Huffman code's words in, lookups that decode whole values out.

Source: ITU-T T.81, annex C (words from lengths), F.1.2 (what symbols mean).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.header import CODES, LONGEST_WORD, Whole
from alexnet_pipeline.pixels.compiled import compiled, compiled_leaf

# Bits that one lookup sees: 8 kB a table of pairs, so that those of luma and chroma share the nearest cache.
LOOK = 10
# An entry of `single`, from bit 0 on: bits to drop (0: the word is longer than a lookup, or there is none), zeros
# before the value, whether the value's own bits are yet to be read or there is no value, how many those are,
# whether the block ends; from bit VALUE_AT on the value.
# An entry of `pairs` has the same fields, and those below for a second value, which it may lack.
DROP, RUN_AT, NIBBLE, SLOW, SIZE_AT, END, VALUE_AT = 63, 6, 15, 1 << 10, 11, 1 << 15, 16
NEXT_RUN_AT, TWO_AT, FIRST_DROP_AT, SECOND_AT, FIRST_AT = 16, 20, 21, 32, 48
FULL_RUN = 15


class Lookups(NamedTuple):
    """Ways to decode the scan's codes, for each of the eight tables of a JPEG one after the other.

    Attributes:
        single: (8 << LOOK,) int32, what the next LOOK bits begin with.
        pairs: (8 << LOOK,) int64, the same with what follows, where both fit; AC codes only.
        limits: (8, 17) int64, for each length the first 16 bits that lie past its words.
        offsets: (8, 17) int64, what to add to a word of that length to get its place among the symbols.
        symbols: (8, 256) uint8.
    """

    single: NDArray[np.int32]
    pairs: NDArray[np.int64]
    limits: NDArray[np.int64]
    offsets: NDArray[np.int64]
    symbols: NDArray[np.uint8]


@compiled
def build_lookups(
    counts: NDArray[np.int64], symbols: NDArray[np.uint8], used: NDArray[np.int64]
) -> tuple[bool, Lookups]:
    """Lookups of the tables used, and whether all of them are codes; arguments as `Header` has them."""
    shape = (CODES, LONGEST_WORD + 1)
    lookups = Lookups(
        np.empty(CODES << LOOK, np.int32),
        np.empty(CODES << LOOK, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        symbols,
    )
    built = np.zeros(CODES, np.bool_)
    for code in used:
        if not built[code]:
            built[code] = True
            single = lookups.single[code << LOOK : (code + 1) << LOOK]
            is_dc = code % 2 == 0
            if not _build_single(
                counts[code], symbols[code], is_dc, single, lookups.limits[code], lookups.offsets[code]
            ):
                return False, lookups
            if not is_dc:
                _build_pairs(single, lookups.pairs[code << LOOK : (code + 1) << LOOK])
    return True, lookups


@compiled
def _build_single(
    counts: NDArray[np.int64],
    symbols: NDArray[np.uint8],
    is_dc: bool,
    single: NDArray[np.int32],
    limits: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> bool:
    single[:] = SLOW
    word = place = 0
    for length in range(1, LONGEST_WORD + 1):
        offsets[length] = place - word
        for _ in range(counts[length]):
            entry = symbol_entry(symbols[place], length, is_dc)
            size = (entry >> SIZE_AT) & NIBBLE
            if (is_dc and symbols[place] > NIBBLE) or word + 1 >= 1 << length:  # all ones is no word
                return False
            if length <= LOOK:
                _fill(
                    single[word << (LOOK - length) : (word + 1) << (LOOK - length)], entry, LOOK - length - size, size
                )
            word += 1
            place += 1
        limits[length] = word << (LONGEST_WORD - length)
        word <<= 1
    return True


@compiled_leaf
def symbol_entry(symbol: Whole, length: int, is_dc: bool) -> Whole:
    """The entry of a word alone, without its value."""
    run, size = np.int64(symbol) >> 4, np.int64(symbol) & NIBBLE
    if is_dc:
        run = np.int64(0)
    ends = not is_dc and size == 0 and run != FULL_RUN
    return length | run << RUN_AT | SLOW | size << SIZE_AT | (END if ends else 0)


@compiled
def _fill(entries: NDArray[np.int32], entry: Whole, spare: int, size: int) -> None:
    """The entries of all bits that a word can be followed by, of which `spare` lie behind the value's."""
    if spare < 0 or entry & END:
        entries[:] = entry
        return
    entry += size - (size << SIZE_AT) - SLOW
    for bits in range(1 << size):
        value = bits if size == 0 or bits >= 1 << (size - 1) else bits + 1 - (1 << size)
        entries[bits << spare : (bits + 1) << spare] = entry | value << VALUE_AT


@compiled
def _build_pairs(single: NDArray[np.int32], pairs: NDArray[np.int64]) -> None:
    for bits in range(1 << LOOK):
        first = np.int64(single[bits])
        if first & SLOW:
            pairs[bits] = SLOW
            continue
        drop = first & DROP
        second = np.int64(single[(bits << drop) & ((1 << LOOK) - 1)])
        ends = second & END
        entry = first & (NIBBLE << RUN_AT) | drop << FIRST_DROP_AT | (first >> VALUE_AT) << FIRST_AT
        both = drop + (second & DROP)
        if second & DROP == 0 or both > LOOK or (second & SLOW and not ends):
            entry |= drop
        elif ends:
            entry |= both | END
        else:
            run, value = (second >> RUN_AT) & NIBBLE, (second >> VALUE_AT) & 0xFFFF
            entry |= both | 1 << TWO_AT | run << NEXT_RUN_AT | value << SECOND_AT
        pairs[bits] = entry
