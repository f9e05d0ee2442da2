"""Measures how far the samples of one key differ between finished data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.measure.image import MeasuredImage, by_metric, disagreement_of, shorter_side_scale
from alexnet_pipeline.comparison.measure.similarity import luma, psnr_db, root_mean_square, ssim
from alexnet_pipeline.comparison.measure.spectrum import radial_power
from alexnet_pipeline.comparison.records import ImageResult
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
        """Measure how far the samples of one key differ.

        Raises:
            PipelineError: they have different shapes, or the first set's record of them is damaged.
        """
        try:
            outputs = self.decode(sample)
        except RejectedImageError as error:
            return Reject(sample.key, str(error.reason), error.detail)
        shapes = [output.shape for output in outputs]
        for each, shape in zip(self._sets, shapes, strict=True):
            if shape != shapes[0]:
                raise PipelineError(f"{sample.key} is {shape} in {each.folder}, but {shapes[0]} in the first set")
        lumas = [luma(output) for output in outputs]
        values = [
            _difference(output, plane, outputs[0], lumas[0]) | {"file_bytes": float(len(data))}
            for output, plane, data in zip(outputs, lumas, self._encoded(sample), strict=True)
        ]
        spectra = tuple(tuple(radial_power(plane).tolist()) for plane in lumas)
        return MeasuredImage(self._result(sample, *disagreement_of(outputs), by_metric(values)), spectra)

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

    def _result(
        self,
        sample: SharedSample,
        disagreement: float,
        window_px: tuple[int, int],
        values: dict[str, tuple[float, ...]],
    ) -> ImageResult:
        """The record of a key, whose provenance is its sample in the first set."""
        first, position = self._sets[0], sample.positions[0]
        raw, options, data = first.read_record(position), first.manifest.options, first.read_image(position)
        placement = place(raw.height, raw.width, options.size_px, options.geometry, options.rounding)
        return ImageResult(
            key=sample.key,
            name=raw.name,
            path=self._tars[first.shard[position]],
            offset=int(first.image[position, 0]),
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            height_px=raw.height,
            width_px=raw.width,
            scale=shorter_side_scale(placement),
            disagreement=disagreement,
            window_px=window_px,
            values=values,
        )


def _difference(
    output: Bytes, plane: NDArray[np.float32], first: Bytes, first_plane: NDArray[np.float32]
) -> dict[str, float]:
    """Metrics of a sample against the first set's."""
    apart = np.abs(output.astype(np.int16) - first)
    error = root_mean_square(output, first)
    return {
        "psnr_db": psnr_db(error),
        "ssim": ssim(plane, first_plane),
        "error_levels": error,
        "most_levels": float(apart.max()),
        "differing_share": float(np.count_nonzero(apart > 1)) / apart.size,
    }
