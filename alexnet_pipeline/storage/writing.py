"""Write files and objects alike: whole and at once, durable when a function returns."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, Self

from alexnet_pipeline import files
from alexnet_pipeline.errors import OtherContentError, PipelineError
from alexnet_pipeline.files import PartFile, retry_passing
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.remote import RemotePath

# Stores take no larger object in one request.
MOST_OBJECT_BYTES = 5 << 30


class Part(Protocol):
    """A file that is being written, and appears under its name only when it is committed."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...

    def write(self, data: bytes) -> None:
        """Append data."""

    def commit(self) -> None:
        """Let the file appear, durably."""


def part_of(location: Location) -> Part:
    """Begin to write a file; leaving the block without `commit` leaves nothing behind."""
    return PartFile(location) if isinstance(location, Path) else _ObjectPart(location)


def write_whole(location: Location, data: bytes) -> None:
    """Write a file atomically and durably, also over another.

    Raises:
        PipelineError: it cannot be written.
    """
    if isinstance(location, Path):
        files.write_whole(location, data)
        return
    with naming(location):
        retry_passing(lambda: location.put(data, create=False))


def create(location: Location, data: bytes | memoryview) -> None:
    """Write a file that nobody writes with other content; one that is there already, with the same, is as good.

    Raises:
        OtherContentError: there is one with other content.
        PipelineError: it cannot be written.
    """
    if isinstance(location, Path):
        files.create(location, data)
        return
    with naming(location):
        try:
            retry_passing(lambda: location.put(data, create=True))
        except FileExistsError as error:
            if retry_passing(lambda: location.read_whole(MOST_OBJECT_BYTES)) != data:
                raise OtherContentError(
                    f"{location} is there with other content than this run makes, and no record says of what; remove "
                    "it, then run the same command again"
                ) from error


def delete(location: Location) -> None:
    """Remove a file; it is no error if there is none.

    Raises:
        PipelineError: it cannot be removed.
    """
    with naming(location):
        if isinstance(location, Path):
            location.unlink(missing_ok=True)
        else:
            retry_passing(location.delete)


def make_folder(location: Location) -> None:
    """Make a folder and its missing parents; stores have none."""
    if isinstance(location, Path):
        files.make_folder(location)


def sync_folder(location: Location) -> None:
    """Make renames in a folder durable; objects are durable as they are."""
    if isinstance(location, Path):
        files.sync_folder(location)


def locked(location: Location, busy: str | None, *, first: int = 0, count: int = 0) -> AbstractContextManager[None]:
    """Lock a range of a lock file, see `files.locked`.

    Stores have no locks and need none: whoever else writes the same objects writes the same bytes, and is told of
    others by `create`.
    """
    if isinstance(location, Path):
        return files.locked(location, busy, first=first, count=count)
    return contextlib.nullcontext()


@contextmanager
def naming(location: Location) -> Iterator[None]:
    """Turn an OSError into a PipelineError of one line, with the place and what to do next."""
    if isinstance(location, Path):
        with files.naming(location):
            yield
        return
    try:
        yield
    except OSError as error:
        raise PipelineError(
            f"cannot write {location}: {error.strerror}; mend that, then run the same command again to resume"
        ) from error


class _ObjectPart:
    """An object that is collected in memory and put at once, if it is not there."""

    def __init__(self, place: RemotePath) -> None:
        self._place = place
        self._data = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        """Append data."""
        with naming(self._place):
            if len(self._data) + len(data) > MOST_OBJECT_BYTES:
                raise OSError(errno.EFBIG, "more than 5 GiB; choose a smaller `shard_size`", str(self._place))
        self._data += data

    def commit(self) -> None:
        """Put the object.

        Raises:
            OtherContentError: there is one with other content.
            PipelineError: it cannot be written.
        """
        create(self._place, memoryview(self._data))
