"""Measures what every method does to one raw image, and the spectrum of each result."""

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

from alexnet_pipeline.comparison.measure.reference import low_pass, shifted
from alexnet_pipeline.comparison.measure.ringing import clipped_share, local_range, overshoot_levels, unrounded
from alexnet_pipeline.comparison.measure.similarity import luma, psnr_db, root_mean_square, ssim
from alexnet_pipeline.comparison.measure.spectrum import radial_power
from alexnet_pipeline.comparison.records import ImageResult
from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.pixels.geometry import Placement, place
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.raw.read import read_image
from alexnet_pipeline.records import Conversion, RawImage, Reject

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Result = TypeVar("Result")

# Side of the window in which disagreement is looked for, in output pixels.
WINDOW_PX = 64
# Columns next to the left and right border, in output pixels, where interpolation depends on what lies beyond.
MARGIN_PX = 16
# Of the grey image that is measured before the first, so that no image's times include the loading of code.
WARM_UP_SHAPE = (48, 64, 3)


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """The metrics of one image, and the radial power of luma for each method."""

    result: ImageResult
    spectra: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class _Subject:
    """One image, and what the results of all methods on it are compared with.

    Attributes:
        image: decoded, HWC uint8.
        placement: of the output.
        ideal: the ideal low-pass of the placement's part, computed in float64, clipped, kept as float32.
        ideal_luma: its luma.
        extremes: smallest and largest source value around each output pixel.
    """

    image: Bytes
    placement: Placement
    ideal: Floats
    ideal_luma: Floats
    extremes: tuple[Floats, Floats]


def image_measurer(conversions: Sequence[Conversion]) -> Callable[[RawImage], MeasuredImage | Reject]:
    """A function that measures an image from its file; the compiled code of every method is loaded first."""
    data = codec.encode(np.full(WARM_UP_SHAPE, 128, np.uint8), conversions[0])
    measure(RawImage("", 0, "", "", "", 0, len(data), 0), data, conversions)

    def measure_file(raw: RawImage) -> MeasuredImage | Reject:
        try:
            return measure(raw, read_image(raw), conversions)
        except RejectedImageError as error:
            return Reject(raw.name, str(error.reason), error.detail)

    return measure_file


def measure(raw: RawImage, data: bytes, conversions: Sequence[Conversion]) -> MeasuredImage:
    """Measure what every method does to one image.

    Args:
        raw: where the image lies.
        data: its bytes.
        conversions: one per method, alike in all else.

    Raises:
        RejectedImageError: the image cannot be decoded, or an output would be too large.
    """
    image, decode_ms = _timed(partial(codec.decode, data))
    resampled = _resample(image, conversions, raw.key)
    placement = place(*image.shape[:2], conversions[0].size_px, conversions[0].geometry, conversions[0].rounding)
    ideal = low_pass(image, placement).clip(0, 255).astype(np.float32)
    subject = _Subject(image, placement, ideal, luma(ideal), local_range(image, placement))
    values = [
        _quality(output, subject, conversion)
        | _stored(output, subject, conversion)
        | {"decode_ms": decode_ms, "resample_ms": resample_ms}
        for conversion, (output, resample_ms) in zip(conversions, resampled, strict=True)
    ]
    outputs = [output for output, _ in resampled]
    parts = [part_of(output, placement) for output in outputs]
    return assemble(raw, data, placement, outputs, parts, values)


def assemble(
    raw: RawImage,
    data: bytes,
    placement: Placement,
    outputs: Sequence[Bytes],
    parts: Sequence[Bytes],
    values: Sequence[dict[str, float]],
) -> MeasuredImage:
    """Join what is known of an image; spectra are measured on the parts of the outputs."""
    disagreement, window_px = disagreement_of(outputs)
    shorter = min(placement.rows, placement.columns, key=lambda axis: axis.source)
    result = ImageResult(
        key=raw.key,
        name=raw.name,
        path=raw.path,
        offset=raw.offset,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        height_px=placement.rows.source,
        width_px=placement.columns.source,
        scale=shorter.source / shorter.full,
        disagreement=disagreement,
        window_px=window_px,
        values={metric: tuple(method[metric] for method in values) for metric in values[0]},
    )
    return MeasuredImage(result, tuple(tuple(radial_power(luma(part)).tolist()) for part in parts))


