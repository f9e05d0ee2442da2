"""The integer fields of a TIFF's first directory, and a copy of the file with neutral orientation."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Tags; TIFF 6.0 sections 8 and 15. Only these are read: a directory may hold thousands of other fields.
WIDTH, HEIGHT, STRIP_OFFSETS, ORIENTATION, STRIP_SIZES = 256, 257, 273, 274, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 322, 323, 324, 325
WANTED = frozenset(
    {WIDTH, HEIGHT, STRIP_OFFSETS, ORIENTATION, STRIP_SIZES} | {TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES}
)
# Bytes of one value of the integer field types BYTE, SHORT, LONG, LONG8; TIFF 6.0 section 2 and BigTIFF.
TYPE_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}
MAX_ENTRIES = 4096
UPRIGHT = 1


@dataclass(frozen=True, slots=True)
class TiffField:
    """One field: the offset of its first value in the file, and its values in the file's byte order."""

    at: int
    values: NDArray[np.unsignedinteger]


def read_fields(data: bytes) -> dict[int, TiffField]:
    """Read the wanted fields of the first directory; the first of repeated tags counts, as in libtiff.

    Raises:
        struct.error: the directory or a field passes the end of the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    word, count_format, entry_bytes = ("Q", "Q", 20) if big else ("I", "H", 12)
    word_bytes = struct.calcsize(order + word)
    (at,) = struct.unpack_from(order + word, data, 8 if big else 4)
    if at > len(data):  # also catches offsets that struct cannot take
        raise struct.error("the directory passes the end")
    (entries,) = struct.unpack_from(order + count_format, data, at)
    at += struct.calcsize(order + count_format)
    fields: dict[int, TiffField] = {}
    for entry in range(at, at + entry_bytes * min(entries, MAX_ENTRIES), entry_bytes):
        tag, kind, count = struct.unpack_from(order + "HH" + word, data, entry)
        if tag not in WANTED or tag in fields or kind not in TYPE_BYTES or not count:
            continue
        value = entry + 4 + word_bytes
        if count * TYPE_BYTES[kind] > word_bytes:
            (value,) = struct.unpack_from(order + word, data, value)
        if value + count * TYPE_BYTES[kind] > len(data):
            raise struct.error(f"field {tag} passes the end")
        fields[tag] = TiffField(value, np.frombuffer(data, f"{order}u{TYPE_BYTES[kind]}", count, value))
    return fields


def neutral(data: bytes) -> tuple[int, bytes]:
    """The orientation of a TIFF, 1 if it is invalid, and the file with that tag set to 1.

    OpenCV turns a TIFF even when told not to, so the tag must not reach it.

    Raises:
        struct.error: as in `read_fields`.
    """
    field = read_fields(data).get(ORIENTATION)
    if field is None or not 2 <= field.values[0] <= 8:
        return UPRIGHT, data
    one = np.ones(1, field.values.dtype).tobytes()
    return int(field.values[0]), data[: field.at] + one + data[field.at + len(one) :]
