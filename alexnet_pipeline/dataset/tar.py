"""A shard that is open for reading, on this machine or in an object store.

Its bytes are read, not mapped: where a mapped file becomes shorter, as it does while `cp` or `rsync --inplace` writes
over it, the process dies by SIGBUS.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.files import retry_passing
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import status_of
from alexnet_pipeline.storage.remote import RemotePath

# Tars in stores are read in blocks of this size, of which so many are kept, of all tars together.
REMOTE_BLOCK_BYTES = 1 << 20
KEPT_REMOTE_BLOCKS = 64
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO would block


class OpenTar:
    """A tar of a data set, held open; threads may share it.

    Raises:
        OSError: it cannot be opened.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, FLAGS)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # AttributeError: it was not opened
            os.close(self._descriptor)

    def size_bytes(self) -> int:
        """Its size now.

        Raises:
            OSError: it is no regular file.
        """
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(self.path))
        return status.st_size

    def read(self, offset: int, size_bytes: int) -> NDArray[np.uint8]:
        """Read bytes into a new (size_bytes,) uint8.

        Raises:
            PipelineError: the file cannot be read, or ends too early.
        """
        data = np.empty(size_bytes, np.uint8)
        try:
            done = os.preadv(self._descriptor, [data.data], offset)
        except OSError:
            done = self._read_anew(data, offset)
        if done != size_bytes:
            raise _shorter(self.path, offset + done, offset + size_bytes)
        return data

    def prefetch(self, offset: int, size_bytes: int) -> None:
        """Let the operating system read these bytes ahead."""
        with suppress(OSError):  # a hint, which some file systems do not take
            os.posix_fadvise(self._descriptor, offset, size_bytes, os.POSIX_FADV_WILLNEED)

    def _read_anew(self, data: NDArray[np.uint8], offset: int) -> int:
        """Open the file again and read, because a stale handle of NFS stays stale."""

        def attempt() -> int:
            descriptor = os.open(self.path, FLAGS)
            try:
                os.dup2(descriptor, self._descriptor, inheritable=False)
            finally:
                os.close(descriptor)
            return os.preadv(self._descriptor, [data.data], offset)

        try:
            return retry_passing(attempt)
        except OSError as error:
            raise _unreadable(self.path, error) from error


class RemoteTar:
    """A tar of a data set in an object store, read in blocks; threads may share it.

    Raises:
        OSError: there is none, or the store cannot be asked.
    """

    __slots__ = ("_size_bytes", "_version", "path")

    def __init__(self, path: RemotePath) -> None:
        self.path = path
        self._size_bytes, self._version = status_of(path)

    def size_bytes(self) -> int:
        """Its size when it was opened."""
        return self._size_bytes

    def read(self, offset: int, size_bytes: int) -> NDArray[np.uint8]:
        """Read bytes into a new (size_bytes,) uint8.

        Raises:
            PipelineError: the object cannot be read, has changed, or ends too early.
        """
        first, last = offset // REMOTE_BLOCK_BYTES, -(-(offset + size_bytes) // REMOTE_BLOCK_BYTES)
        try:
            data = b"".join([_remote_block(self.path, number, self._version) for number in range(first, last)])
        except OSError as error:
            raise _unreadable(self.path, error) from error
        start = offset - first * REMOTE_BLOCK_BYTES
        found = data[start : start + size_bytes]
        if len(found) != size_bytes:
            raise _shorter(self.path, offset + len(found), offset + size_bytes)
        return np.frombuffer(found, np.uint8)

    def prefetch(self, offset: int, size_bytes: int) -> None:
        """Nothing is read ahead."""


@functools.lru_cache(maxsize=KEPT_REMOTE_BLOCKS)
def _remote_block(path: RemotePath, number: int, version: int) -> bytes:
    data, status = retry_passing(lambda: path.read(number * REMOTE_BLOCK_BYTES, REMOTE_BLOCK_BYTES))
    if status.version != version:
        raise OSError(errno.EBADMSG, "it changed after it was opened", str(path))
    return data


def _shorter(path: Location, end: int, wanted: int) -> PipelineError:
    return PipelineError(
        f"{path} became shorter after it was opened: it ends at byte {end:,} of at least {wanted:,}; if it is being "
        "copied, wait, then run `verify` and the same command again"
    )


def _unreadable(path: Location, error: OSError) -> PipelineError:
    return PipelineError(f"cannot read {path}: {error.strerror}; mend that, then run the same command again")
