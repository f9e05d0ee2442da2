"""Read the segments of a JPEG before its first scan (size, Adobe marker, EXIF), count its scans, and find its end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Markers; ITU-T T.81 table B.1. Frames are C0..CF without C4 (Huffman), C8 (reserved) and CC (arithmetic).
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE_FRAMES = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
START, END, SCAN, APP0, APP1, APP2, APP14, FILL = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xFF
# TEM and RST0..7: markers without a length.
BARE = frozenset({0x01, *range(0xD0, 0xD8)})
# The only scan headers that libjpeg accepts: the length matches the 1 to 4 components. Entropy-coded data cannot hold
# these bytes, and a trailer holds them by chance once in 4 GB.
SCAN_HEADER = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
# A marker that ends entropy-coded data; stuffed zeros, fill bytes and bare markers do not.
ENDING_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")


@dataclass(slots=True)
class JpegHeader:
    """The content of the segments before the first scan.

    Attributes:
        height: height in pixels, 0 without a frame header.
        width: likewise.
        components: number of components of the frame, likewise.
        many_scans: False only where one scan is certain to hold the whole frame.
        scan_at: offset of the first scan's marker, or of the end of the last valid segment.
        adobe: whether there is an Adobe APP14 segment, which means that CMYK is stored inverted.
        exif: the TIFF structure of the first EXIF segment; empty if there is none.
    """

    height: int = 0
    width: int = 0
    components: int = 0
    many_scans: bool = True
    scan_at: int = 2
    adobe: bool = False
    exif: bytes = b""


def read_header(data: bytes) -> JpegHeader:
    """Read the segments; this never fails, whatever the bytes."""
    header = JpegHeader()
    sequential = False
    for marker, at, end in segments(data):
        if marker in FRAMES and at + 10 <= len(data):
            header.height = data[at + 5] << 8 | data[at + 6]
            header.width = data[at + 7] << 8 | data[at + 8]
            header.components = data[at + 9]
            sequential = marker not in PROGRESSIVE_FRAMES
        elif marker == APP1 and not header.exif and data.startswith(b"Exif\0\0", at + 4):
            header.exif = data[at + 10 : end]
        elif marker == APP14 and data.startswith(b"Adobe", at + 4):
            header.adobe = True
        elif marker == SCAN:
            header.many_scans = not sequential or data[at + 4 : at + 5] != bytes([header.components])
        header.scan_at = at if marker == SCAN else end
    return header


def count_scans(data: bytes, header: JpegHeader) -> int:
    """Count the scans in a file, including those of further images after the first."""
    return sum(1 for _ in SCAN_HEADER.finditer(data, header.scan_at)) if header.many_scans else 1


def find_end_mark(data: bytes, header: JpegHeader) -> int:
    """Offset of the end mark behind the scans; -1 if the file ends, or another image starts, before there is one.

    End marks within segments, as in a thumbnail, do not count, and neither do those in a trailer.
    """
    at = header.scan_at
    while found := ENDING_MARKER.search(data, at):
        marker, at = data[found.end() - 1], found.end()
        if marker == END:
            return found.start()
        if marker == START:
            return -1
        at += int.from_bytes(data[at : at + 2])
    return -1


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment up to the first scan's header."""
    at, marker = 2, 0
    while marker != SCAN and at + 4 <= len(data) and data[at] == FILL:
        marker = data[at + 1]
        if marker == FILL:
            at += 1
        elif marker in BARE:
            at += 2
        else:
            end = at + 2 + (data[at + 2] << 8 | data[at + 3])
            yield marker, at, end
            at = end
