"""Read the bytes of listed images, each a range of a file, with read-ahead by the operating system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.records import RawImage, Reason

# Number of images to read ahead.
READ_AHEAD = 4


def read_image(image: RawImage) -> bytes:
    """Read the bytes of an image.

    Raises:
        RejectedImageError: the file cannot be read.
        PipelineError: the file has changed since it was listed.
    """
    with Reader([image]) as reader:
        return reader.read(0)


class Reader:
    """Reads images in order; the file of an image is opened once, when its read-ahead starts."""

    def __init__(self, images: Sequence[RawImage]) -> None:
        self._images = images
        self._opened: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        for descriptor in self._opened.values():
            os.close(descriptor)
        self._opened.clear()

    def prefetch(self, position: int) -> None:
        """Start to read the image that lies `READ_AHEAD` images after this position.

        Errors are ignored here, because `read` will meet and report them.
        """
        position += READ_AHEAD
        if position >= len(self._images):
            return
        image = self._images[position]
        try:
            descriptor = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        self._opened[position] = descriptor
        os.posix_fadvise(descriptor, image.offset, image.size_bytes, os.POSIX_FADV_WILLNEED)

    def read(self, position: int) -> bytes:
        """Read the bytes of the image at a position; it raises what `read_image` does."""
        image = self._images[position]
        try:
            descriptor = self._opened.pop(position, -1)
            if descriptor < 0:
                descriptor = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, image.size_bytes, image.offset)
                changed = os.fstat(descriptor).st_mtime_ns != image.modified_ns
            finally:
                os.close(descriptor)
        except OSError as error:
            raise RejectedImageError(Reason.UNREADABLE, error.strerror or str(error)) from error
        if changed or len(data) != image.size_bytes:
            raise PipelineError(f"{image.path} changed while it was read; run the same command again to resume")
        return data
