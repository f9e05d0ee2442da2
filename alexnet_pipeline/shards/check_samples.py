"""Checks of a data set's samples against its manifest: labels, classes, keys, counts and, if asked for, pixels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.manifest import MANIFEST, MEAN
from alexnet_pipeline.dataset.open import SampleRecord, ShardSet
from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.check import Problem
from alexnet_pipeline.shards.statistics import Sums

Pixels = NDArray[np.uint8]

# Statistics are of the pixels before they were encoded. JPEG may halve the variance of colours, because it subsamples
# them, but moves means by less than the first number of levels, and at qualities that are not the lowest the deviation
# and the mean image of luma by less than the second. PNG and raw move nothing; their floats agree to the third.
JPEG_MEAN_LEVELS, JPEG_LUMA_LEVELS, EXACT_LEVELS = 2.0, 10.0, 1e-3
LEAST_QUALITY = 50
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(slots=True)
class Tally:
    """What some samples of a data set hold.

    Attributes:
        labels: (classes,) int64 samples of each class.
        enlarged: number of samples whose source was enlarged.
        sums: sums of their pixels; None if they were not decoded.
        problems: what is wrong with them.
    """

    labels: NDArray[np.int64]
    enlarged: int = 0
    sums: Sums | None = None
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, shards: ShardSet, *, deep: bool) -> Tally:
        """The tally of no samples yet."""
        options, classes = shards.manifest.options, len(shards.manifest.classes)
        side = 0 if options.geometry == "shorter" else options.size_px
        return cls(np.zeros(classes, np.int64), sums=Sums.zero((side, side, 3), classes) if deep else None)

    def merge(self, other: Tally) -> None:
        """Add the tally of other samples."""
        self.labels += other.labels
        self.enlarged += other.enlarged
        self.problems += other.problems
        if self.sums and other.sums:
            self.sums.merge(other.sums)


def check_samples(shards: ShardSet, positions: range, *, deep: bool) -> Tally:
    """Check the labels and records of some samples and, if `deep`, decode their images."""
    tally = Tally.of(shards, deep=deep)
    for position in positions:
        try:
            label, record = shards.read_label(position), shards.read_record(position)
        except PipelineError as error:
            tally.problems.append(Problem(_tar_of(shards, position), str(error)))
            continue
        tally.labels[label] += 1
        tally.enlarged += record.upsampled
        tally.problems += _check_record(shards, position, label, record)
        if tally.sums:
            pixels = _decode(shards, position, tally.problems)
            if pixels is not None:
                tally.sums.add(pixels, label, upsampled=record.upsampled)
    return tally


def check_totals(shards: ShardSet, tally: Tally) -> Iterator[Problem]:
    """Check what the manifest says of all samples together against the tally of all of them."""
    manifest, path = shards.manifest, str(shards.folder / MANIFEST)
    for key, times in Counter(shards.keys()).items():
        if times > 1:
            yield Problem(str(shards.folder), f"the key {key} occurs {times} times")
    if tally.problems:  # what follows would only repeat them
        return
    for name, said, found in zip(manifest.classes, manifest.class_totals_images, tally.labels.tolist(), strict=False):
        if said != found:
            yield Problem(path, f"says {said:,} images of class {name}, the tars hold {found:,}")
    if tally.enlarged != manifest.upsampled_images:
        yield Problem(path, f"says {manifest.upsampled_images:,} enlarged images, the tars hold {tally.enlarged:,}")
    if tally.sums:
        yield from _check_statistics(shards, tally.sums)


def _check_record(shards: ShardSet, position: int, label: int, record: SampleRecord) -> Iterator[Problem]:
    name = shards.manifest.classes[label]
    if record.wnid != name:
        yield Problem(
            _tar_of(shards, position),
            f"sample {position} is of class {record.wnid} by its record, but has label {label}, which is {name}",
        )
    elif record.label not in {-1, label}:
        yield Problem(
            _tar_of(shards, position),
            f"sample {position} has label {label}, and label {record.label} in its record",
        )


def _decode(shards: ShardSet, position: int, problems: list[Problem]) -> Pixels | None:
    """The pixels of a sample; None, and a problem, if they are damaged or not of the set's size."""
    options = shards.manifest.options
    try:
        pixels = codec.decode_sample(shards.read_image(position), options.encoding)
    except RejectedImageError as error:
        problems.append(Problem(_tar_of(shards, position), f"sample {position} does not decode: {error}"))
        return None
    if _fits(pixels, options):
        return pixels
    size, expected = f"{pixels.shape[0]}x{pixels.shape[1]}", f"{options.geometry} {options.size_px}"
    problems.append(Problem(_tar_of(shards, position), f"sample {position} is {size}, expected {expected}"))
    return None


def _fits(pixels: Pixels, options: SetOptions) -> bool:
    height, width = pixels.shape[:2]
    side = options.size_px
    return min(height, width) == side if options.geometry == "shorter" else (height, width) == (side, side)


def _check_statistics(shards: ShardSet, sums: Sums) -> Iterator[Problem]:
    """The statistics and the mean image of all pixels, as far as an encoding leaves them alone."""
    manifest, path = shards.manifest, str(shards.folder / MANIFEST)
    said, found = manifest.statistics, sums.statistics()
    if said is None or found is None:
        yield Problem(path, "has no pixel statistics")
        return
    vectors, variances = np.array(said.pca_vectors), np.square(said.pca_deviations)
    if not np.allclose(np.array(said.covariance), vectors.T @ np.diag(variances) @ vectors, atol=EXACT_LEVELS):
        yield Problem(path, "the PCA of the pixels is not that of their covariance")
    lossy = manifest.options.encoding == "jpg"
    mean_levels = JPEG_MEAN_LEVELS if lossy else EXACT_LEVELS
    if not np.abs(np.subtract(said.mean, found.mean)).max() <= mean_levels:
        yield Problem(
            path, f"says {_levels(said.mean)} for the mean of the pixels, the tars give {_levels(found.mean)}"
        )
    if lossy and manifest.options.quality < LEAST_QUALITY:
        return
    most = JPEG_LUMA_LEVELS if lossy else EXACT_LEVELS
    projections = [LUMA] if lossy else [*np.eye(3), LUMA]
    ours, theirs = ([_deviation(each.covariance, weights) for weights in projections] for each in (found, said))
    if not np.abs(np.subtract(ours, theirs)).max() <= most:
        yield Problem(path, f"says {_levels(theirs)} for deviations of the pixels, the tars give {_levels(ours)}")
    off = (sums.mean_image().astype(np.float64) - shards.mean_image()) @ (LUMA if lossy else np.eye(3))
    if off.size and not np.sqrt(np.square(off).mean()) <= most:
        yield Problem(str(shards.folder / MEAN), "is not the mean image of the tars")


def _deviation(covariance: Sequence[Sequence[float]], weights: NDArray[np.float64]) -> float:
    """The standard deviation of a weighted sum of the channels."""
    return math.sqrt(max(0.0, float(weights @ np.array(covariance) @ weights)))


def _levels(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _tar_of(shards: ShardSet, position: int) -> str:
    return str(shards.tars[int(shards.shard[position])].path)
