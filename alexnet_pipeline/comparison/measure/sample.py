"""Measures how far the samples of one key differ between finished data sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.measure.image import MeasuredImage, assemble
from alexnet_pipeline.comparison.measure.similarity import luma, psnr_db, root_mean_square, ssim
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.geometry import place
from alexnet_pipeline.records import Reject

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SharedSample:
    """A key, and the position of its sample in each of several sets."""

    key: str
    positions: tuple[int, ...]


class SampleMeasurer:
    """Measures samples of sets, which stay open."""

    def __init__(self, sets: Sequence[ShardSet]) -> None:
        self._sets = sets
        first = sets[0]
        self._tars = [str(first.folder / shard.tar.name) for shard in first.manifest.shards if shard.tar]

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Self:
        """The measurer of the sets in some folders."""
        return cls([open_shards(folder) for folder in folders])

    def __call__(self, sample: SharedSample) -> MeasuredImage | Reject:
        """Measure how far the samples of one key differ; provenance is the sample in the first set.

        Raises:
            PipelineError: they have different shapes, or the first set's record of them is damaged.
        """
        encoded = self._encoded(sample)
        try:
            outputs = self.decode(sample)
        except RejectedImageError as error:
            return Reject(sample.key, str(error.reason), error.detail)
        for each, output in zip(self._sets, outputs, strict=True):
            if output.shape != outputs[0].shape:
                shapes = f"{output.shape} in {each.folder}, but {outputs[0].shape} in the first set"
                raise PipelineError(f"{sample.key} is {shapes}")
        values = [
            _difference(output, outputs[0]) | {"file_bytes": float(len(data))}
            for output, data in zip(outputs, encoded, strict=True)
        ]
        first, position = self._sets[0], sample.positions[0]
        raw, options = first.read_record(position), first.manifest.options
        placement = place(raw.height, raw.width, options.size_px, options.geometry, options.rounding)
        path, offset = self._tars[first.shard[position]], int(first.image[position, 0])
        return assemble(sample.key, raw.name, path, offset, encoded[0], placement, outputs, outputs, values)

    def decode(self, sample: SharedSample) -> list[Bytes]:
        """The samples of one key, HWC uint8 RGB, one per set.

        Raises:
            RejectedImageError: one cannot be decoded.
        """
        return [
            codec.decode_sample(data, each.manifest.options.encoding)
            for each, data in zip(self._sets, self._encoded(sample), strict=True)
        ]

    def _encoded(self, sample: SharedSample) -> list[bytes]:
        return [each.read_image(position) for each, position in zip(self._sets, sample.positions, strict=True)]


def _difference(output: Bytes, first: Bytes) -> dict[str, float]:
    apart = np.abs(output.astype(np.int16) - first)
    error = root_mean_square(output, first)
    return {
        "psnr_db": psnr_db(error),
        "ssim": ssim(luma(output), luma(first)),
        "error_levels": error,
        "most_levels": float(apart.max()),
        "differing_share": float(np.count_nonzero(apart > 1)) / apart.size,
    }
