"""Read the bytes of listed images: ranges of files, members of zips, and rows of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate, groupby
from typing import Any, Self

from alexnet_pipeline.errors import ChangedInputError, PipelineError, RejectedImageError
from alexnet_pipeline.files import retry_passing
from alexnet_pipeline.raw.archive import read_zip_member
from alexnet_pipeline.raw.fetch import Fetcher
from alexnet_pipeline.records import RawImage, Reason
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.reading import Pread, open_stream, status_of
from alexnet_pipeline.storage.remote import is_url

# Number of images to read ahead.
READ_AHEAD = 4
# Largest size of an image, and of one in a zip when it is inflated; larger ones are no photographs.
MAX_IMAGE_BYTES = MAX_INFLATED_BYTES = 1 << 30
# Rows of a Parquet file that are in memory at a time, and bytes that are read from it at a time.
BATCH_ROWS = 32
BUFFER_BYTES = 1 << 20


def read_image(image: RawImage) -> bytes:
    """Read the bytes of an image.

    Raises:
        RejectedImageError: the bytes are no image: too many, or a damaged member of a zip.
        PipelineError: the file cannot be read, or has changed since it was listed.
    """
    with Reader([image]) as reader:
        return reader.read(0)


def reading_order(images: Sequence[RawImage]) -> Sequence[int]:
    """The positions of images in the order in which they are best read: rows of a Parquet file in their order."""
    if all(image.packing != "row" for image in images):
        return range(len(images))
    return sorted(range(len(images)), key=lambda position: (images[position].path, images[position].offset))


class Reader:
    """Reads images one after the other, with read-ahead by the operating system.

    The file of an image is opened once, when its read-ahead starts. Rows of Parquet files must be read in
    `reading_order`.
    """

    def __init__(self, images: Sequence[RawImage]) -> None:
        self._images = images
        self._opened: dict[int, int] = {}
        self._fetcher = Fetcher(images, reading_order(images)) if _in_store(images) else None
        self._rows: Iterator[tuple[int, bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        for descriptor in self._opened.values():
            os.close(descriptor)
        self._opened.clear()
        if self._fetcher:
            self._fetcher.close()

    def prefetch(self, position: int) -> None:
        """Start to read the image that lies `READ_AHEAD` images after this position.

        Errors are ignored here, because `read` will meet and report them.
        """
        position += READ_AHEAD
        if self._fetcher or position >= len(self._images) or self._images[position].packing == "row":
            return
        image = self._images[position]
        try:
            descriptor = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        self._opened[position] = descriptor
        with suppress(OSError):  # a hint, which some file systems do not take
            os.posix_fadvise(descriptor, image.offset, image.size_bytes, os.POSIX_FADV_WILLNEED)

    def read(self, position: int) -> bytes:
        """Read the bytes of the image at a position; it raises what `read_image` does.

        What fails for the machine's sake, like a stale handle or too many open files, is tried again, and then ends the
        run: it says nothing of the image.
        """
        image = self._images[position]
        if image.packing == "row":
            return self._read_row(position)
        if image.size_bytes > MAX_IMAGE_BYTES:
            raise RejectedImageError(Reason.TOO_LARGE, f"{image.size_bytes:,} bytes, the cap is {MAX_IMAGE_BYTES:,}")
        try:
            if self._fetcher:
                return self._fetched(self._fetcher, position, image)
            return retry_passing(lambda: self._read(position, image))
        except OSError as error:
            raise _unreadable(image, error) from error

    def _fetched(self, fetcher: Fetcher, position: int, image: RawImage) -> bytes:
        data = fetcher.read(position, image)
        if data is None or (image.packing == "plain" and len(data) < image.size_bytes):
            raise _changed(image)
        if image.packing == "plain":
            return data

        def pread(size_bytes: int, offset: int) -> bytes:
            return data[offset - image.offset : offset - image.offset + size_bytes]

        return _of_zip(pread, image)

    def _read(self, position: int, image: RawImage) -> bytes:
        descriptor = self._opened.pop(position, -1)
        if descriptor < 0:
            descriptor = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_mtime_ns != image.version:
                raise _changed(image)
            if image.packing == "zip":
                return _of_zip(partial(os.pread, descriptor), image)
            data = os.pread(descriptor, image.size_bytes, image.offset)
        finally:
            os.close(descriptor)
        if len(data) != image.size_bytes:
            raise _changed(image)
        return data

    def _read_row(self, position: int) -> bytes:
        if self._rows is None:
            self._rows = _rows(self._images)
        for at, data in self._rows:
            if at == position:
                return data
        raise AssertionError("rows are read once, in `reading_order`")


def _in_store(images: Sequence[RawImage]) -> bool:
    """Whether images lie in an object store, other than as rows, which are read in blocks."""
    return any(is_url(image.path) and image.packing != "row" for image in images)


def _of_zip(pread: Pread, image: RawImage) -> bytes:
    try:
        return read_zip_member(pread, image.offset, image.size_bytes, MAX_INFLATED_BYTES)
    except ValueError as error:
        raise RejectedImageError(Reason.CORRUPT, f"zip: {error}") from error


def _unreadable(image: RawImage, error: OSError) -> PipelineError:
    kind = ChangedInputError if isinstance(error, FileNotFoundError) else PipelineError
    return kind(f"cannot read {image.path}: {error.strerror}; mend that, then run the same command to resume")


def _changed(image: RawImage) -> PipelineError:
    return ChangedInputError(
        f"{image.path} changed after the source was listed; run the same command again, which lists it anew"
    )


def _rows(images: Sequence[RawImage]) -> Iterator[tuple[int, bytes]]:
    """(position, bytes) of each image, in `reading_order`.

    Raises:
        PipelineError: a file has changed or is damaged.
    """
    order = [position for position in reading_order(images) if images[position].packing == "row"]
    for path, positions in groupby(order, key=lambda position: images[position].path):
        wanted = {images[position].offset: position for position in positions}
        first = images[next(iter(wanted.values()))]
        try:
            changed = status_of(locate(path)).version != first.version
        except OSError as error:
            raise _unreadable(first, error) from error
        if changed:
            raise _changed(first)
        yield from _rows_of_file(path, first.column, wanted)


def _rows_of_file(path: str, column: str, wanted: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    """(position, bytes) of the rows that are keys of `wanted`; only the row groups that hold them are read."""
    # Imported here, because pyarrow is an extra.
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with (
            open_stream(locate(path)) as (stream, _),
            parquet.ParquetFile(stream, pre_buffer=False, buffer_size=BUFFER_BYTES) as file,
        ):
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            starts = [0, *accumulate(sizes)]
            for group, start in enumerate(starts[:-1]):
                rows = [row for row in wanted if start <= row < starts[group + 1]]
                if rows:
                    yield from _rows_of_group(file, group, column, {row - start: wanted[row] for row in rows})
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:  # the store or the disk; pyarrow's own errors have none
            text = f"cannot read {path}: {error.strerror}; mend that, then run the same command to resume"
        else:
            text = f"{path} cannot be read: {error}; fetch it again, then run the same command"
        raise PipelineError(text) from error


def _rows_of_group(file: Any, group: int, column: str, wanted: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    row, last = 0, max(wanted)
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[column], use_threads=False):
        values = batch.column(0)
        values = values.field(0) if str(values.type).startswith("struct") else values
        for value in values:
            if row in wanted:
                yield wanted[row], value.as_py() or b""
            row += 1
        if row > last:
            return
