"""A batch between decoding and normalisation: crops as bytes, and what is still to be done with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet_pipeline.batches.requests import Request


@dataclass(frozen=True, slots=True)
class Crops:
    """A batch of crops, not yet mirrored or normalised: a quarter of the bytes of the finished batch.

    Attributes:
        pixels: (n, views, crop, crop, 3) uint8.
        flips: (n, views) bool, whether a crop is to be mirrored.
        offsets: (n, 3) float32, to be subtracted from R, G, B.
        labels: (n,) int64.
    """

    pixels: Tensor
    flips: Tensor
    offsets: Tensor
    labels: Tensor

    @classmethod
    def of(cls, request: Request, pixels: Tensor, labels: Tensor) -> Crops:
        """The crops of a request, all on the device of the pixels."""
        parts = torch.tensor(request.flips), torch.from_numpy(request.offsets), labels
        return cls(pixels, *(part.to(pixels.device, non_blocking=True) for part in parts))
