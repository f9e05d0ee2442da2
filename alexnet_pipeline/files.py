"""Files that are whole or absent, whatever happens to the process or the machine; ranges of bytes; the one lock."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from alexnet_pipeline.errors import PipelineError, RefusedError

PART = ".part-"
# A URL, or what Path makes of it.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# Written at a time: a call for every sample costs more than its bytes.
BUFFER_BYTES = 1 << 20


def local_path(place: str | os.PathLike[str]) -> Path:
    """A path on this machine.

    Raises:
        RefusedError: it is a URL.
    """
    if _URL.match(os.fspath(place)):
        raise RefusedError(f"{place} is a URL; only files of this machine are read and written")
    return Path(place)


class PartFile:
    """A file that gets its name when it is whole: `.part-NAME`, fsync, rename.

    Leaving the block without `commit` removes the part.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(PART + path.name)

    def __enter__(self) -> Self:
        with naming(self._part):
            self._handle: BinaryIO = self._part.open("wb", buffering=BUFFER_BYTES)
        return self

    def write(self, data: bytes) -> None:
        """Append; an error names the file."""
        with naming(self._path):
            self._handle.write(data)

    def commit(self) -> None:
        """Make the bytes durable and give the file its name; the folder is synced by `sync_folder`."""
        with naming(self._path):
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
            self._part.replace(self._path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._handle.close()
        with suppress(OSError):
            self._part.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is whole or as before, and durable.

    Raises:
        PipelineError: the system refused; the message holds path and reason.
    """
    with PartFile(path) as part:
        part.write(data)
        part.commit()
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents where they are missing; an error names it."""
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def locked(path: Path, busy: str, *, first: int = 0, count: int = 0) -> Iterator[None]:
    """Hold a part of a lock file, or all of it.

    The lock is the kernel's, so a dead process holds none.

    Args:
        path: of the lock file; its folder is made where it is missing.
        busy: what to say where another process holds the lock.
        first: where the part begins, by numbers that mean something to the callers only.
        count: its length, 0 for all of the file.

    Raises:
        RefusedError: another process holds some of it.
    """
    make_folder(path.parent)
    with naming(path):
        handle = path.open("ab")
    with handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
        except OSError as error:
            raise RefusedError(busy) from error
        yield


class naming:  # noqa: N801 - used as a function, and made for every sample, where a generator costs three times more
    """Turn an operating system's error into one line with the path and what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError):
            return
        code = errno.errorcode.get(error.errno or 0, "OSError")
        hint = "free some space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "check the output folder"
        raise PipelineError(
            f"cannot write {self._path}: {error.strerror} ({code}); {hint}, then run the same command again to resume"
        ) from error
