"""Tars and zips as folders: their members are listed once, and nothing is extracted."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import PurePosixPath
from typing import Self

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.names import is_clutter, looks_like_image
from alexnet_pipeline.raw.tarscan import scan_tar
from alexnet_pipeline.raw.tree import MAX_TEXT_BYTES, Entry, Folder, Glance, Names, Place
from alexnet_pipeline.raw.zipscan import DEFLATED, STORED, scan_zip
from alexnet_pipeline.records import Reason, Reject
from alexnet_pipeline.storage import reading
from alexnet_pipeline.storage.place import Location, locate
from alexnet_pipeline.storage.reading import OpenFile, Pread

FAULTS = {
    "link": (Reason.LINK_MEMBER, "a link; links in archives are not followed"),
    "special": (Reason.SPECIAL_MEMBER, "neither a file nor a folder"),
}
UNSAFE = "an absolute name, one with '..', or too many folders"
# Most folders in a name; data sets have about six.
MAX_DEPTH = 64


class ArchiveFolder(Folder):
    """A folder in an archive, whose files are stored in columns because ImageNet has 1.28 million.

    Attributes:
        faults: of the archive's top folder: what is wrong with the archive as a whole, or with names outside it.
    """

    def __init__(self, place: Place, version: int, path: str = "") -> None:
        self.place, self.path = place, path
        self.faults: list[Reject] = []
        self._version = version
        self._files: list[str] = []
        self._offsets, self._sizes = array("q"), array("q")
        self._kinds: dict[int, str] = {}  # of those that are no files
        self._folders: dict[str, Self] = {}

    @cached_property
    def names(self) -> Names:
        """The names in this folder."""
        folders = (name for name in self._folders if not is_clutter(name))
        named = [(name, at in self._kinds) for at, name in enumerate(self._files) if not is_clutter(name)]
        files, broken = ({name for name, fault in named if fault is wanted} for wanted in (False, True))
        return Names(tuple(sorted(folders)), tuple(sorted(files)), tuple(sorted(broken)))

    def glance(self) -> Glance:
        """Look what this folder holds."""
        listed = self.names
        return Glance(
            any(map(looks_like_image, listed.files)), bool(listed.files or listed.broken), bool(listed.folders)
        )

    def entries(self) -> Iterator[Entry]:
        """Every file of this folder."""
        for at in sorted(range(len(self._files)), key=self._files.__getitem__):
            yield self._entry(at)

    def every_folder(self) -> tuple[str, ...]:
        """The names of all folders in this one."""
        return tuple(sorted(self._folders))

    def folder(self, name: str) -> Self:
        """One of its folders."""
        return self._folders[name]

    def read(self, name: str) -> bytes:
        """Read one of its files."""
        found = self._entry(self._files.index(name))
        if found.size_bytes > MAX_TEXT_BYTES:
            raise RefusedError(f"{self.join(name)} has more than {MAX_TEXT_BYTES >> 20} MiB; expected a list of labels")
        with opened(locate(self.place.path)) as file:
            if self.place.packing == "plain":
                return file.pread(found.size_bytes, found.offset)
            try:
                return read_zip_member(file.pread, found.offset, found.size_bytes, MAX_TEXT_BYTES)
            except ValueError as error:
                raise RefusedError(f"{self.join(name)} in {self.place.path} cannot be read: {error}") from error

    def file_path(self, name: str) -> None:
        """None: the file lies in an archive."""

    def location(self, name: str) -> Location | None:
        """None: the file lies in an archive."""
        return None

    def watched(self) -> Iterator[tuple[str, int]]:
        """The archive."""
        yield self.place.path, self._version

    def add(self, folders: tuple[str, ...], name: str, offset: int, size_bytes: int, kind: str) -> None:
        """Add a file below this folder."""
        here = self.add_folder(folders)
        if kind != "file":
            here._kinds[len(here._files)] = kind
        here._files.append(name)
        here._offsets.append(offset)
        here._sizes.append(size_bytes)

    def add_folder(self, folders: tuple[str, ...]) -> Self:
        """Add a folder below this one, or find it."""
        here = self
        for folder in folders:
            if folder not in here._folders:
                here._folders[folder] = here._make_folder(folder)
            here = here._folders[folder]
        return here

    def _make_folder(self, name: str) -> Self:
        return type(self)(self.place, self._version, self.join(name))

    def _entry(self, at: int) -> Entry:
        fault, detail = FAULTS[self._kinds[at]] if at in self._kinds else (None, "")
        return Entry(self._files[at], self._sizes[at], self._version, self._offsets[at], fault, detail)


def open_tar(path: Location, name: str = "", start: int = 0, size_bytes: int | None = None) -> ArchiveFolder:
    """List a tar, or the one that lies in a range of a file, as a folder.

    Args:
        path: the file.
        name: what the folder is called in messages.
        start: offset of the tar in the file.
        size_bytes: its size; all of the file by default.

    Raises:
        RefusedError: the file cannot be read.
    """
    with opened(path) as file:
        root = ArchiveFolder(Place(str(path), "plain"), file.version, name)
        end = file.size_bytes if size_bytes is None else start + size_bytes
        parents: dict[str, tuple[str, ...]] = {}
        for member in scan_tar(file.pread, start, end, folders=True):
            if member.kind == "damage":
                root.faults.append(Reject(name or path.name, Reason.TRUNCATED_ARCHIVE, member.name))
            else:
                _add(root, parents, member.name, member.offset, member.size_bytes, member.kind)
    return root


def _add(
    root: ArchiveFolder, parents: dict[str, tuple[str, ...]], name: str, offset: int, size_bytes: int, kind: str
) -> None:
    """Add a member by its name; `parents` keeps the parts of folder names that were met before."""
    folder, _, base = name.rpartition("/")
    parts = parents.get(folder)
    if parts is None:
        parts = parents[folder] = _parts(folder)
    if name.startswith("/") or ".." in parts or base == ".." or len(parts) > MAX_DEPTH:
        root.faults.append(Reject(name, Reason.UNSAFE_NAME, UNSAFE))
    elif kind == "folder":
        root.add_folder((*parts, base) if base not in {"", "."} else parts)
    else:
        root.add(parts, base, offset, size_bytes, kind)


def _parts(folder: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(folder).parts if part != ".") if folder else ()


def open_zip(path: Location) -> ArchiveFolder:
    """List a zip as a folder, by its central directory. An entry's offset is that of its local header.

    Raises:
        RefusedError: the file is no zip or is cut off, or a member is encrypted or compressed by an unknown method.
    """
    with opened(path) as file:
        root = ArchiveFolder(Place(str(path), "zip"), file.version)
        parents: dict[str, tuple[str, ...]] = {}
        try:
            for member in scan_zip(file.pread, file.size_bytes):
                if member.encrypted or member.method not in {STORED, DEFLATED}:
                    found = "encrypted" if member.encrypted else f"compressed by method {member.method}"
                    raise RefusedError(f"{path}: {member.name} is {found}; unpack it: unzip {path.name}")
                kind = "folder" if member.name.endswith("/") else "link" if member.link else "file"
                _add(root, parents, member.name.rstrip("/"), member.offset, member.size_bytes, kind)
        except ValueError as error:
            raise RefusedError(f"{path} cannot be read as a zip: {error}") from error
    return root


# A zip's local header: 30 bytes, of which bytes 8 to 9 are the method and 26 to 29 the lengths of what follows;
# APPNOTE.TXT 6.3.10, section 4.3.7.
LOCAL_HEADER_BYTES = 30
LOCAL_HEADER = b"PK\3\4"
# Room for the name and the extra field behind a local header, so that one read is usually enough.
LOCAL_ROOM_BYTES = 512


def read_zip_member(pread: Pread, at: int, size_bytes: int, most_bytes: int) -> bytes:
    """Read and inflate a member of a zip.

    Args:
        pread: reads ranges of the zip.
        at: offset of the member's local header.
        size_bytes: size of its data in the file.
        most_bytes: largest size of its inflated data.

    Raises:
        ValueError: there is no such member, its data are damaged, or it inflates to more.
    """
    data = pread(LOCAL_HEADER_BYTES + LOCAL_ROOM_BYTES + size_bytes, at)
    if not data.startswith(LOCAL_HEADER) or len(data) < LOCAL_HEADER_BYTES:
        raise ValueError("no member of a zip begins where its directory says")
    begin = LOCAL_HEADER_BYTES + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    if begin > LOCAL_HEADER_BYTES + LOCAL_ROOM_BYTES:
        data = data[:begin] + pread(size_bytes, at + begin)
    packed = data[begin : begin + size_bytes]
    if len(packed) < size_bytes:
        raise ValueError("the zip ends within the member")
    stored = int.from_bytes(data[8:10], "little") == STORED
    unpacked = packed if stored else _inflate(packed, most_bytes)
    crc = int.from_bytes(data[14:18], "little")  # 0 where it is only in the directory
    if crc and zlib.crc32(unpacked) != crc:
        raise ValueError("it fails its CRC")
    return unpacked


def _inflate(packed: bytes, most_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unpacked = inflater.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"it does not inflate: {error}") from error
    if len(unpacked) > most_bytes:
        raise ValueError(f"it inflates to more than {most_bytes} bytes")
    if not inflater.eof:
        raise ValueError("its compressed data end early")
    return unpacked


@contextmanager
def opened(path: Location) -> Iterator[OpenFile]:
    """Open a file of the source.

    Raises:
        RefusedError: it cannot be opened or read.
    """
    try:
        with reading.opened(path) as file:
            yield file
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from error