def part_of(canvas: Bytes, placement: Placement) -> Bytes:
    """The resampled part of an output: all of it, unless the geometry pads."""
    top, left = placement.corner_px
    return canvas[top : top + placement.rows.count, left : left + placement.columns.count]


def disagreement_of(outputs: Sequence[Bytes]) -> tuple[float, tuple[int, int]]:
    """How much several results on one image differ, and where most.

    Args:
        outputs: HWC uint8, all of one shape.

    Returns:
        The standard deviation across them, mean over all values, in levels; and (top, left) of the window of 64 x 64
        pixels, or of the whole where that is smaller, in which it is largest.
    """
    # Integers up to the root, so that equal results differ by exactly 0.
    sums = np.sum(outputs, axis=0, dtype=np.int32)
    squares = sum(np.square(output, dtype=np.int32) for output in outputs)
    spread = (np.sqrt(len(outputs) * squares - sums * sums) / len(outputs)).mean(axis=2)
    height, width = (min(side, WINDOW_PX) for side in spread.shape)
    totals = cv2.integral(spread)
    inside = totals[height:, width:] - totals[:-height, width:] - totals[height:, :-width] + totals[:-height, :-width]
    top, left = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return float(spread.mean()), (int(top), int(left))


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of some work, and the CPU time of this thread that it took, in ms."""
    begun = time.thread_time_ns()
    result = work()
    return result, (time.thread_time_ns() - begun) / 1e6


def _resample(image: Bytes, conversions: Sequence[Conversion], key: str) -> list[tuple[Bytes, float]]:
    """The output of each method and its time, in order; which runs first, with cold caches, varies with the image."""
    work = [partial(convert, image, conversion) for conversion in conversions]
    start = zlib.crc32(key.encode()) % len(work)
    turned = [(output, time_ms) for (output, _), time_ms in map(_timed, (*work[start:], *work[:start]))]
    return turned[len(work) - start :] + turned[: len(work) - start]


def _quality(output: Bytes, subject: _Subject, conversion: Conversion) -> dict[str, float]:
    """Metrics of a result against the ideal low-pass, of a shift, and of ringing before rounding and clipping."""
    part = part_of(output, subject.placement)
    error = root_mean_square(part, subject.ideal)
    exact = unrounded(subject.image, subject.placement, find_method(conversion.method))
    return {
        "psnr_db": psnr_db(error),
        "ssim": ssim(luma(part), subject.ideal_luma),
        "error_levels": error,
        "shift_error_levels": _shift_error(subject, conversion),
        "overshoot_levels": overshoot_levels(exact, *subject.extremes),
        "clipped_share": clipped_share(exact),
    }


def _shift_error(subject: _Subject, conversion: Conversion) -> float:
    """The effect of moving the image by a source pixel; an image of one column cannot move and has no error."""
    if subject.image.shape[1] == 1:
        return 0.0
    (first, placement), (second, _) = (
        convert(np.ascontiguousarray(image), conversion) for image in (subject.image[:, :-1], subject.image[:, 1:])
    )
    step_px = placement.columns.full / placement.columns.source
    moved = shifted(part_of(first, placement).astype(np.float32), step_px)
    columns = placement.columns.count
    margin = min(MARGIN_PX + math.ceil(step_px), (columns - 1) // 2)
    inside = np.s_[:, margin : columns - margin]
    return root_mean_square(moved[inside], part_of(second, placement)[inside])


def _stored(output: Bytes, subject: _Subject, conversion: Conversion) -> dict[str, float]:
    """What storing a result as a JPEG costs, in bytes, levels and time."""
    encoded, encode_ms = _timed(partial(codec.encode, output, conversion))
    part = part_of(codec.decode(encoded), subject.placement)
    return {
        "jpeg_bytes": float(len(encoded)),
        "jpeg_error_levels": root_mean_square(part, part_of(output, subject.placement)),
        "stored_error_levels": root_mean_square(part, subject.ideal),
        "encode_ms": encode_ms,
    }
