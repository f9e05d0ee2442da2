"""List the names and byte ranges of a tar's members by reading its headers, without extracting anything.

Python's tarfile stops silently at a damaged header and at the first of two concatenated archives; this scan reports
what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from alexnet_pipeline.storage.reading import Pread

BLOCK_BYTES = 512
# A long name or a PAX header beyond this is an attack, not a name.
MAX_EXTENSION_BYTES = 1 << 20
MAX_PATH_BYTES = 4096
# Digits of the largest size that a file can have.
MAX_SIZE_DIGITS = 19
# Padding is read in pieces of this size.
ZEROS_BYTES = 1 << 20

Kind = Literal["file", "folder", "link", "special", "damage"]
# Type flags of POSIX.1-1988 and GNU; all other types are special.
KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"1": "link", b"2": "link"}
EXTENSIONS = (b"L", b"K", b"x", b"g")
DIRECTORY = b"5"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a tar.

    Attributes:
        name: name in the header; undecodable bytes become surrogates.
        kind: `damage` ends the scan, and `name` then says what was found.
        offset: offset of the data from the start of the file.
        size_bytes: size of the data.
    """

    name: str
    kind: Kind
    offset: int
    size_bytes: int


def scan_tar(pread: Pread, start: int, end: int, *, folders: bool = False) -> Iterator[Member]:
    """The members of the tar in bytes [start, end) of an open file, in order.

    Folders are skipped unless `folders`, and concatenated archives are all read. A header with a wrong checksum, a
    member that extends beyond the end, or a missing end-of-archive mark gives one last member of kind `damage`.
    """
    at, ended = start, False
    long_name = ""  # from the extended headers before a member, like the overrides
    overrides: dict[str, str] = {}
    while at + BLOCK_BYTES <= end:
        header = pread(BLOCK_BYTES, at)
        if not header.strip(b"\0"):
            ended, at = True, _after_zeros(pread, at + BLOCK_BYTES, end)
            continue
        size = _size(header)
        if size is None or not _checks(header):
            damage = _no_tar(header) if at == start else f"damaged header at byte {at - start}"
            yield Member(damage, "damage", at, 0)
            return
        ended, kind, data = False, header[156:157], at + BLOCK_BYTES
        size = int(overrides.get("size", size))
        name = long_name or overrides.get("path") or _name(header)
        if data + size > end or (kind in EXTENSIONS and size > MAX_EXTENSION_BYTES):
            yield Member(f"{name!r} needs {size} bytes, {end - data} are left", "damage", at, 0)
            return
        at = data + (size + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES
        if kind == b"L":
            long_name = _text(pread(size, data).rstrip(b"\0"))[:MAX_PATH_BYTES]
        elif kind == b"x":
            overrides = _pax(pread(size, data))
        elif kind not in EXTENSIONS:
            long_name, overrides = "", {}
            if kind != DIRECTORY and not name.endswith("/"):
                yield Member(name, KINDS.get(kind, "special"), data, size)
            elif folders:
                yield Member(name.rstrip("/"), "folder", data, 0)
    if not ended:
        short = pread(end - start, start) if at == start else b""
        damage = _no_tar(short) if short else f"no end-of-archive mark in {end - start} bytes"
        yield Member(damage, "damage", at, 0)


def _no_tar(beginning: bytes) -> str:
    """What a file is that does not begin as a tar."""
    if beginning.startswith(b"\x1f\x8b"):
        return "it is compressed by gzip, so it has no random access; unpack it with `gunzip`"
    return f"no tar, it begins with {beginning[:8].hex(' ')}"


def _after_zeros(pread: Pread, at: int, end: int) -> int:
    """The next block that is not all zeros, or the end."""
    zeros = bytes(ZEROS_BYTES)
    while at < end:
        blocks = pread(min(ZEROS_BYTES, end - at), at)
        if not blocks or not zeros.startswith(blocks):
            return at + (len(blocks) - len(blocks.lstrip(b"\0"))) // BLOCK_BYTES * BLOCK_BYTES
        at += len(blocks)
    return end


def _checks(header: bytes) -> bool:
    """Whether the header's checksum is right; it counts its own field as blanks."""
    stored = _octal(header[148:156])
    return stored is not None and stored == sum(header) - sum(header[148:156]) + 8 * 32


def _size(header: bytes) -> int | None:
    """Read the size field: octal, or GNU's base 256 for members of 8 GiB and more; None if it is damaged."""
    if header[124] == 0x80:
        return int.from_bytes(header[125:136], "big")
    return _octal(header[124:136])


def _octal(field: bytes) -> int | None:
    text = field.strip(b" \0") or b"0"
    return int(text, 8) if not text.strip(b"01234567") else None


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _pax(data: bytes) -> dict[str, str]:
    """Read path and size from the records `LENGTH KEY=VALUE` of a PAX header; malformed ones are ignored."""
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        length = data[at : at + MAX_SIZE_DIGITS].partition(b" ")[0]
        if not length.isdigit() or not 0 < int(length) <= len(data) - at:
            break
        record = data[at : at + int(length)]
        at += int(length)
        key, found, value = record.partition(b" ")[2].rstrip(b"\n").partition(b"=")
        is_size = value.isdigit() and len(value) <= MAX_SIZE_DIGITS
        if found and (key == b"path" or (key == b"size" and is_size)):
            records[_text(key)] = _text(value)[:MAX_PATH_BYTES]
    return records
