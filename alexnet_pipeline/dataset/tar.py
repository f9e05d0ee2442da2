"""A shard that is open for reading, on this machine or in an object store.

Its bytes are read, not mapped: where a mapped file becomes shorter, as it does while `cp` or `rsync --inplace` writes
over it, the process dies by SIGBUS. Of all tars of this process a bounded number is open at a time.
"""

from __future__ import annotations

import errno
import functools
import os
import resource
import stat
import weakref
from collections import deque
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
# Tars that are open at a time, where the limit on open files allows it: ImageNet, with 1,333, is never opened twice.
MOST_OPEN = 2048
# Open files to leave for other uses: decoders, processes, checkpoints.
SPARE_FILES = 256
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO would block


def allow_files(count: int) -> None:
    """Raise the soft limit on open files, usually 1,024, for so many more tars, as far as `MOST_OPEN` and the hard one.

    Tars beyond the limit are opened again for each read, which takes network file systems a request or more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(list(Path("/proc/self/fd").iterdir())) + min(count, MOST_OPEN) + SPARE_FILES
    wanted = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class OpenTar:
    """A tar of a data set; threads may share it. Its file is closed and opened again as others need the descriptors.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """

    __slots__ = ("__weakref__", "_file", "_status", "_used", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._used = False
        self._status: os.stat_result | None = None
        self._file: _File | None = None
        self._open()

    def size_bytes(self) -> int:
        """Its size when it was opened."""
        assert self._status
        return self._status.st_size

    def read(self, offset: int, size_bytes: int) -> NDArray[np.uint8]:
        """Read bytes into a new (size_bytes,) uint8.

        Raises:
            PipelineError: the file cannot be read, is another one than at first, or ends too early.
        """
        data = np.empty(size_bytes, np.uint8)
        self._used = True
        try:
            file = self._file or self._open()  # held by this name, it stays open whoever evicts it
            done = os.preadv(file.descriptor, [data.data], offset)
        except OSError:
            done = self._read_anew(data, offset)
        if done != size_bytes:
            raise _shorter(self.path, offset + done, offset + size_bytes)
        return data

    def prefetch(self, offset: int, size_bytes: int) -> None:
        """Let the operating system read these bytes ahead."""
        # A hint, which some file systems do not take; what is wrong with the file, `read` will say.
        with suppress(OSError, PipelineError):
            file = self._file or self._open()
            os.posix_fadvise(file.descriptor, offset, size_bytes, os.POSIX_FADV_WILLNEED)

    def hold(self) -> _File | None:
        """The file, open as long as it is referred to; None if it cannot be opened, and `read` says why."""
        self._used = True
        with suppress(OSError, PipelineError):
            return self._file or self._open()
        return None

    def evict(self, *, spare_used: bool) -> bool:
        """Let go of the file, which closes once no thread reads from it; False if it was used and is spared once."""
        if spare_used and self._used:
            self._used = False
            return False
        self._file = None
        return True

    def _read_anew(self, data: NDArray[np.uint8], offset: int) -> int:
        """Open the file again and read, because a stale handle of NFS stays stale."""
        try:
            return retry_passing(lambda: os.preadv(self._open().descriptor, [data.data], offset))
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _open(self) -> _File:
        """Open the file, and keep it open until others need its descriptor.

        Raises:
            OSError: it cannot be opened, or is no regular file.
            PipelineError: it is not the file that was opened at first.
        """
        file = _File(self.path)
        status = os.fstat(file.descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(self.path))
        if self._status is None:
            self._status = status
        elif not _same(self._status, status):
            raise PipelineError(
                f"{self.path} was replaced or changed after it was opened; if it is being copied, wait, then run "
                "`verify` and the same command again"
            )
        self._file, self._used = file, False  # one read does not make it one that is used
        _OPEN.append(weakref.ref(self))
        _evict(_most_open())
        return file


class _File:
    """An open file, which is closed when nobody holds it any more."""

    __slots__ = ("descriptor",)

    def __init__(self, path: Path) -> None:
        try:
            self.descriptor = os.open(path, FLAGS)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            _evict(0)  # something else took more descriptors than were left for it
            self.descriptor = os.open(path, FLAGS)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # AttributeError: it was not opened
            os.close(self.descriptor)


# The tars that are open, in the order in which they were opened or spared. What is done to it is one call at a time,
# which needs no lock among threads, so that a process may be forked at any moment. A tar that two threads opened at
# once is in it twice, and tars of closed data sets are in it until they come to its front; both do no harm.
_OPEN: deque[weakref.ref[OpenTar]] = deque()


def _evict(most: int) -> None:
    """Close tars until so many are open: nearly the least recently used, without work for each read (second chance)."""
    while len(_OPEN) > most:
        try:
            reference = _OPEN.popleft()
        except IndexError:  # another thread was faster
            return
        tar = reference()
        if tar and not tar.evict(spare_used=most > 0):
            _OPEN.append(reference)


def _most_open() -> int:
    """How many tars may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if soft == resource.RLIM_INFINITY else min(MOST_OPEN, max(1, soft // 2, soft - SPARE_FILES))


def _same(before: os.stat_result, now: os.stat_result) -> bool:
    """Whether two statuses are of one file with the same content.

    Some FUSE file systems number a file anew once nobody has it open. The time of change, which a program cannot set,
    tells such a file from one that was replaced.
    """
    number = before.st_ino == now.st_ino or before.st_ctime_ns == now.st_ctime_ns
    return number and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)


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

    def hold(self) -> None:
        """There is no file."""


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
