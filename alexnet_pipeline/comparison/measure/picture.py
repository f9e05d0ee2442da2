"""One picture's bytes and the methods in, its numbers and each result's spectrum out."""

from __future__ import annotations

import hashlib
import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.records import PictureNumbers
from alexnet_pipeline.comparison.measure.reference import low_pass, shifted
from alexnet_pipeline.comparison.measure.ringing import clipped_share, local_range, overshoot_levels, unrounded
from alexnet_pipeline.comparison.measure.similarity import luma, psnr_db, root_mean_square, ssim
from alexnet_pipeline.comparison.measure.spectrum import radial_power
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.pixels.geometry import Placement, place
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import Geometry, MethodOptions, RawImage

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Result = TypeVar("Result")

# Side of the window in which disagreement is looked for, in output pixels.
WINDOW_PX = 64
# Columns beside the left and right border in which a shift by interpolation knows too little, in output pixels.
MARGIN_PX = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """What all pictures are measured by.

    Attributes:
        methods: names, in order.
        size_px: target side.
        geometry: how any shape becomes the target.
        quality: of the JPEG whose size and error are measured.
    """

    methods: tuple[str, ...]
    size_px: int
    geometry: Geometry
    quality: int

    def options(self) -> tuple[MethodOptions, ...]:
        """Of each method."""
        return tuple(
            MethodOptions(method=name, size_px=self.size_px, geometry=self.geometry, quality=self.quality)
            for name in self.methods
        )


@dataclass(frozen=True, slots=True)
class MeasuredPicture:
    """One picture's numbers, and beside them the radial power of each method's luma."""

    numbers: PictureNumbers
    spectra: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What every method of one picture is judged by.

    Attributes:
        image: decoded, HWC uint8.
        source: the same as float32.
        placement: of the target.
        ideal: the reference's part of the target, computed in float64, clipped, kept as float32.
        ideal_luma: of it.
        lows: least source values around each sample.
        highs: greatest.
        neighbours: the picture without its last and without its first column; none where it has one only.
    """

    image: Bytes
    source: Floats
    placement: Placement
    ideal: Floats
    ideal_luma: Floats
    lows: Floats
    highs: Floats
    neighbours: tuple[Bytes, Bytes] | None


def measure(picture: RawImage, data: bytes, settings: Settings) -> MeasuredPicture:
    """Measure what every method does to one picture.

    Args:
        picture: where it comes from.
        data: its bytes.
        settings: methods, target and JPEG.

    Raises:
        RejectedImageError: the picture cannot be decoded, or a target would be too large.
    """
    image, decode_ms = _timed(partial(codec.decode, data))
    resampled = _resample(image, settings, picture.key)
    subject = _subject(image, settings)
    values: list[dict[str, float]] = []
    spectra: list[tuple[float, ...]] = []
    for options, ((target, _), resample_ms) in zip(settings.options(), resampled, strict=True):
        times = {"decode_ms": decode_ms, "resample_ms": resample_ms}
        part_luma = luma(part_of(target, subject.placement))
        values.append(_judge(target, part_luma, subject, options) | times | _shift(subject, options))
        values[-1] |= _stored(target, subject, options)
        spectra.append(tuple(radial_power(part_luma).tolist()))
    disagreement, window = disagreement_of([target for (target, _), _ in resampled])
    numbers = PictureNumbers(
        key=picture.key,
        name=picture.name,
        path=picture.path,
        offset=picture.offset,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        height_px=image.shape[0],
        width_px=image.shape[1],
        scale=shorter_side_scale(subject.placement),
        disagreement=disagreement,
        window_px=window,
        values={name: tuple(each[name] for each in values) for name in values[0]},
    )
    return MeasuredPicture(numbers, tuple(spectra))


def part_of(canvas: Bytes, placement: Placement) -> Bytes:
    """The resampled part of a target: all of it, unless the geometry pads."""
    top, left = placement.corner_px
    return canvas[top : top + placement.rows.count, left : left + placement.columns.count]


def shorter_side_scale(placement: Placement) -> float:
    """Source pixels per output pixel along the source's shorter side."""
    shorter = min(placement.rows, placement.columns, key=lambda axis: axis.source)
    return shorter.source / shorter.full


