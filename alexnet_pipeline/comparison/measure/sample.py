"""Measures how far the samples of one key differ between finished data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.measure.image import MeasuredImage, assemble
from alexnet_pipeline.comparison.measure.similarity import luma, psnr_db, root_mean_square, ssim
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.geometry import place
from alexnet_pipeline.records import RawImage, Reject

Bytes = NDArray[np.uint8]
# A key, and the position of its sample in each set.
SharedSample = tuple[str, tuple[int, ...]]


def sample_measurer(folders: Sequence[Path]) -> Callable[[SharedSample], MeasuredImage | Reject]:
    """A function that measures samples of the sets in some folders, which stay open."""
    return partial(measure_sample, [open_shards(folder) for folder in folders])


def measure_sample(sets: Sequence[ShardSet], sample: SharedSample) -> MeasuredImage | Reject:
    """Measure how far the samples of one key differ; provenance is the sample in the first set.

    Raises:
        PipelineError: they have different shapes, or the first set's record of them is damaged.
    """
    key, positions = sample
    try:
        outputs = decode_samples(sets, positions)
    except RejectedImageError as error:
        return Reject(key, str(error.reason), error.detail)
    for each, output in zip(sets, outputs, strict=True):
        if output.shape != outputs[0].shape:
            raise PipelineError(f"{key} is {output.shape} in {each.folder}, but {outputs[0].shape} in the first set")
    values = [
        _difference(output, outputs[0]) | {"file_bytes": float(each.image[position, 1])}
        for each, position, output in zip(sets, positions, outputs, strict=True)
    ]
    first, position = sets[0], positions[0]
    record, options, data = first.read_record(position), first.manifest.options, first.read_image(position)
    tars = [str(first.folder / shard.tar.name) for shard in first.manifest.shards if shard.tar]
    path, offset = tars[first.shard[position]], int(first.image[position, 0])
    raw = RawImage(key, 0, record.wnid, record.name, path, offset, len(data), 0)  # label and time are not shown
    placement = place(record.height, record.width, options.size_px, options.geometry, options.rounding)
    return assemble(raw, data, placement, outputs, outputs, values)


def decode_samples(sets: Sequence[ShardSet], positions: Sequence[int]) -> list[Bytes]:
    """The samples at a position in each set, HWC uint8 RGB.

    Raises:
        RejectedImageError: one cannot be decoded.
    """
    return [
        codec.decode_sample(each.read_image(position), each.manifest.options.encoding)
        for each, position in zip(sets, positions, strict=True)
    ]


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
