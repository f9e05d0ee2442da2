"""The lengths of a Huffman code's words in, lookups that decode whole values out.

Source: ITU-T T.81, annex C (words from lengths), F.1.2 (what symbols mean).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled_leaf

# An integer of 64 bits, of which numba has several kinds.
Whole = Any

LONGEST_WORD = 16
# Bits that one lookup sees: 8 kB a table of pairs, so that those of luma and chroma share the nearest cache.
LOOK = 10
# An entry of `single`, from bit 0 on: bits to drop (0: the word is longer than a lookup, or there is none), zeros
# before the value, whether the value's own bits are yet to be read or there is no value, how many those are,
# whether the block ends; from bit VALUE_AT on the value.
# An entry of `pairs` has the same fields, and those below for a second value, which it may lack.
DROP, RUN_AT, NIBBLE, SLOW, SIZE_AT, END, VALUE_AT = 63, 6, 15, 1 << 10, 11, 1 << 15, 16
NEXT_RUN_AT, TWO_AT, FIRST_DROP_AT, SECOND_AT, FIRST_AT = 16, 20, 21, 32, 48
FULL_RUN = 15


class Words(NamedTuple):
    """One Huffman code, as a JPEG has it.

    Attributes:
        counts: how many words have 1, 2, ... 16 bits.
        symbols: what they mean, shortest first.
    """

    counts: bytes
    symbols: bytes


class Lookups(NamedTuple):
    """Ways to decode several codes, DC ones at even places and AC ones at odd places.

    Attributes:
        single: (codes << LOOK,) int32, what the next LOOK bits begin with, code after code.
        pairs: (codes << LOOK,) int64, the same with what follows, where both fit; of AC codes only.
        limits: (codes, 17) int64, for each length the first 16 bits that lie past its words.
        offsets: (codes, 17) int64, what to add to a word of that length to get its place among the symbols.
        symbols: (codes, 256) uint8.
    """

    single: NDArray[np.int32]
    pairs: NDArray[np.int64]
    limits: NDArray[np.int64]
    offsets: NDArray[np.int64]
    symbols: NDArray[np.uint8]


def build_lookups(chosen: tuple[Words, ...]) -> Lookups | None:
    """Lookups of DC and AC codes in turn; None where one of them is no code."""
    codes = len(chosen)
    lookups = Lookups(
        np.full(codes << LOOK, SLOW, np.int32),
        np.full(codes << LOOK, SLOW, np.int64),
        np.zeros((codes, LONGEST_WORD + 1), np.int64),
        np.zeros((codes, LONGEST_WORD + 1), np.int64),
        np.zeros((codes, 256), np.uint8),
    )
    for code, words in enumerate(chosen):
        counts = np.frombuffer(words.counts, np.uint8)
        lookups.symbols[code, : len(words.symbols)] = np.frombuffer(words.symbols, np.uint8)
        if not _build_single(counts, code, *lookups):
            return None
    return lookups


@compiled_leaf
def _build_single(
    counts: NDArray[np.uint8],
    code: int,
    single: NDArray[np.int32],
    pairs: NDArray[np.int64],
    limits: NDArray[np.int64],
    offsets: NDArray[np.int64],
    symbols: NDArray[np.uint8],
) -> bool:
    """Fill one code's part of the lookups; False where its words are none."""
    is_dc, base = code % 2 == 0, code << LOOK
    word = place = 0
    for length in range(1, LONGEST_WORD + 1):
        offsets[code, length] = place - word
        for _ in range(counts[length - 1]):
            symbol = symbols[code, place]
            if (is_dc and symbol > NIBBLE) or word + 1 >= 1 << length:  # all ones is no word
                return False
            if length <= LOOK:
                spread = 1 << (LOOK - length)
                _fill(single, base + word * spread, spread, symbol_entry(symbol, length, is_dc))
            word += 1
            place += 1
        limits[code, length] = word << (LONGEST_WORD - length)
        word <<= 1
    if not is_dc:
        for bits in range(1 << LOOK):
            pairs[base + bits] = _pair(single, base, bits)
    return True


@compiled_leaf
def symbol_entry(symbol: Whole, length: int, is_dc: bool) -> Whole:
    """The entry of a word alone, without its value."""
    run, size = np.int64(symbol) >> 4, np.int64(symbol) & NIBBLE
    if is_dc:
        run = np.int64(0)
    ends = not is_dc and size == 0 and run != FULL_RUN
    return length | run << RUN_AT | SLOW | size << SIZE_AT | (END if ends else 0)


@compiled_leaf
def _fill(single: NDArray[np.int32], first: int, spread: int, entry: Whole) -> None:
    """The entries of all bits that a word can be followed by, of which the first ones may be its value's."""
    size = (entry >> SIZE_AT) & NIBBLE
    if spread >> size == 0 or entry & END:
        for rest in range(spread):
            single[first + rest] = entry
        return
    entry += size - (size << SIZE_AT) - SLOW
    for rest in range(spread):
        value = rest // (spread >> size)
        if size > 0 and value < 1 << (size - 1):  # T.81, table F.1
            value += 1 - (1 << size)
        single[first + rest] = entry | value << VALUE_AT


@compiled_leaf
def _pair(single: NDArray[np.int32], base: int, bits: int) -> Whole:
    first = np.int64(single[base + bits])
    if first & SLOW:
        return np.int64(SLOW)
    drop = first & DROP
    second = np.int64(single[base + ((bits << drop) & ((1 << LOOK) - 1))])
    ends = second & END
    entry = first & (NIBBLE << RUN_AT) | drop << FIRST_DROP_AT | (first >> VALUE_AT) << FIRST_AT
    both = drop + (second & DROP)
    if second & DROP == 0 or both > LOOK or (second & SLOW and not ends):
        return entry | drop
    if ends:
        return entry | both | END
    run, value = (second >> RUN_AT) & NIBBLE, (second >> VALUE_AT) & 0xFFFF
    return entry | both | 1 << TWO_AT | run << NEXT_RUN_AT | value << SECOND_AT
