"""A PNG, GIF, BMP, WebP or TIFF in, its size out if the file is whole: OpenCV passes what is cut or flipped."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.records import Reason

# (height, width) of a format, or a RejectedImageError.
Check = Callable[[bytes, int], tuple[int, int]]

INFLATE_STEP_BYTES = 1 << 20
JPEG_APP2, JPEG_SCAN = 0xE2, 0xDA
# Start-of-frame markers; C4, C8 and CC are something else.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Bytes of one value of the integer field types BYTE, SHORT, LONG, LONG8; TIFF 6.0 section 2 and BigTIFF.
TIFF_TYPE_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}
TIFF_MAX_ENTRIES = 4096


def check_size(name: str, data: bytes, max_pixels: int) -> tuple[int, int]:
    """(height, width) of a whole file of a format, proved before anything is decoded.

    Raises:
        RejectedImageError: too_large, truncated or corrupt.
    """
    try:
        height, width = CHECKS[name](data, max_pixels)
    except (struct.error, IndexError) as error:
        raise RejectedImageError(Reason.TRUNCATED, f"{name} ends within a header") from error
    _cap(height, width, max_pixels)
    return height, width


def jpeg_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    """(height, width) from a JPEG's frame header.

    Raises:
        RejectedImageError: there is none, or it is too large.
    """
    for marker, at, _ in _jpeg_segments(data):
        if marker in JPEG_FRAMES and at + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 5)
            _cap(height, width, max_pixels)
            return height, width
    raise RejectedImageError(Reason.CORRUPT, "JPEG without a frame header")


def without_icc(data: bytes) -> bytes:
    """The same JPEG without its APP2 segments."""
    kept, last = [], 0
    for marker, at, end in _jpeg_segments(data):
        if marker == JPEG_APP2:
            kept.append(data[last:at])
            last = end
    if not kept:
        raise RejectedImageError(Reason.CORRUPT, "JPEG: a damaged ICC profile that cannot be found")
    return b"".join((*kept, data[last:]))


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != JPEG_SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], at, end
        at = end


def _cap(height: int, width: int, max_pixels: int) -> None:
    if height <= 0 or width <= 0:
        raise RejectedImageError(Reason.CORRUPT, f"the header says {height}x{width}")
    if height * width > max_pixels:
        raise RejectedImageError(Reason.TOO_LARGE, f"{height}x{width}, the cap is {max_pixels} pixels")


def _png(data: bytes, max_pixels: int) -> tuple[int, int]:
    if data[:8] != PNG_SIGNATURE:
        raise RejectedImageError(Reason.CORRUPT, "PNG signature damaged")
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    _cap(height, width, max_pixels)
    at, name, packed = 8, b"", []
    while name != b"IEND":
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise RejectedImageError(Reason.TRUNCATED, f"PNG chunk {name!r} passes the end")
        # Capital first letter: critical. A damaged comment hurts nobody.
        if name[:1].isupper() and zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise RejectedImageError(Reason.CORRUPT, f"PNG chunk {name!r} fails its CRC")
        if name == b"IDAT":
            packed.append(data[at + 8 : end - 4])
        at = end
    row_bits = width * depth * PNG_CHANNELS.get(colour, 1)
    _inflates(b"".join(packed), 0 if interlace else height * (1 + (row_bits + 7) // 8))
    return height, width


def _inflates(packed: bytes, least_bytes: int) -> None:
    """Inflate step by step, so that a bomb costs a step of memory."""
    inflater, made = zlib.decompressobj(), 0
    try:
        while packed and not inflater.eof and made <= least_bytes:
            made += len(inflater.decompress(packed, INFLATE_STEP_BYTES))
            packed = inflater.unconsumed_tail
    except zlib.error as error:
        raise RejectedImageError(Reason.CORRUPT, f"PNG data: {error}") from error
    if made < least_bytes:
        raise RejectedImageError(Reason.TRUNCATED, f"PNG data makes {made} of {least_bytes} bytes")


def _gif(data: bytes, max_pixels: int) -> tuple[int, int]:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    _cap(height, width, max_pixels)
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while data[at] != 0x2C:
        if data[at] == 0x3B:
            raise RejectedImageError(Reason.CORRUPT, "GIF without a frame")
        if data[at] != 0x21:
            raise RejectedImageError(Reason.CORRUPT, f"GIF block {data[at]:#x}")
        at = _gif_blocks(data, at + 2)
    frame_width, frame_height, flags = struct.unpack_from("<HHB", data, at + 5)
    _cap(frame_height, frame_width, max_pixels)
    _gif_blocks(data, at + 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0))
    return height, width


def _gif_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _bmp(data: bytes, max_pixels: int) -> tuple[int, int]:
    offset, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    _cap(abs(height), width, max_pixels)
    needed = offset + (width * bits + 31) // 32 * 4 * abs(height)
    if compression in {0, 3, 6} and needed > len(data):
        raise RejectedImageError(Reason.TRUNCATED, f"BMP needs {needed} bytes, has {len(data)}")
    return abs(height), width


def _webp(data: bytes, max_pixels: int) -> tuple[int, int]:
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise RejectedImageError(Reason.TRUNCATED, f"WebP needs {size + 8} bytes, has {len(data)}")
    name = data[12:16]
    if name == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if name != b"VP8 ":
        raise RejectedImageError(Reason.CORRUPT, f"WebP begins with chunk {name!r}")
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


def _tiff(data: bytes, max_pixels: int) -> tuple[int, int]:
    fields = _tiff_fields(data)
    height, width = fields.get(257, [0])[0], fields.get(256, [0])[0]
    _cap(height, width, max_pixels)
    offsets = fields.get(273) or fields.get(324) or []
    sizes = fields.get(279) or fields.get(325) or []
    if not offsets:
        raise RejectedImageError(Reason.CORRUPT, "TIFF without strips or tiles")
    if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=False)):
        raise RejectedImageError(Reason.TRUNCATED, "a TIFF strip passes the end")
    return height, width


def _tiff_fields(data: bytes) -> dict[int, list[int]]:
    """The first directory's integer fields."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    word, count_format, entry_bytes = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack_from(order + word, data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + count_format, data, at)
    at += struct.calcsize(order + count_format)
    fields: dict[int, list[int]] = {}
    for _ in range(min(entries, TIFF_MAX_ENTRIES)):
        tag, kind, count = struct.unpack_from(order + "HH" + word, data, at)
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        value = at + 4 + struct.calcsize(order + word)
        if letter and count * TIFF_TYPE_BYTES[kind] > struct.calcsize(order + word):
            (value,) = struct.unpack_from(order + word, data, value)
        if letter and count * TIFF_TYPE_BYTES[kind] <= len(data):
            fields[tag] = list(struct.unpack_from(f"{order}{count}{letter}", data, value))
        at += entry_bytes
    return fields


CHECKS: dict[str, Check] = {"PNG": _png, "GIF": _gif, "BMP": _bmp, "WebP": _webp, "TIFF": _tiff}
