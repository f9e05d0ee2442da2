"""A JPEG's bytes up to the scan in, what decoding it needs out.

Taken is what nearly all photographs are: one scan of 8 bits, grey or YCbCr, chroma whole or halved, no restarts.

Source: ITU-T T.81, annex B; which colours three components mean: JFIF 1.02 and Adobe's technical note 5116.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
# An integer of 64 bits, of which numba has several kinds.
Whole = Any

# Markers; T.81, table B.1.
BASELINE, EXTENDED, HUFFMAN, SCAN, QUANTISATION, RESTART = 0xC0, 0xC1, 0xC4, 0xDA, 0xDB, 0xDD
APP0, APP14, APP15, COMMENT, END_OF_IMAGE = 0xE0, 0xEE, 0xEF, 0xFE, 0xD9
JFIF = np.frombuffer(b"JFIF\0", np.uint8)
ADOBE = np.frombuffer(b"Adobe", np.uint8)
NOT_SEEN = -1
# Quantisation tables, and Huffman tables of DC and AC together.
TABLES, CODES = 4, 8
LONGEST_WORD = 16


class Header(NamedTuple):
    """What stands before the scan.

    Attributes:
        begin: where the entropy-coded bytes begin; 0 where the file is something else, or not in order.
        height: in pixels.
        width: likewise.
        components: 1 or 3.
        across: in how many columns of luma chroma has one, 1 or 2.
        down: likewise rows.
        mcu_rows: rows of the smallest units that hold whole blocks of all components.
        mcu_columns: likewise columns.
        quants: (3, 64) each component's quantisation, in the order of the stream.
        codes: (3, 2) which Huffman tables each component's DC and AC have.
        counts: (8, 17) how many words of each length a Huffman table has; those of DC stand at even places.
        symbols: (8, 256) what the words mean.
    """

    begin: Whole
    height: Whole
    width: Whole
    components: Whole
    across: Whole
    down: Whole
    mcu_rows: Whole
    mcu_columns: Whole
    quants: Integers
    codes: Integers
    counts: Integers
    symbols: Bytes


@compiled
def read_header(data: Bytes) -> Header:
    """Walk the segments; whatever the bytes, it neither fails nor reads past them."""
    frame = np.zeros(5, np.int64)
    quants, codes = np.zeros((3, 64), np.int64), np.zeros((3, 2), np.int64)
    counts, symbols = np.zeros((CODES, LONGEST_WORD + 1), np.int64), np.zeros((CODES, 256), np.uint8)
    begin = _read_segments(data, frame, quants, codes, counts, symbols)
    height, width, components, across, down = (frame[0], frame[1], frame[2], max(frame[3], 1), max(frame[4], 1))
    rows, columns = -(-height // (8 * down)), -(-width // (8 * across))
    return Header(begin, height, width, components, across, down, rows, columns, quants, codes, counts, symbols)


@compiled
def _read_segments(  # noqa: PLR0911, PLR0912 - a refusal a kind of segment reads best
    data: Bytes, frame: Integers, quants: Integers, codes: Integers, counts: Integers, symbols: Bytes
) -> Whole:
    """Fill what `Header` is made of and return its `begin`; the frame is the five numbers from `height` on."""
    tables = np.zeros((TABLES, 64), np.int64)
    known = np.zeros(TABLES, np.bool_)
    table_of, names = np.zeros(3, np.int64), np.zeros(3, np.int64)
    jfif = False
    adobe: Whole = NOT_SEEN
    at: Whole = 2
    while at + 4 <= data.size and data[at] == 0xFF:
        marker, size = np.int64(data[at + 1]), np.int64(data[at + 2]) << 8 | np.int64(data[at + 3])
        stop = at + 2 + size
        if size < 2 or stop > data.size:
            return 0
        segment = data[at + 4 : stop]
        if marker == QUANTISATION:
            if not _read_quantisation(segment, tables, known):
                return 0
        elif marker == HUFFMAN:
            if not _read_huffman(segment, counts, symbols):
                return 0
        elif marker in (BASELINE, EXTENDED):
            if frame[2] or not _read_frame(segment, frame, table_of, names):
                return 0
        elif marker == SCAN:
            in_ycc = frame[2] == 1 or jfif or adobe == 1 or (adobe == NOT_SEEN and _are_counted(names))
            if not in_ycc or not _read_scan(segment, frame[2], names, codes):
                return 0
            for component in range(frame[2]):
                if not known[table_of[component]]:
                    return 0
                quants[component] = tables[table_of[component]]
            return stop
        elif marker == RESTART:
            if segment.size != 2 or segment[0] or segment[1]:
                return 0
        elif marker == APP0:
            if segment.size >= 14 and _begins(segment, JFIF):
                jfif = True
                if segment[5] != 1:  # libjpeg warns of other versions
                    return 0
        elif marker == APP14:
            if segment.size >= 12 and _begins(segment, ADOBE):
                adobe = np.int64(segment[11])
        elif not (APP0 < marker <= APP15 or marker == COMMENT):
            return 0
        at = stop
    return 0


@compiled
def _begins(segment: Bytes, word: Bytes) -> bool:
    return bool(np.all(segment[: word.size] == word))


@compiled
def _are_counted(names: Integers) -> bool:
    return bool(names[0] == 1 and names[1] == 2 and names[2] == 3)


@compiled
def _read_quantisation(segment: Bytes, tables: Integers, known: NDArray[np.bool_]) -> bool:
    at: Whole = 0
    while at < segment.size:
        which = np.int64(segment[at])  # entries of 16 bits have a higher bit set here
        if which >= TABLES or at + 65 > segment.size:
            return False
        tables[which] = segment[at + 1 : at + 65]
        known[which] = True
        at += 65
    return True


@compiled
def _read_huffman(segment: Bytes, counts: Integers, symbols: Bytes) -> bool:
    at: Whole = 0
    while at < segment.size:
        kind, which = np.int64(segment[at]) >> 4, np.int64(segment[at]) & 15
        at += 1
        if kind > 1 or which >= TABLES or at + LONGEST_WORD > segment.size:
            return False
        code = 2 * which + kind
        counts[code, 1:] = segment[at : at + LONGEST_WORD]
        at += LONGEST_WORD
        total = counts[code].sum()
        if total > 256 or at + total > segment.size:
            return False
        symbols[code, :total] = segment[at : at + total]
        at += total
    return True


@compiled
def _read_frame(segment: Bytes, frame: Integers, table_of: Integers, names: Integers) -> bool:
    if segment.size < 6 or segment[0] != 8:
        return False
    components = np.int64(segment[5])
    if components not in (1, 3) or segment.size != 6 + 3 * components:
        return False
    frame[0] = np.int64(segment[1]) << 8 | np.int64(segment[2])
    frame[1] = np.int64(segment[3]) << 8 | np.int64(segment[4])
    frame[2], frame[3], frame[4] = components, 1, 1
    for component in range(components):
        at = 6 + 3 * component
        names[component], table_of[component] = segment[at], segment[at + 2]
        across, down = np.int64(segment[at + 1]) >> 4, np.int64(segment[at + 1]) & 15
        if table_of[component] >= TABLES or not (1 <= across <= 4 and 1 <= down <= 4):
            return False
        if components == 3 and component == 0:
            frame[3], frame[4] = across, down
        elif components == 3 and (across != 1 or down != 1):
            return False
    same = components == 3 and (names[0] == names[1] or names[1] == names[2] or names[0] == names[2])
    # libjpeg widens fewer than three samples of chroma without its filter.
    halved = frame[3] == 2 and frame[4] <= 2 and frame[1] > 4
    return bool(frame[0] > 0 and frame[1] > 0 and not same and (halved or (frame[3] == 1 and frame[4] == 1)))


@compiled
def _read_scan(segment: Bytes, components: int, names: Integers, codes: Integers) -> bool:
    if components == 0 or segment.size != 4 + 2 * components or segment[0] != components:
        return False
    for component in range(components):
        at = 1 + 2 * component
        dc, ac = np.int64(segment[at + 1]) >> 4, np.int64(segment[at + 1]) & 15
        if segment[at] != names[component] or dc >= TABLES or ac >= TABLES:
            return False
        codes[component, 0], codes[component, 1] = 2 * dc, 2 * ac + 1
    at = 1 + 2 * components
    return bool(segment[at] == 0 and segment[at + 1] == 63 and segment[at + 2] == 0)
