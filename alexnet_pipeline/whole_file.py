"""Bytes in, files that are whole or absent out, whatever happens to the process or the machine."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from alexnet_pipeline.errors import PipelineError

PART = ".part-"
# Written at a time: a call for every sample costs more than its bytes.
BUFFER_BYTES = 1 << 20


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
        PipelineError: the system said no; the message holds path and reason.
    """
    with PartFile(path) as part:
        part.write(data)
        part.commit()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
