"""EXIF orientation of JPEG, PNG and WebP files, and turning images upright; damaged EXIF counts as upright."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ORIENTATION_TAG = 0x0112
# Format of a value by its type; Exif prescribes SHORT, but some writers use LONG, and Pillow and OpenCV read it.
VALUE_FORMATS = {3: "H", 4: "I"}
UPRIGHT = 1
# What stands before the TIFF structure in JPEG, and in some other files.
EXIF_HEADER = b"Exif\0\0"
# Keywords of ImageMagick's text chunks with EXIF, and the most bytes of such a text; EXIF of JPEG has at most 64 kB.
RAW_PROFILES = frozenset({b"Raw profile type exif", b"Raw profile type APP1"})
MAX_PROFILE_BYTES = 1 << 18


def exif_orientation(tiff: bytes) -> int:
    """The orientation in EXIF, which is a TIFF structure; 1 if there is no valid one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(entries):
            start = at + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, start)
            if tag == ORIENTATION_TAG and kind in VALUE_FORMATS and count == 1:
                (value,) = struct.unpack_from(order + VALUE_FORMATS[kind], tiff, start + 8)
                if 1 <= value <= 8:
                    return int(value)
    except struct.error:
        pass
    return UPRIGHT


def png_orientation(data: bytes) -> int:
    """The orientation in a PNG's eXIf chunk, or else in the text chunk in which ImageMagick keeps EXIF."""
    texts = []
    for name, content in _chunks(data, 8, ">", name_first=False):
        if name == b"eXIf":
            return exif_orientation(content.removeprefix(EXIF_HEADER))
        if name in {b"tEXt", b"zTXt"}:
            texts.append((name, content))
    profiles = (_raw_profile(name, content) for name, content in texts)
    return next((exif_orientation(profile) for profile in profiles if profile), UPRIGHT)


def webp_orientation(data: bytes) -> int:
    """The orientation in a WebP's EXIF chunk."""
    for name, content in _chunks(data, 12, "<", name_first=True):
        if name == b"EXIF":
            return exif_orientation(content.removeprefix(EXIF_HEADER))
    return UPRIGHT


def _chunks(data: bytes, at: int, order: str, *, name_first: bool) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of each chunk of a PNG, or of a RIFF file."""
    while at + 8 <= len(data):
        name = data[at : at + 4] if name_first else data[at + 4 : at + 8]
        (size,) = struct.unpack_from(order + "I", data, at + 4 if name_first else at)
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + (size + size % 2 if name_first else size + 4)


def _raw_profile(name: bytes, content: bytes) -> bytes:
    """The EXIF in a text chunk `Raw profile type exif`: name, length and hexadecimal digits in lines; b"" if none."""
    keyword, _, text = content.partition(b"\0")
    if keyword not in RAW_PROFILES:
        return b""
    try:
        if name == b"zTXt":  # the first byte is the compression method, of which there is one
            text = zlib.decompressobj().decompress(text[1:], MAX_PROFILE_BYTES)
        return bytes.fromhex("".join(text.decode("ascii").split()[2:])).removeprefix(EXIF_HEADER)
    except (zlib.error, ValueError):
        return b""


def upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn an HWC image upright, according to its EXIF orientation.

    Source: Exif 2.32, tag 274: 1 upright, 2 mirrored, 3 turned by 180, 4 flipped, 5 transposed, 6 to be
    turned right, 7 transversed, 8 to be turned left.
    """
    if orientation == UPRIGHT:
        return image
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in {3, 4, 7, 8}:
        image = image[::-1]
    if orientation in {2, 3, 6, 7}:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
