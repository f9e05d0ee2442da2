"""A shard that is open for reading.

Its bytes are read, not mapped: where a mapped file becomes shorter, as it does while `cp` or `rsync --inplace` writes
over it, the process dies by SIGBUS.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.files import retry_passing

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

    def status(self) -> os.stat_result:
        """Its size and type now."""
        return os.fstat(self._descriptor)

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
            raise PipelineError(
                f"{self.path} became shorter after it was opened: it ends at byte {offset + done:,} of at least "
                f"{offset + size_bytes:,}; if it is being copied, wait, then run `verify` and the same command again"
            )
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
            raise PipelineError(
                f"cannot read {self.path}: {error.strerror}; mend that, then run the same command again"
            ) from error
