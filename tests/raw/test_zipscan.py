"""Zips by their directory: the members that Python's zipfile finds, and a word for what is damaged."""

import os
import zipfile
from functools import partial
from pathlib import Path

import pytest

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.archive import open_zip, read_zip_member
from alexnet_pipeline.raw.zipscan import ZipMember, scan_zip


def scan(path: Path) -> list[ZipMember]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(scan_zip(partial(os.pread, descriptor), path.stat().st_size))
    finally:
        os.close(descriptor)


def make(path: Path, count: int = 5, **options: object) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[call-overload]
        for number in range(count):
            archive.writestr(f"train/n{number % 3:08d}/é{number}.JPEG", bytes([number % 251]) * number)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n" * 50])
def test_members_are_zipfiles(tmp_path, method, before) -> None:
    """Names, offsets, sizes and bytes, also behind a script and before a comment, in more than one part."""
    path = make(tmp_path / "x.zip", 30_000 if not before else 40, compression=method)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"a comment " * 900
    path.write_bytes(before + path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        expected = [(i.filename, i.header_offset, i.compress_size, i.compress_type) for i in archive.infolist()]
        assert [(m.name, m.offset, m.size_bytes, m.method) for m in scan(path)] == expected
        descriptor = os.open(path, os.O_RDONLY)
        for member in scan(path)[:40]:
            assert read_zip_member(
                partial(os.pread, descriptor), member.offset, member.size_bytes, 1 << 20
            ) == archive.read(member.name)
        os.close(descriptor)


def test_zip64_is_read(tmp_path, monkeypatch) -> None:
    """Offsets, sizes and counts beyond 32 and 16 bits, here by lowering the limits of the writer."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = make(tmp_path / "x.zip", 300)
    assert b"PK\6\6" in path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        expected = [(i.filename, i.header_offset, i.compress_size) for i in archive.infolist()]
    assert [(m.name, m.offset, m.size_bytes) for m in scan(path)] == expected


def test_every_cut_is_refused(tmp_path) -> None:
    """A download that ended early has no directory; nothing of it is read."""
    path = make(tmp_path / "x.zip")
    data = path.read_bytes()
    for length in range(0, len(data) - 1, 7):
        path.write_bytes(data[:length])
        with pytest.raises(RefusedError, match=r"x\.zip cannot be read as a zip"):
            open_zip(path)


def test_damage_never_goes_unseen(tmp_path) -> None:
    """Any changed byte of a member is refused, rejected, or leaves the bytes as they were."""
    path = make(tmp_path / "x.zip", 12, compression=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    truth = {number: bytes([number]) * number for number in range(12)}
    for at in range(0, len(data), 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        descriptor = os.open(path, os.O_RDONLY)
        try:
            for number, member in enumerate(scan(path)):
                found = read_zip_member(partial(os.pread, descriptor), member.offset, member.size_bytes, 1 << 20)
                assert found == truth[number] or found == b""
        except ValueError:
            pass
        finally:
            os.close(descriptor)


def test_an_unknown_method_is_refused_with_the_command(tmp_path) -> None:
    """bzip2 here; encrypted members likewise."""
    path = make(tmp_path / "x.zip", compression=zipfile.ZIP_BZIP2)
    with pytest.raises(RefusedError, match=r"compressed by method 12; unpack it: unzip x\.zip"):
        open_zip(path)
    path = make(tmp_path / "y.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(RefusedError, match="encrypted"):
        open_zip(path)


def test_a_bomb_is_not_inflated(tmp_path) -> None:
    """A member that says little and inflates to much ends at the cap."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10_000_000))
    (member,) = scan(path)
    descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(ValueError, match="more than 1000"):
        read_zip_member(partial(os.pread, descriptor), member.offset, member.size_bytes, 1000)
    os.close(descriptor)
