"""Prove that a PNG, GIF, BMP, WebP or TIFF is whole before it is decoded; OpenCV accepts truncated files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels.formats import tiff as tiff_head
from alexnet_pipeline.records import Reason

# Checks a file of one format against a cap on pixels: returns (height, width), or raises RejectedImageError.
Check = Callable[[bytes, int], tuple[int, int]]

# Bytes of compressed and decompressed data held at a time, so that a decompression bomb costs no more memory.
INFLATE_INPUT_BYTES = 1 << 16
INFLATE_STEP_BYTES = 1 << 20
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row, column step and row step of Adam7's passes; PNG 3rd edition, section 8.1.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# BMP compression types that embed another format: BI_JPEG and BI_PNG.
BMP_FOREIGN = {4: "JPEG", 5: "PNG"}


def check_size(name: str, data: bytes, max_pixels: int) -> tuple[int, int]:
    """Prove that a file is whole before anything is decoded, and return its (height, width).

    Raises:
        RejectedImageError: too_large, truncated or corrupt.
    """
    try:
        height, width = CHECKS[name](data, max_pixels)
    except (struct.error, IndexError) as error:
        raise RejectedImageError(Reason.TRUNCATED, f"{name} ends within a header") from error
    check_cap(height, width, max_pixels)
    return height, width


def essential_png(data: bytes) -> bytes:
    """Reduce a PNG that passed `check_size` to its critical chunks.

    libpng then prints no warnings about damaged comments, and OpenCV's reader of animations, which some broken files
    crash, is not reached.
    """
    critical = (data[at:end] for name, at, end in _png_chunks(data) if name[:1].isupper())
    return PNG_SIGNATURE + b"".join(critical)


def check_cap(height: int, width: int, max_pixels: int) -> None:
    """Reject an image that is too large or has no pixels.

    Raises:
        RejectedImageError: too_large or corrupt.
    """
    if height <= 0 or width <= 0:
        raise RejectedImageError(Reason.CORRUPT, f"the header says {height}x{width}")
    if height * width > max_pixels:
        raise RejectedImageError(Reason.TOO_LARGE, f"{height}x{width}, the cap is {max_pixels} pixels")


def _png(data: bytes, max_pixels: int) -> tuple[int, int]:
    if data[:8] != PNG_SIGNATURE:
        raise RejectedImageError(Reason.CORRUPT, "PNG signature damaged")
    first, width, height, depth, colour, _, _, interlace = struct.unpack_from(">4sIIBBBBB", data, 12)
    if first != b"IHDR":
        raise RejectedImageError(Reason.CORRUPT, f"PNG begins with chunk {first!r}")
    check_cap(height, width, max_pixels)
    pixel_bits = depth * PNG_CHANNELS.get(colour, 1)
    passes = ADAM7 if interlace else ((0, 0, 1, 1),)
    packed = [memoryview(data)[at + 8 : end - 4] for name, at, end in _png_chunks(data) if name == b"IDAT"]
    _inflates(packed, sum(_png_pass_bytes(height, width, pixel_bits, each) for each in passes))
    return height, width


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of each chunk up to IEND; every critical one is checked against its CRC."""
    at, name = len(PNG_SIGNATURE), b""
    while name != b"IEND":
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise RejectedImageError(Reason.TRUNCATED, f"PNG chunk {name!r} passes the end")
        # A capital first letter marks a critical chunk; a damaged comment does no harm.
        if name[:1].isupper():
            found = zlib.crc32(memoryview(data)[at + 4 : end - 4])
            if found != int.from_bytes(data[end - 4 : end]):
                raise RejectedImageError(Reason.CORRUPT, f"PNG chunk {name!r} fails its CRC")
        yield name, at, end
        at = end


def _png_pass_bytes(height: int, width: int, pixel_bits: int, grid: tuple[int, int, int, int]) -> int:
    left, top, step_x, step_y = grid
    rows, columns = -((top - height) // step_y), -((left - width) // step_x)
    return rows * (1 + (columns * pixel_bits + 7) // 8) if rows > 0 < columns else 0


def _inflates(chunks: list[memoryview], least_bytes: int) -> None:
    inflater, made = zlib.decompressobj(), 0
    steps = (
        chunk[at : at + INFLATE_INPUT_BYTES] for chunk in chunks for at in range(0, len(chunk), INFLATE_INPUT_BYTES)
    )
    try:
        for step in steps:
            rest: bytes | memoryview = step
            while rest and made <= least_bytes and not inflater.eof:
                made += len(inflater.decompress(rest, INFLATE_STEP_BYTES))
                rest = inflater.unconsumed_tail
    except zlib.error as error:
        raise RejectedImageError(Reason.CORRUPT, f"PNG data: {error}") from error
    if made < least_bytes:
        raise RejectedImageError(Reason.TRUNCATED, f"PNG data makes {made} of {least_bytes} bytes")


def _gif(data: bytes, max_pixels: int) -> tuple[int, int]:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    check_cap(height, width, max_pixels)
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while data[at] != 0x2C:
        if data[at] == 0x3B:
            raise RejectedImageError(Reason.CORRUPT, "GIF without a frame")
        if data[at] != 0x21:
            raise RejectedImageError(Reason.CORRUPT, f"GIF block {data[at]:#x}")
        at = _gif_blocks(data, at + 2)
    frame_width, frame_height, flags = struct.unpack_from("<HHB", data, at + 5)
    check_cap(frame_height, frame_width, max_pixels)
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
    check_cap(abs(height), width, max_pixels)
    if compression in BMP_FOREIGN:
        raise RejectedImageError(Reason.UNSUPPORTED_FORMAT, f"BMP holding a {BMP_FOREIGN[compression]}")
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
    fields = tiff_head.read_fields(data)

    def first(tag: int) -> int:
        return int(fields[tag].values[0]) if tag in fields else 0

    height, width = first(tiff_head.HEIGHT), first(tiff_head.WIDTH)
    tiled = tiff_head.TILE_OFFSETS in fields
    if tiled:  # a tile may be larger than the image, and is allocated whole
        check_cap(first(tiff_head.TILE_HEIGHT), first(tiff_head.TILE_WIDTH), max_pixels)
    offsets = fields.get(tiff_head.TILE_OFFSETS if tiled else tiff_head.STRIP_OFFSETS)
    sizes = fields.get(tiff_head.TILE_SIZES if tiled else tiff_head.STRIP_SIZES)
    if offsets is None:
        raise RejectedImageError(Reason.CORRUPT, "TIFF without strips or tiles")
    ends = offsets.values.astype(np.float64)  # no overflow, and exact far beyond any file
    if sizes is not None:
        pairs = min(len(ends), len(sizes.values))
        ends[:pairs] += sizes.values[:pairs]
    if ends.max() > len(data):
        raise RejectedImageError(Reason.TRUNCATED, "a TIFF strip passes the end")
    return height, width


CHECKS: dict[str, Check] = {"PNG": _png, "GIF": _gif, "BMP": _bmp, "WebP": _webp, "TIFF": _tiff}
