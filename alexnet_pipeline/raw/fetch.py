"""Fetch the bytes of images from an object store, many at a time and ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from alexnet_pipeline.files import retry_passing
from alexnet_pipeline.raw.archive import LOCAL_HEADER_BYTES, LOCAL_ROOM_BYTES
from alexnet_pipeline.records import RawImage
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.storage.store import Status

# Requests of a worker that are under way or waiting to be used; with 30 ms a request, 16 give 500 images/s.
IN_FLIGHT = 24
# Bytes of them, unless one image has more.
MOST_BYTES_AHEAD = 64 << 20
# Ranges of one object are fetched at once if no more bytes than this lie between them, up to this size.
MOST_GAP_BYTES = 64 << 10
MOST_REQUEST_BYTES = 8 << 20


@dataclass(slots=True)
class _Request:
    """A range of an object and the images in it.

    Attributes:
        path: the object.
        start: the first byte.
        end: the byte behind the last.
        positions: positions of its images.
    """

    path: str
    start: int
    end: int
    positions: list[int]


class Fetcher:
    """Fetches images in a given order.

    Args:
        images: the images, all of them in stores.
        order: their positions in the order in which they will be read.
    """

    def __init__(self, images: Sequence[RawImage], order: Sequence[int]) -> None:
        self._pool = ThreadPoolExecutor(IN_FLIGHT, "fetch")
        self._waiting = deque(_requests(images, order))
        self._ahead: deque[tuple[_Request, Future[tuple[bytes, Status]]]] = deque()
        self._bytes_ahead = 0

    def close(self) -> None:
        """Give up what is under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def read(self, position: int, image: RawImage) -> bytes | None:
        """The bytes of the next image and, of one in a zip, its local header; None if the object has changed.

        Raises:
            OSError: the object cannot be read.
        """
        while self._ahead and position not in self._ahead[0][0].positions:
            request, _ = self._ahead.popleft()
            self._bytes_ahead -= request.end - request.start
        self._fetch_ahead()
        request, future = self._ahead[0]
        assert position in request.positions, "images are read in the order that was given"
        data, status = future.result()
        start, end = _span(image)
        if status.version != image.version:
            return None
        return data[start - request.start : end - request.start]

    def _fetch_ahead(self) -> None:
        while self._waiting and len(self._ahead) < IN_FLIGHT:
            request = self._waiting[0]
            size_bytes = request.end - request.start
            if self._ahead and self._bytes_ahead + size_bytes > MOST_BYTES_AHEAD:
                return
            self._waiting.popleft()
            self._bytes_ahead += size_bytes
            read = partial(RemotePath.of_url(request.path).read, request.start, size_bytes)
            self._ahead.append((request, self._pool.submit(retry_passing, read)))


def _span(image: RawImage) -> tuple[int, int]:
    """The bytes to fetch for an image."""
    head = LOCAL_HEADER_BYTES + LOCAL_ROOM_BYTES if image.packing == "zip" else 0
    return image.offset, image.offset + head + image.size_bytes


def _requests(images: Sequence[RawImage], order: Sequence[int]) -> list[_Request]:
    """Join images that lie beside each other in one object."""
    requests: list[_Request] = []
    for position in order:
        start, end = _span(images[position])
        last = requests[-1] if requests else None
        if (
            last is not None
            and last.path == images[position].path
            and last.end <= start <= last.end + MOST_GAP_BYTES
            and end - last.start <= MOST_REQUEST_BYTES
        ):
            last.end = end
            last.positions.append(position)
        else:
            requests.append(_Request(images[position].path, start, end, [position]))
    return requests
