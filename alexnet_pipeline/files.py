"""Whole files: atomic and durable writes, guarded reads, errors that name the file, and lock files."""

from __future__ import annotations

import errno
import fcntl
import functools
import logging
import os
import re
import secrets
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from alexnet_pipeline.errors import BusyError, OtherContentError, PipelineError, RefusedError

Result = TypeVar("Result")

PART = ".part-"
PART_NAME = re.compile(r"^\.part-(\d+-[0-9a-f]{8}-)?")  # without process and digits in version 0.1
# Largest file that is read whole. A manifest in which every image of ImageNet is a reject has about 250 MB.
MAX_WHOLE_BYTES = 512 << 20
# Errors of reading that pass: of network file systems, of disks, and of limits. They are tried again after these waits.
PASSING = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EREMOTEIO}
    | {errno.ESTALE, errno.ETIMEDOUT}
)
RETRY_WAITS_S = (0.1, 1.0, 5.0)
# Size of the write buffer: one system call per sample would cost more than writing its bytes.
BUFFER_BYTES = 1 << 20
# What file systems answer that cannot sync a folder (CIFS, some FUSE), that have no locks (NFS without lockd, Lustre
# without -o flock), and whose lock another process holds.
NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF})
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL})
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
HELD = frozenset({errno.EACCES, errno.EAGAIN})
# `struct flock` on 64 bits: type, whence, start, length, process.
FLOCK = "@hhqqi4x"
CANNOT_SYNC = "the file system of the output cannot sync folders, so a power failure may lose the last file"
CANNOT_LOCK = "the file system of the output has no locks; make sure that no other run writes to the same folder"
LOG = logging.getLogger("alexnet_pipeline")


def read_whole(path: Path, most_bytes: int = MAX_WHOLE_BYTES) -> bytes:
    """Read a file that somebody else may have put there.

    Raises:
        OSError: it cannot be read, has more bytes, or is no regular file: a FIFO would block, a device might not end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as handle:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if status.st_size > most_bytes:
            text = f"it has {status.st_size:,} bytes, expected at most {most_bytes:,}"
            raise OSError(errno.EFBIG, text, str(path))
        return handle.read(most_bytes)


def retry_passing(read: Callable[[], Result]) -> Result:
    """Call a function, and again after a while if it fails with an error that may pass.

    Raises:
        OSError: it failed every time, or with an error that does not pass.
    """
    for wait_s in RETRY_WAITS_S:
        try:
            return read()
        except OSError as error:
            if error.errno not in PASSING:
                raise
            time.sleep(wait_s)
    return read()


class PartFile:
    """A file that is written as `.part-PROCESS-DIGITS-NAME`, synced, and renamed once it is complete.

    No two writers share a partial file, not even one that was thought dead and one on another machine in its stead.

    Leaving the block without `commit` removes the partial file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = _part_of(path)

    def __enter__(self) -> Self:
        with naming(self._part):
            self._handle: BinaryIO = self._part.open("wb", buffering=BUFFER_BYTES)
        return self

    def write(self, data: bytes) -> None:
        """Append data; an error names the file."""
        with naming(self._path):
            self._handle.write(data)

    def commit(self) -> None:
        """Sync the data to disk and rename the file; `sync_folder` then makes the renaming durable."""
        with naming(self._path):
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
            self._part.replace(self._path)

    def __exit__(self, *details: object) -> None:
        with suppress(OSError):
            self._handle.close()
        with suppress(OSError):
            self._part.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically and durably: after a crash it holds all of the new data or is as before.

    Raises:
        PipelineError: the file cannot be written; the message holds the path and the reason.
    """
    with PartFile(path) as part:
        part.write(data)
        part.commit()
    sync_folder(path.parent)


def create(path: Path, data: bytes | memoryview) -> None:
    """Write a file that may not be there with other content; several processes may do so at once.

    Raises:
        OtherContentError: it is there with other content.
        PipelineError: it cannot be written.
    """
    part = _part_of(path)
    with naming(path):
        try:
            with part.open("xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            try:
                path.hardlink_to(part)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                part.rename(path)  # the file system has no hard links
        except FileExistsError as error:
            if path.read_bytes() != data:
                raise OtherContentError(f"{path} is there with other content") from error
        finally:
            part.unlink(missing_ok=True)
    sync_folder(path.parent)


def name_of_part(name: str) -> str:
    """The name that a partial file would have got; any other name as it is."""
    return PART_NAME.sub("", name)


def _part_of(path: Path) -> Path:
    return path.with_name(f"{PART}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents; an error names the folder."""
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
            _warn_once(CANNOT_SYNC)
        finally:
            os.close(descriptor)


@contextmanager
def locked(path: Path, busy: str | None, *, first: int = 0, count: int = 0) -> Iterator[None]:
    """Lock a range of a lock file, or all of it.

    The kernel holds the lock, and releases it when the process dies. It excludes other threads, too.

    Args:
        path: the lock file; its folder is made if it is missing.
        busy: the error's message if somebody else holds the lock; None waits for it.
        first: start of the range; what its numbers mean is up to the callers.
        count: length of the range, 0 for all that follows `first`.

    Raises:
        BusyError: somebody else holds part of the range.
        RefusedError: the lock fails for another reason than a file system without locks, which is warned of.
    """
    make_folder(path.parent)
    with naming(path):
        handle = path.open("ab")
    with handle:
        try:
            _lock(handle, first, count, wait=busy is None)
        except OSError as error:
            if error.errno in HELD and busy:
                raise BusyError(busy) from error
            if error.errno not in NO_LOCKS:
                raise RefusedError(f"cannot lock {path}: {error.strerror}; choose another folder") from error
            _warn_once(CANNOT_LOCK)
        yield


def _lock(handle: BinaryIO, first: int, count: int, *, wait: bool) -> None:
    """Take a lock that belongs to the open file, as `fcntl.lockf` does not: that one is the whole process's."""
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    fcntl.fcntl(handle, command, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, first, count, 0))


@functools.cache
def _warn_once(text: str) -> None:
    LOG.warning("%s", text)


class naming:  # noqa: N801 - used as a function, once per sample, where a generator would cost three times more
    """Turn an OSError into a PipelineError of one line, with the path and what to do next."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        code = errno.errorcode.get(error.errno or 0, "OSError")
        hint = "free some space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "check the output folder"
        raise PipelineError(
            f"cannot write {self._path}: {error.strerror} ({code}); {hint}, then run the same command again to resume"
        ) from error
