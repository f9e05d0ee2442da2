"""From crops as bytes to what the network sees: mirrored, less the mean, lit. On the CPU in one pass over memory."""

from __future__ import annotations

import weakref
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_pipeline.batches.crops import Crops
from alexnet_pipeline.batches.kernels import normalise
from alexnet_pipeline.batches.parts import Team

DType = Literal["float32", "float16", "bfloat16"]
# Buffers of finished batches that are kept for the next ones, at most.
KEPT_BUFFERS = 2


class Normaliser:
    """Finishes batches of crops.

    The mean image's centre is subtracted from a crop wherever it was cut and however it is mirrored, as the 2012 source
    does; a mean of channels is part of the crops' offsets.

    Args:
        mean: (3,), or (crop, crop, 3) float32.
        planar: whether a crop is CHW in memory rather than HWC; its shape is (3, crop, crop) either way.
        dtype: of the result.
        team: that works on the CPU.
    """

    def __init__(self, mean: NDArray[np.float32], *, planar: bool, dtype: DType, team: Team) -> None:
        self._mean = np.array(mean if mean.ndim == 3 else np.empty((0, 0, 0)), np.float32, order="C")
        self._mean_tensor = torch.from_numpy(self._mean)
        self._planar, self._dtype, self._team = planar, getattr(torch, dtype), team
        self._free: list[NDArray[np.float32]] = []

    def __call__(self, crops: Crops) -> Tensor:
        """Images (n, 3, crop, crop), or (n, views, 3, crop, crop) of several views."""
        images = (self.compiled if crops.pixels.device.type == "cpu" else self.in_torch)(crops).to(self._dtype)
        return images if images.shape[1] > 1 else images[:, 0]

    def compiled(self, crops: Crops) -> Tensor:
        """By a compiled loop, on the CPU: (n, views, 3, crop, crop) float32."""
        n, views, side = crops.pixels.shape[:3]
        pixels = crops.pixels.numpy().reshape(n * views, side, side, 3)
        flips, offsets = crops.flips.numpy().reshape(n * views), np.repeat(crops.offsets.numpy(), views, axis=0)
        out = self._buffer(n * views, 3 * side * side)

        def work(begin: int, end: int) -> None:
            normalise(pixels, flips, offsets, self._mean, self._planar, out, begin, end)

        self._team.share(n * views, work)
        images = torch.from_numpy(out)
        if self._planar:
            return images.view(n, views, 3, side, side)
        return images.view(n, views, side, side, 3).movedim(-1, -3)

    def in_torch(self, crops: Crops) -> Tensor:
        """By PyTorch's operators, on any device; the same to the last bit."""
        pixels = crops.pixels
        seen = torch.where(crops.flips[:, :, None, None, None], pixels.flip(-2), pixels)
        images = seen - crops.offsets[:, None, None, None]
        if self._mean.size:
            self._mean_tensor = self._mean_tensor.to(images.device)
            images -= self._mean_tensor
        images = images.movedim(-1, -3)
        return images.contiguous() if self._planar else images

    def _buffer(self, count: int, values: int) -> NDArray[np.float32]:
        """Memory of a batch that nobody holds any more: fresh memory costs a page fault for every 4 KiB."""
        free = self._free
        buffer = free.pop() if free else np.empty(0, np.float32)
        if buffer.size < count * values:
            buffer = np.empty(count * values, np.float32)
        lease = buffer[: count * values].reshape(count, values)
        # PyTorch holds this very object as long as anybody holds the batch.
        weakref.finalize(lease, _give_back, free, buffer).atexit = False
        return lease


def _give_back(free: list[NDArray[np.float32]], buffer: NDArray[np.float32]) -> None:
    if len(free) < KEPT_BUFFERS:
        free.append(buffer)
