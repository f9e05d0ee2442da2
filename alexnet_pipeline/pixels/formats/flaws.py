"""Flaws of a JPEG that do not touch its pixels, but that libjpeg warns of: copies of the file without them.

A strict decoder stops at its first warning, so that a flaw would hide damage behind it. Without the flaw, the file can
be decoded strictly again.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from alexnet_pipeline.pixels.formats.jpeg import APP0, APP2, APP14, find_end_mark, read_header, segments
from alexnet_pipeline.pixels.formats.memory import raise_if_out_of_memory

# libjpeg's warnings.
UNKNOWN_VERSION = re.compile(r"unknown JFIF revision number ([0-9.]+)")
UNKNOWN_TRANSFORM = re.compile(r"Unknown Adobe color transform code (\d+)")
DAMAGED_PROFILE = "bad ICC marker"
EXTRANEOUS_BYTES = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
# JFIF 1.01, and its offset in the segment's data; the decoder does not use it.
JFIF_VERSION, JFIF_VERSION_AT = b"\1\1", 5
# What libjpeg assumes if the transform is unknown, YCCK of four components and YCbCr of three; and its offset.
YCCK, YCBCR, TRANSFORM_AT = b"\2", b"\1", 11
# Most bytes that libjpeg has read ahead into its buffer of 64 bits, and does not count; each may be a stuffed pair.
READ_AHEAD_BYTES = 16
END_OF_IMAGE = b"\xff\xd9"


class Mended(NamedTuple):
    """What was wrong with a JPEG, and its bytes without that."""

    remark: str
    data: bytes


def mend(data: bytes, warning: str) -> Mended | None:
    """Remove the flaw that a warning of libjpeg names; None if that is not known to leave the pixels alone."""
    if found := UNKNOWN_VERSION.search(warning):
        known = _overwritten(data, APP0, b"JFIF\0", JFIF_VERSION_AT, JFIF_VERSION)
        return Mended(f"unknown JFIF version {found[1]}", known)
    if found := UNKNOWN_TRANSFORM.search(warning):
        transform = YCCK if read_header(data).components == 4 else YCBCR
        known = _overwritten(data, APP14, b"Adobe", TRANSFORM_AT, transform)
        return Mended(f"unknown Adobe transform {found[1]}", known)
    if DAMAGED_PROFILE in warning:
        return Mended("damaged ICC profile", _without(data, APP2))
    if found := EXTRANEOUS_BYTES.search(warning):
        return _without_extraneous(data, int(found[1]))
    return None


def _overwritten(data: bytes, marker: int, identifier: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite bytes at an offset in the data of all segments of a kind."""
    changed = bytearray(data)
    for found, at, end in segments(data):
        first = at + 4 + offset
        if found == marker and data.startswith(identifier, at + 4) and first + len(value) <= min(end, len(data)):
            changed[first : first + len(value)] = value
    return bytes(changed)


def _without(data: bytes, marker: int) -> bytes:
    kept, last = [], 0
    for found, at, end in segments(data):
        if found == marker:
            kept.append(data[last:at])
            last = end
    return b"".join((*kept, data[last:]))


def _without_extraneous(data: bytes, counted: int) -> Mended | None:
    """Cut the bytes between the last scan and the end mark, if the scan is whole.

    The same warning is also all that libjpeg says of some damage, after which a scan takes fewer bytes. But the last
    byte of a whole scan is filled with 1 bits (T.81, F.1.2.3). A damaged scan ends anywhere in its data, mostly before
    a 0 bit, and is not taken.
    """
    header = read_header(data)
    mark = find_end_mark(data, header)
    high = mark - counted
    low = max(high - READ_AHEAD_BYTES, header.scan_at)
    if high <= low or _has_all_data(data[:low]):  # no end to be found, as in arithmetic coding
        return None
    end = bisect_left(range(high), True, low, key=lambda length: _has_all_data(data[:length]))
    if not _is_filled_with_ones(data[:end]):
        return None
    return Mended(f"{mark - end} bytes before the end mark", data[:end] + data[mark:])


def _has_all_data(start: bytes) -> bool:
    """Whether the start of a JPEG holds all entropy-coded data: libjpeg warns as soon as it lacks a bit."""
    warning = _decode(start)[1]
    return not warning or EXTRANEOUS_BYTES.search(warning) is not None


def _is_filled_with_ones(start: bytes) -> bool:
    """Whether the unused bits of the last byte are 1: then its last 0 bit is used, and to set it has an effect."""
    last = start[-1]
    set_bit = bytes([(last | last + 1) & 0xFF]).replace(b"\xff", b"\xff\0")  # stuffed, so that it is no marker
    (image, _), (other, effect) = _decode(start), _decode(start[:-1] + set_bit)
    return bool(effect) or not np.array_equal(image, other)


def _decode(start: bytes) -> tuple[NDArray[np.uint8], str]:
    """Decode the start of a JPEG strictly, as if it ended there: the image, or no pixels and the first warning."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(start + END_OF_IMAGE, "RGB", strict=True)), ""
    except ValueError as error:
        raise_if_out_of_memory(error)
        return np.empty(0, np.uint8), str(error)
