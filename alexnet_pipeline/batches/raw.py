"""Crops of raw shards: read into a ring of buffers, some batches ahead, by threads that do not hold Python's lock.

On a GPU the buffers are pinned, and each batch is copied in one piece on a stream of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_pipeline.batches.crops import Crops
from alexnet_pipeline.batches.kernels import NPY_LENGTH_AT, NPY_MAGIC_BYTES, gather, read_ahead
from alexnet_pipeline.batches.parts import Team
from alexnet_pipeline.batches.requests import Batch, Request
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError

# Batches that are read before they are asked for, and those of which the operating system is told before that.
AHEAD, ADVISED = 2, 2


@dataclass(slots=True)
class _Slot:
    """A buffer of the ring.

    Attributes:
        pixels: (batch, views, crop, crop, 3) uint8.
        copied: when the device has copied it; None on a CPU.
    """

    pixels: Tensor
    copied: torch.cuda.Event | None = None


class RawCrops:
    """Gives batch after batch. On a CPU its pixels are valid until the next one is taken.

    Args:
        shards: the data set, of encoding `raw`.
        requests: what the batches consist of.
        shape: (views, crop, crop, 3) of a crop's pixels.
        batch_images: most images of a batch.
        device: where batches go.
        team: that reads.
    """

    def __init__(
        self,
        shards: ShardSet,
        requests: Iterator[Request],
        *,
        shape: tuple[int, int, int, int],
        batch_images: int,
        device: torch.device,
        team: Team,
    ) -> None:
        self._shards, self._requests, self._device, self._team = shards, requests, device, team
        pinned = device.type == "cuda"
        make = [torch.empty((batch_images, *shape), dtype=torch.uint8, pin_memory=pinned) for _ in range(AHEAD + 1)]
        self._stream = torch.cuda.Stream(device) if pinned else None  # type: ignore[no-untyped-call]
        self._thread = ThreadPoolExecutor(1, "raw-crops")
        self._advised = deque(islice(requests, ADVISED))
        self._ready: deque[tuple[Batch, _Slot, Future[Crops]]] = deque()
        self._taken = _Slot(make[0])
        for pixels in make[1:]:
            self._order(_Slot(pixels))

    def upcoming(self) -> Batch:
        """The batch that is given next."""
        return self._ready[0][0]

    def take(self) -> Crops:
        """The next batch.

        Raises:
            PipelineError: a sample cannot be read, or is not what it should be.
        """
        self._order(self._taken)
        _, self._taken, crops = self._ready.popleft()
        return self._arrived(crops.result())

    def close(self) -> None:
        """End the thread; what it reads at the moment is finished."""
        self._thread.shutdown(cancel_futures=True)

    def _order(self, slot: _Slot) -> None:
        """Have the next batch read into a buffer that nobody needs any more."""
        self._advised.append(next(self._requests))
        request = self._advised.popleft()
        self._ready.append((request.batch, slot, self._thread.submit(self._read, request, self._advised[-1], slot)))

    def _read(self, request: Request, later: Request, slot: _Slot) -> Crops:
        """Read a batch; runs in the thread."""
        held, descriptors = self._shards.hold(later.samples)
        read_ahead(descriptors, self._shards.spans(later.samples))
        del held
        if slot.copied:
            slot.copied.synchronize()
        pixels, labels = slot.pixels[: len(request.samples)], torch.empty(len(request.samples), dtype=torch.int64)
        self._gather(request, pixels.numpy(), labels.numpy())
        if self._stream is None:
            return Crops.of(request, pixels, labels)
        with torch.cuda.stream(self._stream):
            crops = Crops.of(request, pixels.to(self._device, non_blocking=True), labels)
            slot.copied = self._stream.record_event()
        return crops

    def _gather(self, request: Request, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        shards, samples = self._shards, request.samples
        side_px, classes = shards.manifest.options.size_px, len(shards.manifest.classes)
        held, descriptors = shards.hold(samples)
        spans, corners = shards.spans(samples), np.ascontiguousarray(request.corners)

        def work(begin: int, end: int) -> None:
            gather(descriptors, spans, corners, side_px, classes, pixels, labels, begin, end)

        self._team.share(len(samples), work)
        del held
        for image in np.flatnonzero(labels < 0):  # slowly, with all that an error needs, or another try
            (labels[image],), (data,) = shards.read_batch(samples[image : image + 1])
            whole = raw_pixels(shards, int(samples[image]), data)
            for view, (top, left) in enumerate(corners[image]):
                pixels[image, view] = whole[top : top + pixels.shape[2], left : left + pixels.shape[2]]

    def _arrived(self, crops: Crops) -> Crops:
        """The batch, for the caller's stream, which waits for the copy."""
        if self._stream is not None and self._taken.copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(self._taken.copied)
            for tensor in (crops.pixels, crops.flips, crops.offsets, crops.labels):
                tensor.record_stream(stream)  # its memory is not given to others while the caller's stream uses it
        return crops


def raw_pixels(shards: ShardSet, sample: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels of a raw image, (side, side, 3) uint8, in the memory of its `.npy` file.

    Raises:
        PipelineError: it has another shape.
    """
    header = NPY_MAGIC_BYTES + int.from_bytes(data[NPY_LENGTH_AT:NPY_MAGIC_BYTES].tobytes(), "little")
    side = shards.manifest.options.size_px
    if len(data) - header != side * side * 3:
        raise PipelineError(
            f"{shards.folder}: sample {sample} is not a .npy of {side} x {side} x 3 bytes; run `verify`"
        )
    return data[header:].reshape(side, side, 3)
