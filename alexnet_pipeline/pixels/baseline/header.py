"""A JPEG's bytes up to the scan in, what decoding it needs out.

Taken is what nearly all photographs are: one scan of 8 bits, grey or YCbCr, chroma whole or halved, no restarts.

Source: ITU-T T.81, annex B; which colours three components mean: JFIF 1.02 and Adobe's technical note 5116.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.codes import Lookups, Words, build_lookups
from alexnet_pipeline.pixels.jpeg_head import APP1, APP14, SCAN, segments

# Markers beside those of `jpeg_head`; T.81, table B.1.
BASELINE, EXTENDED, HUFFMAN, QUANTISATION, RESTART = 0xC0, 0xC1, 0xC4, 0xDB, 0xDD
APP0, APP15, COMMENT = 0xE0, 0xEF, 0xFE
# Segments that say nothing about pixels.
SILENT = frozenset({*range(APP1, APP15 + 1), COMMENT})
# Quantisation tables, and Huffman tables of each kind.
TABLES = 4
TABLE_BYTES, LENGTHS_BYTES = 65, 17
# What the scan's header ends with: all 64 coefficients, all bits of them at once.
ALL_AT_ONCE = bytes([0, 63, 0])


class Frame(NamedTuple):
    """What the frame's header says.

    Attributes:
        height: in pixels.
        width: likewise.
        components: 1 or 3.
        across: in how many columns of luma chroma has one, 1 or 2.
        down: likewise rows.
    """

    height: int
    width: int
    components: int
    across: int
    down: int


class Header(NamedTuple):
    """What stands before the scan.

    Attributes:
        begin: where the entropy-coded bytes begin.
        frame: the picture's.
        quants: (4 * 64,) int64, each component's quantisation, in the order of the stream; the last are zeros.
        lookups: for its Huffman tables, those of component c at places 2c (DC) and 2c + 1 (AC).
    """

    begin: int
    frame: Frame
    quants: NDArray[np.int64]
    lookups: Lookups


def read_header(data: bytes) -> Header | None:  # noqa: PLR0911, PLR0912 - a refusal a kind of segment reads best
    """Walk the segments; None where the file is something else, or not in order."""
    tables: dict[int, bytes] = {}
    words: dict[int, Words] = {}
    frame_segment, is_ycc, adobe = b"", False, -1
    for marker, at, stop in segments(data):
        segment = data[at + 4 : stop]
        if stop > len(data) or at + 4 > stop:
            return None
        if marker == QUANTISATION:
            if not _read_quantisation(segment, tables):
                return None
        elif marker == HUFFMAN:
            if not _read_huffman(segment, words):
                return None
        elif marker in {BASELINE, EXTENDED}:
            if frame_segment:
                return None
            frame_segment = segment
        elif marker == SCAN:
            counted = adobe == -1 and frame_segment[6:15:3] == b"\1\2\3"
            return _read_scan(segment, stop, frame_segment, is_ycc or adobe == 1 or counted, tables, words)
        elif marker == RESTART:
            if segment != b"\0\0":
                return None
        elif marker == APP0:
            if len(segment) >= 14 and segment.startswith(b"JFIF\0"):
                is_ycc = True
                if segment[5] != 1:  # libjpeg warns of other versions
                    return None
        elif marker not in SILENT:
            return None
        elif marker == APP14 and len(segment) >= 12 and segment.startswith(b"Adobe"):
            adobe = segment[11]
    return None


def _read_quantisation(segment: bytes, tables: dict[int, bytes]) -> bool:
    for at in range(0, len(segment), TABLE_BYTES):
        which = segment[at]  # entries of 16 bits have a higher bit set here
        if which >= TABLES or at + TABLE_BYTES > len(segment):
            return False
        tables[which] = segment[at + 1 : at + TABLE_BYTES]
    return True


def _read_huffman(segment: bytes, words: dict[int, Words]) -> bool:
    at = 0
    while at < len(segment):
        kind_and_which, counts = segment[at], segment[at + 1 : at + LENGTHS_BYTES]
        at += LENGTHS_BYTES
        total = sum(counts)
        if kind_and_which & 0xEF >= TABLES or total > 256 or at + total > len(segment):
            return False
        words[kind_and_which] = Words(counts, segment[at : at + total])
        at += total
    return True


def _read_scan(
    segment: bytes, begin: int, frame_segment: bytes, is_ycc: bool, tables: dict[int, bytes], words: dict[int, Words]
) -> Header | None:
    frame = _read_frame(frame_segment)
    if frame is None or (frame.components == 3 and not is_ycc):
        return None  # three components that are RGB, or that libjpeg has to guess
    names, table_of = frame_segment[6::3], frame_segment[8::3]
    count = bytes([frame.components])
    if len(segment) != 4 + 2 * frame.components or segment[:1] != count or not segment.endswith(ALL_AT_ONCE):
        return None
    if segment[1:-3:2] != names or any(which not in tables for which in table_of):
        return None
    chosen = []
    for both in segment[2:-3:2]:
        dc, ac = words.get(both >> 4), words.get(0x10 | both & 15)
        if dc is None or ac is None:
            return None
        chosen += [dc, ac]
    lookups = build_lookups(tuple(chosen))
    if lookups is None:
        return None
    return Header(begin, frame, _quants(b"".join(tables[which] for which in table_of)), lookups)


def _read_frame(segment: bytes) -> Frame | None:
    if len(segment) < 6 or segment[0] != 8 or segment[5] not in {1, 3} or len(segment) != 6 + 3 * segment[5]:
        return None
    height, width = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5])
    factors = [(byte >> 4, byte & 15) for byte in segment[7::3]]
    if not height or not width or any(not (1 <= factor <= 4) for pair in factors for factor in pair):
        return None
    if segment[5] == 1:
        return Frame(height, width, 1, 1, 1)
    if len(set(segment[6::3])) < 3 or factors[1:] != [(1, 1)] * 2 or factors[0] not in {(1, 1), (2, 1), (2, 2)}:
        return None
    if factors[0] != (1, 1) and width <= 4:  # libjpeg widens fewer than three samples of chroma without its filter
        return None
    return Frame(height, width, 3, *factors[0])


@functools.lru_cache(maxsize=1024)
def _quants(tables: bytes) -> NDArray[np.int64]:
    quants = np.zeros(TABLES * 64, np.int64)
    quants[: len(tables)] = np.frombuffer(tables, np.uint8)
    return quants
