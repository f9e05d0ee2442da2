"""Read files and objects alike: whole, in ranges, and in blocks."""

from __future__ import annotations

import errno
import io
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from alexnet_pipeline import files
from alexnet_pipeline.files import MAX_WHOLE_BYTES, retry_passing
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.storage.store import Status

# Objects are read in blocks of this size; where they are read in order, so many blocks are fetched ahead.
BLOCK_BYTES = 4 << 20
BLOCKS_AHEAD = 16
# Blocks that are kept. A tar in a tar is read in order, and the labels of a WebDataset lie beside its images.
# A stream reads at least so much of them at a time.
STREAM_BYTES = 1 << 20
KEPT_BLOCKS = 2 * BLOCKS_AHEAD + 2


# Reads (bytes, offset), like `os.pread`.
Pread = Callable[[int, int], bytes]


class OpenFile(NamedTuple):
    """A file or an object, open for reading.

    Attributes:
        pread: reads ranges of it.
        size_bytes: its size.
        version: what `Status.version` was when it was opened.
    """

    pread: Pread
    size_bytes: int
    version: int


def read_whole(location: Location, most_bytes: int = MAX_WHOLE_BYTES) -> bytes:
    """Read a file that somebody else may have put there.

    Raises:
        OSError: it cannot be read, has more bytes, or is no regular file.
    """
    if isinstance(location, Path):
        return files.read_whole(location, most_bytes)
    return retry_passing(lambda: location.read_whole(most_bytes))


def status_of(location: Location) -> Status:
    """Size and version of a file.

    Raises:
        OSError: there is none, or it cannot be asked for.
    """
    if isinstance(location, Path):
        found = location.stat()
        return Status(found.st_size, found.st_mtime_ns)
    return retry_passing(location.status)


def exists(location: Location) -> bool:
    """Whether there is such a file, or such a folder on this machine.

    Raises:
        OSError: it cannot be told.
    """
    return location.exists() if isinstance(location, Path) else retry_passing(location.exists)


def names_in(location: Location) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of folders and of files in a folder, each sorted; links are followed.

    Raises:
        OSError: it cannot be listed.
    """
    if not isinstance(location, Path):
        return retry_passing(location.names)
    folders: list[str] = []
    others: list[str] = []
    with os.scandir(location) as entries:
        for entry in entries:
            (folders if _is_folder(entry) else others).append(entry.name)
    return tuple(sorted(folders)), tuple(sorted(others))


@contextmanager
def opened(location: Location) -> Iterator[OpenFile]:
    """Open a file for reads at any offset.

    Raises:
        OSError: it cannot be opened.
    """
    if isinstance(location, Path):
        descriptor = os.open(location, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            yield OpenFile(partial(os.pread, descriptor), status.st_size, status.st_mtime_ns)
        finally:
            os.close(descriptor)
        return
    size_bytes, version = retry_passing(location.status)
    with _Blocks(location, size_bytes, version) as blocks:
        yield OpenFile(blocks.pread, size_bytes, version)


@contextmanager
def open_stream(location: Location) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file as a stream that can seek, with its version.

    Raises:
        OSError: it cannot be opened.
    """
    if isinstance(location, Path):
        with location.open("rb") as stream:
            yield stream, os.fstat(stream.fileno()).st_mtime_ns
        return
    with opened(location) as file, io.BufferedReader(_Stream(file), STREAM_BYTES) as stream:
        yield stream, file.version


def blocks_of(location: Location) -> Iterator[bytes]:
    """All bytes of a file, in order.

    Raises:
        OSError: it cannot be read.
    """
    with opened(location) as file:
        for offset in range(0, file.size_bytes, BLOCK_BYTES):
            yield file.pread(BLOCK_BYTES, offset)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


class _Stream(io.RawIOBase):
    """An open object as a stream."""

    def __init__(self, file: OpenFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size_bytes}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._file.pread(len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Blocks:
    """An object, read in blocks, of which the last ones are kept and the next ones fetched ahead."""

    def __init__(self, place: RemotePath, size_bytes: int, version: int) -> None:
        self._place, self._size_bytes, self._version = place, size_bytes, version
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._pool = ThreadPoolExecutor(BLOCKS_AHEAD, "blocks")

    def __enter__(self) -> _Blocks:
        return self

    def __exit__(self, *details: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def pread(self, size_bytes: int, offset: int) -> bytes:
        """Read a range, cut off at the object's end."""
        end = min(offset + size_bytes, self._size_bytes)
        parts = []
        while offset < end:
            number, start = divmod(offset, BLOCK_BYTES)
            part = self._block(number)[start : start + end - offset]
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            in_order = number - 1 in self._blocks
            self._fetch(number)
        else:
            in_order = True
        last = -(-self._size_bytes // BLOCK_BYTES)
        if in_order:
            for ahead in range(number + 1, min(number + 1 + BLOCKS_AHEAD, last)):
                if ahead not in self._blocks:
                    self._fetch(ahead)
        self._blocks.move_to_end(number)
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)[1].cancel()
        return self._blocks[number].result()

    def _fetch(self, number: int) -> None:
        self._blocks[number] = self._pool.submit(retry_passing, partial(self._read, number))

    def _read(self, number: int) -> bytes:
        offset = number * BLOCK_BYTES
        wanted = min(BLOCK_BYTES, self._size_bytes - offset)
        data, status = self._place.read(offset, wanted)
        if status.version != self._version:
            raise OSError(errno.EBADMSG, "it changed while it was read", str(self._place))
        if len(data) != wanted:
            raise OSError(errno.EIO, f"the store sent {len(data)} of {wanted} bytes", str(self._place))
        return data
