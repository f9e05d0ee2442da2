"""Crops of JPEG and PNG shards, which DALI decodes on the CPU or the GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali import fn, pipeline_def, types
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from alexnet_pipeline.batches.crops import Crops
from alexnet_pipeline.batches.requests import Batch, Request
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError

# Batches that DALI decodes ahead, and batches of files that are read before DALI asks for them.
PREFETCH_BATCHES, READ_BATCHES = 2, 1

Files = list[NDArray[np.uint8]]
# One call gives a batch: files, and the tops and lefts of crops as shares of the room that they have.
Source = Callable[[], tuple[Files, NDArray[np.float32], NDArray[np.float32]]]


class EncodedCrops:
    """Gives batch after batch.

    Args:
        shards: the data set, of encoding `jpg` or `png`.
        requests: what the batches consist of.
        shape: (views, crop, crop, 3) of a crop's pixels.
        batch_images: most images of a batch.
        device: where batches go.
        decode_on_gpu: whether a GPU decodes whole images, or the CPU crops alone.
        threads: that decode.
    """

    def __init__(
        self,
        shards: ShardSet,
        requests: Iterator[Request],
        *,
        shape: tuple[int, int, int, int],
        batch_images: int,
        device: torch.device,
        decode_on_gpu: bool,
        threads: int,
    ) -> None:
        self._shards, self._requests = shards, requests
        self._given: deque[tuple[Request, Tensor]] = deque()  # to DALI, and not taken yet
        self._read: deque[tuple[Request, Future[tuple[list[int], Files]]]] = deque()
        self._reader = ThreadPoolExecutor(1, "encoded-crops")
        self._later = next(requests)
        for _ in range(READ_BATCHES):
            self._order()
        self._room_px = max(1, shards.manifest.options.size_px - shape[1])
        self._shape = shape
        on_gpu = device.type == "cuda"
        # `exec_dynamic`: outputs that are still in use are not overwritten; `seed`: nothing in the graph is random.
        build = pipeline_def(_graph, prefetch_queue_depth=PREFETCH_BATCHES, exec_dynamic=True, seed=0)
        self._pipeline = build(
            *(self._feed, *shape[:2], on_gpu, decode_on_gpu),
            batch_size=batch_images,
            num_threads=threads,
            device_id=(device.index or 0) if on_gpu else None,
        )

    def upcoming(self) -> Batch:
        """The batch that is given next."""
        return (self._given or self._read)[0][0].batch

    def take(self) -> Crops:
        """The next batch.

        Raises:
            PipelineError: a sample cannot be read or decoded.
        """
        epoch, step = self.upcoming()
        try:
            (output,) = self._pipeline.run()
        except RuntimeError as error:
            # DALI puts the place in the graph before what it encountered, and advice about the pipeline behind it.
            text = " ".join(str(error).split()).rpartition("encountered: ")[2].partition(" Current pipeline")[0]
            raise PipelineError(
                f"{self._shards.folder}: an image of batch {step} of epoch {epoch} cannot be decoded ({text}); "
                "run `verify` with `deep=True`"
            ) from error
        request, labels = self._given.popleft()
        return Crops.of(request, from_dlpack(output.as_tensor()).view(-1, *self._shape), labels)

    def close(self) -> None:
        """Release decoders, threads and what they hold."""
        self._pipeline = None
        self._reader.shutdown(cancel_futures=True)

    def _order(self) -> None:
        """Have one more batch of files read."""
        request, self._later = self._later, next(self._requests)
        later = self._later.samples

        def read() -> tuple[list[int], Files]:
            self._shards.prefetch(later)
            return self._shards.read_batch(request.samples)

        self._read.append((request, self._reader.submit(read)))

    def _feed(self) -> tuple[Files, NDArray[np.float32], NDArray[np.float32]]:
        """The next batch for DALI, ahead of time; places are arrays, because it looks at a list's items in Python."""
        self._order()
        request, files = self._read.popleft()
        labels, images = files.result()
        self._given.append((request, torch.tensor(labels)))
        places = request.corners[:, 0] if self._shape[0] == 1 else request.corners
        tops, lefts = np.ascontiguousarray(np.moveaxis(places / self._room_px, -1, 0), np.float32)
        return images, tops, lefts


def _graph(source: Source, views: int, crop_px: int, on_gpu: bool, decode_on_gpu: bool) -> Any:
    """Crops of decoded images, (crop, crop, 3) uint8, or (views, crop, crop, 3) of several views."""
    files, tops, lefts = fn.external_source(source, num_outputs=3, batch=True, no_copy=True)
    size_px, rgb = (crop_px, crop_px), {"output_type": types.RGB}
    if views == 1 and not decode_on_gpu:  # the same pixels as from the whole image, for a little less
        crops = fn.decoders.image_crop(files, crop=size_px, crop_pos_x=lefts, crop_pos_y=tops, **rgb)
        return crops.gpu() if on_gpu else crops
    if decode_on_gpu:  # whole images only; with the chroma of the CPU's decoder
        images = fn.decoders.image(files, device="mixed", jpeg_fancy_upsampling=True, **rgb)
    else:
        images = fn.decoders.image(files, **rgb)
        images = images.gpu() if on_gpu else images
    places = [(tops, lefts)] if views == 1 else [(tops[view], lefts[view]) for view in range(views)]
    crops = [fn.crop(images, crop=size_px, crop_pos_x=left, crop_pos_y=top) for top, left in places]
    return crops[0] if views == 1 else fn.stack(*crops)
