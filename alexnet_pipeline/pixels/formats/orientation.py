"""EXIF orientation of JPEG, PNG and WebP files, and turning images upright; damaged EXIF counts as upright."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

ORIENTATION_TAG = 0x0112
# Format of a value by its type; Exif prescribes SHORT, but some writers use LONG, and Pillow and OpenCV read it.
VALUE_FORMATS = {3: "H", 4: "I"}
UPRIGHT = 1


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
    """The orientation in a PNG's eXIf chunk."""
    return _riff_like(data, 8, b"eXIf", ">", name_first=False)


def webp_orientation(data: bytes) -> int:
    """The orientation in a WebP's EXIF chunk."""
    return _riff_like(data, 12, b"EXIF", "<", name_first=True)


def _riff_like(data: bytes, at: int, wanted: bytes, order: str, *, name_first: bool) -> int:
    while at + 8 <= len(data):
        name = data[at : at + 4] if name_first else data[at + 4 : at + 8]
        (size,) = struct.unpack_from(order + "I", data, at + 4 if name_first else at)
        if name == wanted:
            return exif_orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
        at += 8 + (size + size % 2 if name_first else size + 4)
    return UPRIGHT


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
