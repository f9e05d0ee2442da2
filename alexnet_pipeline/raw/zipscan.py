"""List the members of a zip by its central directory, in parts, without extracting anything.

Python's zipfile keeps an object of half a kilobyte for each member, which is a gigabyte for Kaggle's zip of ImageNet.
Structures are those of APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16 and 4.5.3.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from alexnet_pipeline.storage.reading import Pread

END, END_MAGIC = struct.Struct("<4s4H2LH"), b"PK\5\6"
LOCATOR, LOCATOR_MAGIC = struct.Struct("<4sLQL"), b"PK\6\7"
END64, END64_MAGIC = struct.Struct("<4sQ2H2L4Q"), b"PK\6\6"
ENTRY, ENTRY_MAGIC = struct.Struct("<4s6H3L5H2L"), b"PK\1\2"
MAX_COMMENT_BYTES = 0xFFFF
# Values that mean: look in the ZIP64 extra field, whose tag is 1.
LARGE16, LARGE32 = 0xFFFF, 0xFFFFFFFF
ZIP64_TAG = 1
ENCRYPTED, UTF8 = 1, 1 << 11
STORED, DEFLATED = 0, 8
# Bytes of the directory that are read at a time; an entry is at most 46 bytes and three fields of 64 KiB.
PART_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member of a zip.

    Attributes:
        name: its name.
        offset: offset of its local header.
        size_bytes: size of its data in the file.
        method: how it is compressed; see `STORED` and `DEFLATED`.
        encrypted: whether it is.
        link: whether it is a symbolic link of Unix.
    """

    name: str
    offset: int
    size_bytes: int
    method: int
    encrypted: bool
    link: bool


def scan_zip(pread: Pread, size_bytes: int) -> Iterator[ZipMember]:
    """The members of a zip, in the order of its directory.

    Raises:
        ValueError: there is no whole directory; a zip that is cut off has none.
    """
    count, length, start, shift = _find_directory(pread, size_bytes)
    part, at, found = b"", 0, 0
    read_to, end = start, start + length
    # The directory counts, not its number of members: writers without ZIP64 store that modulo 65,536.
    while read_to < end or at < len(part):
        if len(part) - at < ENTRY.size + 3 * LARGE16 and read_to < end:
            part = part[at:] + pread(min(PART_BYTES, end - read_to), read_to)
            read_to, at = min(read_to + PART_BYTES, end), 0
        if len(part) - at < ENTRY.size or not part.startswith(ENTRY_MAGIC, at):
            raise ValueError(f"its directory is damaged at member {found:,}")
        fields = ENTRY.unpack_from(part, at)
        flags, method, packed, unpacked = fields[3], fields[4], fields[8], fields[9]
        name_at = at + ENTRY.size
        extra_at = name_at + fields[10]
        at = extra_at + fields[11] + fields[12]
        if at > len(part):
            raise ValueError(f"its directory ends within member {found:,}")
        name = part[name_at:extra_at].decode("utf-8" if flags & UTF8 else "cp437", "surrogateescape")
        offset = fields[16]
        if LARGE32 in (packed, unpacked, offset):
            packed, offset = _large(part[extra_at : extra_at + fields[11]], packed, unpacked, offset)
        link = stat.S_ISLNK(fields[15] >> 16)
        yield ZipMember(name, offset + shift, packed, method, bool(flags & ENCRYPTED), link)
        found += 1
    if found % (1 << 16) != count % (1 << 16):
        raise ValueError(f"its directory holds {found:,} members, but says {count:,}")


def _find_directory(pread: Pread, size_bytes: int) -> tuple[int, int, int, int]:
    """The directory: count of members, length, offset, and by how much data before the zip shift all offsets."""
    tail_bytes = min(size_bytes, END.size + MAX_COMMENT_BYTES)
    tail = pread(tail_bytes, size_bytes - tail_bytes)
    at = tail.rfind(END_MAGIC)
    if at < 0 or len(tail) - at < END.size:
        raise ValueError("it has no directory at its end, so it is no zip or is cut off")
    end_at = size_bytes - tail_bytes + at
    _, disk, first_disk, _, count, length, start, _ = END.unpack_from(tail, at)
    if disk not in {0, LARGE16} or first_disk not in {0, LARGE16}:
        raise ValueError("it is one of several parts; join them first")
    locator = pread(LOCATOR.size, max(0, end_at - LOCATOR.size))
    if locator.startswith(LOCATOR_MAGIC) and len(locator) == LOCATOR.size and end_at >= LOCATOR.size:
        end_at -= LOCATOR.size + END64.size
        record = pread(END64.size, max(0, end_at))
        if not record.startswith(END64_MAGIC) or len(record) < END64.size:
            raise ValueError("its ZIP64 record is damaged")
        *_, count, length, start = END64.unpack(record)
    shift = end_at - length - start
    if shift < 0:
        raise ValueError("its directory begins before the file, so it is cut off or damaged")
    return count, length, start + shift, shift


def _large(extra: bytes, packed: int, unpacked: int, offset: int) -> tuple[int, int]:
    """Read the packed size and the offset from the ZIP64 extra field, which holds only what did not fit."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == ZIP64_TAG:
            field = extra[at + 4 : at + 4 + length]
            values = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            large = [next(values, LARGE32) if value == LARGE32 else value for value in (unpacked, packed, offset)]
            return large[1], large[2]
        at += 4 + length
    return packed, offset
