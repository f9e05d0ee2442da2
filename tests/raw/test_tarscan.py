"""Tars without extraction: the same members as Python's tarfile finds, and a word where it says none."""

import gzip
import io
import os
import tarfile
from functools import partial
from pathlib import Path

import pytest

from alexnet_pipeline.raw.tarscan import Member, scan_tar


def make(path: Path, format: int = tarfile.USTAR_FORMAT, names: tuple[str, ...] = ("a", "b/c", "d" * 90)) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for number, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            entry.size = 700 * number
            archive.addfile(entry, io.BytesIO(bytes([number]) * entry.size))
    return path


def scan(path: Path, start: int = 0, end: int | None = None) -> list[Member]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(scan_tar(partial(os.pread, descriptor), start, path.stat().st_size if end is None else end))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_tarfiles(tmp_path, format) -> None:
    """Names, offsets and sizes, long and non-ASCII names too, in every dialect."""
    names = ("a", "b/c.JPEG", "d" * 90, "e" * 60 + "/" + "f" * 80) + (
        () if format == tarfile.USTAR_FORMAT else ("g" * 300, "ü" * 200)
    )
    path = make(tmp_path / "x.tar", format, names)
    with tarfile.open(path) as archive:
        expected = [(m.name, m.offset_data, m.size) for m in archive]
    assert [(m.name, m.offset, m.size_bytes) for m in scan(path)] == expected


def test_links_and_devices_are_told(tmp_path) -> None:
    """Listed by kind, never followed; folders are left out."""
    path = tmp_path / "x.tar"
    kinds = [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.REGTYPE,
    ]
    with tarfile.open(path, "w") as archive:
        for number, kind in enumerate(kinds):
            entry = tarfile.TarInfo(f"m{number}")
            entry.type = kind
            entry.linkname = "/etc/passwd"
            archive.addfile(entry)
    assert [m.kind for m in scan(path)] == ["link", "link", "special", "special", "file"]


def test_every_cut_is_told(tmp_path) -> None:
    """Wherever the archive ends early; what lies before is kept."""
    path = make(tmp_path / "x.tar")
    data = path.read_bytes()
    content = len(data.rstrip(b"\0")) // 512 * 512 + 512
    for length in range(0, content, 97):
        path.write_bytes(data[:length])
        assert scan(path)[-1].kind == "damage", length


def test_damaged_headers_are_told(tmp_path) -> None:
    """A flipped bit in a header ends the scan with a word, where tarfile ends without."""
    path = make(tmp_path / "x.tar")
    data = bytearray(path.read_bytes())
    second = scan(path)[1].offset - 512
    data[second + 5] ^= 1
    path.write_bytes(bytes(data))
    assert [m.kind for m in scan(path)] == ["file", "damage"]


def test_concatenated_archives_are_read_through(tmp_path) -> None:
    """`cat a.tar b.tar` loses nothing, unlike tarfile."""
    first, second = make(tmp_path / "a.tar"), make(tmp_path / "b.tar", names=("x", "y"))
    both = tmp_path / "c.tar"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert [m.name for m in scan(both)] == ["a", "b/c", "d" * 90, "x", "y"]


@pytest.mark.parametrize("field", [b"-0000000007\0", b"0000_000007\0", b"zzzzzzzzzzz\0", b"\x80" + b"\xff" * 11])
def test_hostile_sizes_end_the_scan(tmp_path, field) -> None:
    """Negative, malformed or beyond the file, with a checksum that fits."""
    path = make(tmp_path / "x.tar")
    data = bytearray(path.read_bytes())
    data[124:136] = field
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(bytes(data))
    assert [m.kind for m in scan(path)] == ["damage"]


def _header(name: str, size_bytes: int, kind: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size_bytes, kind
    return member.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    "records",
    [
        b"9" * 5000 + b" path=x\n",
        b"6000 size=" + b"9" * 5989 + b"\n",
        b"10 a=bcde\n" * 100_000,
        b"0 path=x\n",
        b"-5 path=x\n",
    ],
)
def test_hostile_pax_records_are_ignored(tmp_path, records) -> None:
    """Numbers of thousands of digits and a hundred thousand records; the member behind them keeps its own name."""
    path = tmp_path / "x.tar"
    padding = bytes(-len(records) % 512)
    head = _header("pax", len(records), b"x") + records + padding
    path.write_bytes(head + _header("f", 3, b"0") + b"abc".ljust(512, b"\0") + bytes(1024))
    (member,) = scan(path)
    assert (member.name, member.kind, member.size_bytes) == ("f", "file", 3)


def test_padding_of_any_length_is_skipped(tmp_path) -> None:
    """Zeros that do not end at the size of a read, before a second archive."""
    path = make(tmp_path / "x.tar")
    data = path.read_bytes()
    for blocks in (1, 2047, 2048, 2049, 5000):
        path.write_bytes(data + bytes(512 * blocks) + data)
        assert [member.name for member in scan(path)] == ["a", "b/c", "d" * 90] * 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(bytes(99)), "it is compressed by gzip"),
        (gzip.compress(os.urandom(2000)), "it is compressed by gzip"),
        (b"\xff\xd8\xff\xe0" * 500, "no tar, it begins with ff d8 ff e0 ff d8 ff e0"),
        (b"", "no end-of-archive mark in 0 bytes"),
    ],
)
def test_what_is_no_tar_is_told_by_its_first_bytes(tmp_path, data, words) -> None:
    """A file of another kind under a tar's name."""
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    (member,) = scan(path)
    assert (member.kind, member.name.startswith(words)) == ("damage", True)
