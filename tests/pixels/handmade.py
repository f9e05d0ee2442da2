"""Image files built byte by byte, for what no encoder at hand will write."""

import math
import struct
import zlib

import numpy as np

# Columns, rows: first and step of Adam7's passes.
ADAM7 = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]


def numbered(height: int, width: int) -> np.ndarray:
    """HWC uint8 without any symmetry."""
    return np.random.Generator(np.random.PCG64(height)).integers(0, 256, (height, width, 3), np.uint8)


def exif(orientation: int, order: str = ">", *, long: bool = False) -> bytes:
    """A TIFF structure of one tag, whose value is a SHORT or a LONG."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    value = struct.pack(order + ("I" if long else "HH"), *((orientation,) if long else (orientation, 0)))
    return mark + struct.pack(order + "IHHHI", 8, 1, 274, 4 if long else 3, 1) + value + bytes(4)


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def grey_jpeg(
    height: int,
    width: int,
    samplings: tuple[tuple[int, int], ...] = ((1, 1), (1, 1), (1, 1)),
    *,
    one_by_one: int = 0,
    head: bytes = b"",
) -> bytes:
    """A baseline JPEG of plain mid-grey: with these tables a block is two zero bits.

    Args:
        height: in pixels.
        width: in pixels.
        samplings: (horizontal, vertical) factor of each component.
        one_by_one: 0 interleaves, else every component has this many scans of its own.
        head: segments to stand first.
    """
    wide, tall = max(h for h, _ in samplings), max(v for _, v in samplings)
    numbers = range(1, len(samplings) + 1)
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    tables += b"".join(segment(0xC4, bytes([kind, 1]) + bytes(15) + b"\0") for kind in (0x00, 0x10))
    frame = struct.pack(">BHHB", 8, height, width, len(samplings))
    frame += b"".join(bytes([n, h << 4 | v, 0]) for n, (h, v) in zip(numbers, samplings, strict=True))

    def scan(chosen: list[int], count: int) -> bytes:
        bits = "00" * count
        bits += "1" * (-len(bits) % 8)
        body = bytes([len(chosen)]) + b"".join(bytes([n, 0]) for n in chosen) + b"\0\x3f\0"
        return segment(0xDA, body) + int(bits, 2).to_bytes(len(bits) // 8)

    def blocks(h: int, v: int) -> int:
        rows, columns = math.ceil(height * v / tall), math.ceil(width * h / wide)
        return math.ceil(rows / 8) * math.ceil(columns / 8)

    units = math.ceil(height / (8 * tall)) * math.ceil(width / (8 * wide))
    scans = scan(list(numbers), units * sum(h * v for h, v in samplings))
    if one_by_one:
        each = zip(numbers, samplings, strict=True)
        scans = b"".join(scan([n], blocks(h, v)) * one_by_one for n, (h, v) in each)
    return b"\xff\xd8" + head + tables + segment(0xC0, frame) + scans + b"\xff\xd9"


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    height: int,
    width: int,
    rows: bytes,
    *,
    colour: int = 2,
    depth: int = 8,
    interlaced: bool = False,
    before: bytes = b"",
    extra: bytes = b"",
) -> bytes:
    """A PNG of filtered rows; `before` stands before IHDR, `extra` behind it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    data = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + before + head + extra + data + chunk(b"IEND", b"")


def rows_of(image: np.ndarray, *, interlaced: bool = False) -> bytes:
    """Filter type 0 before each row, pass by pass."""
    passes = [image[y::dy, x::dx] for x, dx, y, dy in ADAM7] if interlaced else [image]
    return b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)


def gif(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """A GIF of 128 colours without compression: 8-bit codes, cleared before the code size would grow."""
    height, width = indices.shape
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF6, 0, 0) + palette.tobytes()
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\7"
    flat = indices.astype(np.uint8).tobytes()
    codes = b"".join(b"\x80" + flat[at : at + 100] for at in range(0, len(flat), 100)) + b"\x81"
    blocks = b"".join(bytes([len(codes[at : at + 255])]) + codes[at : at + 255] for at in range(0, len(codes), 255))
    return head + frame + blocks + b"\0\x3b"


def tiff(
    image: np.ndarray,
    orientation: int = 1,
    *,
    order: str = "<",
    big: bool = False,
    change: dict[int, int] | None = None,
) -> bytes:
    """An uncompressed TIFF of one strip; `change` overrides values of tags."""
    height, width, channels = image.shape
    start = 16 if big else 8
    values = {
        256: width, 257: height, 258: 8, 259: 1, 262: 2 if channels == 3 else 1, 273: start,
        274: orientation, 277: channels, 278: height, 279: image.size, 284: 1,
    }  # fmt: skip
    values.update(change or {})
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    pixels = image.tobytes() + b"\0" * (image.size % 2)
    at = start + len(pixels)
    head = mark + (struct.pack(order + "HHQ", 8, 0, at) if big else struct.pack(order + "I", at))
    word = "Q" if big else "I"
    entries = b"".join(
        struct.pack(order + "HH" + word, tag, 3 if tag == 274 else 4, 1)
        + struct.pack(order + ("H" if tag == 274 else "I"), value).ljust(8 if big else 4, b"\0")
        for tag, value in sorted(values.items())
    )
    count = struct.pack(order + ("Q" if big else "H"), len(values))
    return head + pixels + count + entries + struct.pack(order + word, 0)


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """The oracle: pixel by pixel from Exif 2.32's table of where row 0 and column 0 lie."""
    row_is, column_is = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    height, width = image.shape[:2]
    upright = np.empty((width, height, 3) if row_is in {"left", "right"} else image.shape, np.uint8)
    for row in range(height):
        for column in range(width):
            place = {row_is: row, column_is: column}
            y = place["top"] if "top" in place else upright.shape[0] - 1 - place["bottom"]
            x = place["left"] if "left" in place else upright.shape[1] - 1 - place["right"]
            upright[y, x] = image[row, column]
    return upright
