"""A JPEG's bytes up to the scan in, what decoding it needs out.

Taken is what nearly all photographs are: one scan of 8 bits, grey or YCbCr, chroma whole or halved, no restarts.

Source: ITU-T T.81, annex B; which colours three components mean: JFIF 1.02 and Adobe's technical note 5116.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.codes import Lookups, Words, build_lookups
from alexnet_pipeline.pixels.jpeg_head import APP1, APP14, SCAN, Segment

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
# As much of JFIF's and Adobe's segments as says something here.
TELLING_BYTES = {APP0: 14, APP14: 12}
# All tables that a scan can have take 2.5 kB; more only repeat themselves, and would be kept.
MOST_SAID_BYTES = 8192


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


class _Layout(NamedTuple):
    """What decides how to decode, apart from the picture's size.

    Attributes:
        components: as `Frame` has them, and likewise `across` and `down`.
        across: see above.
        down: see above.
        quants: as `Header` has them, and likewise `lookups`.
        lookups: see above.
    """

    components: int
    across: int
    down: int
    quants: NDArray[np.int64]
    lookups: Lookups


def read_header(data: bytes, parts: Iterable[Segment]) -> Header | None:
    """Read the segments before the scan; None where the file is something else, or not in order."""
    said: list[tuple[int, bytes]] = []
    height = width = stop = 0
    for marker, at, stop in parts:
        if stop > len(data) or at + 4 > stop:
            return None
        if marker in {BASELINE, EXTENDED}:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            said.append((BASELINE, data[at + 4 : at + 5] + data[at + 9 : stop]))
        elif marker in TELLING_BYTES:
            said.append((marker, data[at + 4 : min(at + 4 + TELLING_BYTES[marker], stop)]))
        elif marker not in SILENT:
            said.append((marker, data[at + 4 : stop]))
    if sum(len(segment) for _, segment in said) > MOST_SAID_BYTES:
        return None
    layout = _understand(tuple(said))
    # libjpeg widens fewer than three samples of chroma without its filter.
    if layout is None or not height or not width or (layout.across == 2 and width <= 4):
        return None
    frame = Frame(height, width, layout.components, layout.across, layout.down)
    return Header(stop, frame, layout.quants, layout.lookups)


# Most pictures of a set say the same.
@functools.lru_cache(maxsize=64)
def _understand(said: tuple[tuple[int, bytes], ...]) -> _Layout | None:  # noqa: PLR0911, PLR0912 - a refusal a kind
    """What the segments mean together, the frame's given without the size."""
    tables: dict[int, bytes] = {}
    words: dict[int, Words] = {}
    frame_segment, is_ycc, adobe = b"", False, -1
    for marker, segment in said:
        if marker == QUANTISATION:
            if not _read_quantisation(segment, tables):
                return None
        elif marker == HUFFMAN:
            if not _read_huffman(segment, words):
                return None
        elif marker == BASELINE:
            if frame_segment:
                return None
            frame_segment = segment
        elif marker == SCAN:
            counted = adobe == -1 and frame_segment[2:11:3] == b"\1\2\3"
            return _read_scan(segment, frame_segment, is_ycc or adobe == 1 or counted, tables, words)
        elif marker == RESTART:
            if segment != b"\0\0":
                return None
        elif marker == APP0:
            if len(segment) == TELLING_BYTES[APP0] and segment.startswith(b"JFIF\0"):
                is_ycc = True
                if segment[5] != 1:  # libjpeg warns of other versions
                    return None
        elif marker == APP14:
            if len(segment) == TELLING_BYTES[APP14] and segment.startswith(b"Adobe"):
                adobe = segment[11]
        else:
            return None
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
    segment: bytes, frame_segment: bytes, is_ycc: bool, tables: dict[int, bytes], words: dict[int, Words]
) -> _Layout | None:
    factors = _read_factors(frame_segment)
    if factors is None or (len(factors) == 3 and not is_ycc):
        return None  # three components that are RGB, or that libjpeg has to guess
    names, table_of = frame_segment[2::3], frame_segment[4::3]
    if len(segment) != 4 + 2 * len(factors) or segment[0] != len(factors) or not segment.endswith(ALL_AT_ONCE):
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
    quants = np.zeros(TABLES * 64, np.int64)
    quants[: 64 * len(factors)] = np.frombuffer(b"".join(tables[which] for which in table_of), np.uint8)
    return _Layout(len(factors), *factors[0], quants, lookups)


def _read_factors(segment: bytes) -> list[tuple[int, int]] | None:
    """Of each component, in how many columns and rows of the finest it has one, from a frame without its size."""
    if len(segment) < 2 or segment[0] != 8 or segment[1] not in {1, 3} or len(segment) != 2 + 3 * segment[1]:
        return None
    factors = [(byte >> 4, byte & 15) for byte in segment[3::3]]
    if any(not (1 <= factor <= 4) for pair in factors for factor in pair):
        return None
    if segment[1] == 1:
        return [(1, 1)]
    if len(set(segment[2::3])) < 3 or factors[1:] != [(1, 1)] * 2 or factors[0] not in {(1, 1), (2, 1), (2, 2)}:
        return None
    return factors
