"""The images of a report: test patterns, and crops of the photos on which methods disagree most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.measure.image import WINDOW_PX
from alexnet_pipeline.comparison.methods import ReadOutputs
from alexnet_pipeline.comparison.records import Comparison, ImageResult
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.raw.words import known_words
from alexnet_pipeline.records import Conversion

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

# Number of photos.
PHOTOS = 6
# Longer side of the overview beside a crop.
WHOLE_PX = 128
# Output side of the test patterns.
PATTERN_PX = 256
# Contrast about the middle grey, which leaves room for overshoot.
MIDDLE, AMPLITUDE = 127.5, 110.0
# Distance between circles in source pixels, at the centre and at the sides; width of each line.
CIRCLE_STEPS_PX, CIRCLE_LINE_PX = (26.0, 3.2), 1.2
# Ends of a difference map's scale that are tried, and the share of differences that must be within.
SCALES_LEVELS, WITHIN = (2, 4, 8, 16, 32, 64, 128, 255), 0.9
# Colours of difference maps, more and less than the first method: distinct on white and on black, and to colour-blind
# readers.
MORE_RGB, LESS_RGB = (230, 110, 0), (30, 136, 220)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """The outputs of every method for one image.

    Attributes:
        title: what it is.
        name: of the image's file, which may contain anything; empty for a pattern.
        outputs: (method, HWC uint8 RGB), all of one size, the reference first.
        whole: the first method's whole output, HWC uint8 RGB, small; None for a pattern.
        window: (left, top, width, height) of the outputs within the whole, as shares of its sides.
    """

    title: str
    name: str
    outputs: tuple[tuple[str, Bytes], ...]
    whole: Bytes | None = None
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Gallery:
    """The images of a report: test patterns, crops by descending disagreement, and why photos were left out."""

    patterns: tuple[Exhibit, ...] = ()
    photos: tuple[Exhibit, ...] = ()
    notes: tuple[str, ...] = ()


def gallery_of(comparison: Comparison, read: ReadOutputs) -> Gallery:
    """The images for a comparison's report; `read` gives the outputs for an image."""
    photos, notes = [], []
    most = sorted(comparison.images, key=lambda image: (-image.disagreement, image.key))
    for image in most[:PHOTOS]:
        try:
            photos.append(_photo(comparison, image, read(image)))
        except PipelineError as error:
            notes.append(f"{image.name} is left out: {error}")
    return Gallery(_patterns(comparison) if comparison.kind == "methods" else (), tuple(photos), tuple(notes))


def zone_plate(side: int) -> Bytes:
    """Rings whose frequency along each axis rises from 0 at the centre to 1/2 cycle per pixel at the sides.

    Returns:
        (side, side, 3) uint8, grey.
    """
    square = np.square(np.arange(side) - (side - 1) / 2)
    return _grey(np.cos(math.pi * (square[:, None] + square) / side))


def circles(side: int) -> Bytes:
    """Thin dark circles, ever closer from the centre out, with edges one pixel wide; (side, side, 3) uint8, grey."""
    offsets = np.arange(side) - (side - 1) / 2
    radius = np.hypot(offsets[:, None], offsets)
    wide, close = CIRCLE_STEPS_PX
    reach = side / 2
    cover = np.zeros_like(radius)
    at = wide / 2
    while at < reach - CIRCLE_LINE_PX:
        cover = np.maximum(cover, np.clip(CIRCLE_LINE_PX / 2 + 0.5 - np.abs(radius - at), 0, 1))
        at += wide * (close / wide) ** (at / reach)
    return _grey(1 - 2 * cover)


def difference_map(signed: Floats, scale_levels: int) -> Bytes:
    """An image of `signed_levels`: where an output is higher or lower than the first.

    Returns:
        (height, width, 4) uint8: the sign as a colour and the size as its opacity, which is full from the scale on.
    """
    colours = np.where(signed[..., None] > 0, np.array(MORE_RGB), np.array(LESS_RGB))
    opacity = np.minimum(np.abs(signed) / scale_levels, 1.0) * 255
    return np.asarray(np.rint(np.concatenate([colours, opacity[..., None]], axis=2)), np.uint8)


def signed_levels(first: Bytes, other: Bytes) -> Floats:
    """The other output minus the first, mean over channels: (height, width), in levels."""
    return np.asarray((other.astype(np.float64) - first).mean(axis=2))


def scale_of(photos: Sequence[Exhibit]) -> int:
    """The smallest of `SCALES_LEVELS` within which most differences from each photo's first method are."""
    differences = [
        np.abs(signed_levels(photo.outputs[0][1], other)).ravel() for photo in photos for _, other in photo.outputs[1:]
    ]
    most = float(np.quantile(np.concatenate(differences), WITHIN)) if differences else 0.0
    return next(levels for levels in SCALES_LEVELS if levels >= most)


def _patterns(comparison: Comparison) -> tuple[Exhibit, ...]:
    side = round(PATTERN_PX * comparison.scales[0])
    conversions = [Conversion(method=method.name, size_px=PATTERN_PX) for method in comparison.methods]
    return tuple(
        Exhibit(title, "", tuple((conversion.method, convert(source, conversion)[0]) for conversion in conversions))
        for title, source in [("Zone plate", zone_plate(side)), ("Circles", circles(side))]
    )


def _photo(comparison: Comparison, image: ImageResult, outputs: Sequence[Bytes]) -> Exhibit:
    top, left = image.window_px
    height, width = outputs[0].shape[:2]
    shrunk = WHOLE_PX / max(height, width)
    small = (max(1, round(width * shrunk)), max(1, round(height * shrunk)))
    words = known_words().get(image.name.partition("/")[0], "").partition(",")[0]
    size = f"{image.width_px} x {image.height_px} px, scale {image.scale:.3g}"
    return Exhibit(
        title=f"{words}, {size}" if words else size,
        name=image.name,
        outputs=tuple(
            (method.name, np.ascontiguousarray(output[top : top + WINDOW_PX, left : left + WINDOW_PX]))
            for method, output in zip(comparison.methods, outputs, strict=True)
        ),
        whole=np.asarray(cv2.resize(outputs[0], small, interpolation=cv2.INTER_AREA), np.uint8),
        window=(left / width, top / height, min(WINDOW_PX / width, 1), min(WINDOW_PX / height, 1)),
    )


def _grey(wave: Floats) -> Bytes:
    """A wave in [-1, 1] as a grey image."""
    plane = np.rint(MIDDLE + AMPLITUDE * wave).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(plane[..., None], 3, axis=2))