def disagreement_of(targets: Sequence[Bytes]) -> tuple[float, tuple[int, int]]:
    """How far results of one picture lie apart, and where most.

    Args:
        targets: HWC uint8, all of one shape.

    Returns:
        The standard deviation across them, mean over samples, in levels; and (top, left) of the window of 64 x 64
        pixels, or of the whole where that is smaller, in which it is largest.
    """
    sums = np.zeros(targets[0].shape, np.int32)
    squares = np.zeros(targets[0].shape, np.int32)
    for target in targets:
        wide = target.astype(np.int32)
        sums += wide
        squares += wide * wide
    # Whole numbers up to the root, so that equal results differ by exactly 0.
    variances = (len(targets) * squares - sums * sums).astype(np.float64)
    spread = (np.sqrt(variances) / len(targets)).mean(axis=2)
    height, width = (min(side, WINDOW_PX) for side in spread.shape)
    totals = cv2.integral(spread)
    inside = totals[height:, width:] - totals[:-height, width:] - totals[height:, :-width] + totals[:-height, :-width]
    top, left = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return float(spread.mean()), (int(top), int(left))


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What some work gives, and the CPU time of this thread that it took, in ms."""
    begun = time.thread_time_ns()
    result = work()
    return result, (time.thread_time_ns() - begun) / 1e6


def _resample(image: Bytes, settings: Settings, key: str) -> list[tuple[tuple[Bytes, Placement], float]]:
    """Every method's result and time, in order; who goes first, and finds cold caches, changes with the picture."""
    work = [partial(convert, image, options) for options in settings.options()]
    start = zlib.crc32(key.encode()) % len(work)
    turned = [_timed(each) for each in (*work[start:], *work[:start])]
    return turned[len(work) - start :] + turned[: len(work) - start]


def _subject(image: Bytes, settings: Settings) -> _Subject:
    height, width = image.shape[:2]
    placement = place(height, width, settings.size_px, settings.geometry, "half-up")
    ideal = low_pass(image, placement).clip(0, 255).astype(np.float32)
    neighbours = None
    if width > 1:
        neighbours = np.ascontiguousarray(image[:, :-1]), np.ascontiguousarray(image[:, 1:])
    return _Subject(
        image, image.astype(np.float32), placement, ideal, luma(ideal), *local_range(image, placement), neighbours
    )


def _judge(target: Bytes, target_luma: Floats, subject: _Subject, options: MethodOptions) -> dict[str, float]:
    """A result against the reference, and what rounding and clipping hid."""
    error = root_mean_square(part_of(target, subject.placement), subject.ideal)
    exact = unrounded(subject.source, subject.placement, find_method(options.method))
    return {
        "psnr_db": psnr_db(error),
        "ssim": ssim(target_luma, subject.ideal_luma),
        "error_levels": error,
        "overshoot_levels": overshoot_levels(exact, subject.lows, subject.highs),
        "clipped_share": clipped_share(exact),
    }


def _shift(subject: _Subject, options: MethodOptions) -> dict[str, float]:
    """The picture moved by a source pixel; a picture of one column cannot move, and differs by nothing."""
    if subject.neighbours is None:
        return {"shift_error_levels": 0.0}
    (first, placement), (second, _) = (convert(image, options) for image in subject.neighbours)
    step_px = placement.columns.full / placement.columns.source
    moved = shifted(part_of(first, placement).astype(np.float32), step_px)
    columns = placement.columns.count
    margin = min(MARGIN_PX + math.ceil(step_px), (columns - 1) // 2)
    inside = np.s_[:, margin : columns - margin]
    return {"shift_error_levels": root_mean_square(moved[inside], part_of(second, placement)[inside])}


def _stored(target: Bytes, subject: _Subject, options: MethodOptions) -> dict[str, float]:
    """What a JPEG costs, in bytes, levels and time."""
    encoded, encode_ms = _timed(
        lambda: codec.encode(target, encoding="jpg", quality=options.quality, subsampling=options.subsampling)
    )
    decoded = codec.decode(encoded)
    part = part_of(decoded, subject.placement)
    return {
        "jpeg_bytes": float(len(encoded)),
        "jpeg_error_levels": root_mean_square(part, part_of(target, subject.placement)),
        "stored_error_levels": root_mean_square(part, subject.ideal),
        "encode_ms": encode_ms,
    }
