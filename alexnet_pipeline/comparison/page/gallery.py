"""A comparison in, the pictures that a page shows out: test patterns, and crops of photos where methods disagree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.measure.picture import WINDOW_PX
from alexnet_pipeline.comparison.records import Comparison, PictureNumbers
from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels.codec import decode
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.records import Geometry, MethodOptions

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Samples = Callable[[PictureNumbers], Sequence[Bytes]]
"""One picture's finished samples, HWC uint8 RGB, one a method in the comparison's order."""

# Photos shown.
PHOTOS = 6
# Side of the overview beside a window.
WHOLE_PX = 128
# Target side of the test patterns.
PATTERN_PX = 256
# Contrast about the middle grey, which leaves room for overshoot.
MIDDLE, AMPLITUDE = 127.5, 110.0
# Distance from circle to circle in source pixels: from the centre out, ever closer. Width of each line.
CIRCLE_STEPS_PX, CIRCLE_LINE_PX = (26.0, 3.2), 1.2
# What a difference map's scale may end at, and the share of differences that must lie within.
SCALES_LEVELS, WITHIN = (2, 4, 8, 16, 32, 64, 128, 255), 0.9
# Of difference maps: more than the first method, less; readable on white and on black, and to colour-blind eyes.
MORE_RGB, LESS_RGB = (230, 110, 0), (30, 136, 220)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One picture as every method makes it.

    Attributes:
        title: what it is.
        name: where it comes from: a file's name, which may hold anything; empty for a pattern.
        pictures: (method, HWC uint8 RGB), all of one size, the reference first.
        whole: the first method's whole target, HWC uint8 RGB, small; None for a pattern.
        window: (left, top, width, height) of the pictures within the whole, as shares of its sides.
    """

    title: str
    name: str
    pictures: tuple[tuple[str, Bytes], ...]
    whole: Bytes | None = None
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Gallery:
    """What a page shows beside numbers.

    Attributes:
        patterns: test patterns; none for finished shards.
        photos: crops, by descending disagreement.
        notes: why a photo had to be left out, one line each.
    """

    patterns: tuple[Exhibit, ...] = ()
    photos: tuple[Exhibit, ...] = ()
    notes: tuple[str, ...] = ()


def gallery_of(comparison: Comparison, samples: Samples | None = None) -> Gallery:
    """The pictures for a comparison's page.

    Args:
        comparison: of either kind.
        samples: reads one picture's finished samples; needed for finished shards, which have no raw pictures and
            without it no photos.
    """
    raw = comparison.kind == "methods"
    read = samples or (_converter(comparison) if raw else None)
    if read is None:
        return Gallery()
    found, notes = [], []
    most = sorted(comparison.pictures, key=lambda picture: (-picture.disagreement, picture.key))
    for picture in most[:PHOTOS]:
        try:
            found.append(_photo(comparison, picture, read(picture)))
        except (OSError, RejectedImageError) as error:
            notes.append(f"{picture.name} is left out: {error}")
    return Gallery(_patterns(comparison) if raw else (), tuple(found), tuple(notes))


def zone_plate(side: int) -> Bytes:
    """Rings whose frequency along each axis grows from 0 at the centre to 1/2 cycle per pixel at the sides.

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


def difference_map(first: Bytes, other: Bytes, scale_levels: int) -> Bytes:
    """Where a picture has more or less than the first, mean over R, G and B.

    Returns:
        (height, width, 4) uint8: the sign as a colour, and the size as its opacity, whole from the scale on.
    """
    signed = signed_levels(first, other)
    colours = np.where(signed[..., None] > 0, np.array(MORE_RGB), np.array(LESS_RGB))
    opacity = np.minimum(np.abs(signed) / scale_levels, 1.0) * 255
    return np.asarray(np.rint(np.concatenate([colours, opacity[..., None]], axis=2)), np.uint8)


def signed_levels(first: Bytes, other: Bytes) -> Floats:
    """The other minus the first, mean over channels: (height, width), in levels."""
    return np.asarray((other.astype(np.float64) - first).mean(axis=2))


def scale_of(photos: Sequence[Exhibit]) -> int:
    """The least of `SCALES_LEVELS` that holds most differences from each photo's first method."""
    differences = [
        np.abs(signed_levels(photo.pictures[0][1], other)).ravel()
        for photo in photos
        for _, other in photo.pictures[1:]
    ]
    most = float(np.quantile(np.concatenate(differences), WITHIN)) if differences else 0.0
    return next(levels for levels in SCALES_LEVELS if levels >= most)


def _patterns(comparison: Comparison) -> tuple[Exhibit, ...]:
    side = round(PATTERN_PX * comparison.scales[0])
    return tuple(
        Exhibit(
            title,
            "",
            tuple(
                (method.name, convert(source, MethodOptions(method=method.name, size_px=PATTERN_PX))[0])
                for method in comparison.methods
            ),
        )
        for title, source in [("Zone plate", zone_plate(side)), ("Circles", circles(side))]
    )


def _converter(comparison: Comparison) -> Samples:
    """Reads, decodes and converts by every method."""
    geometry = cast(Geometry, comparison.geometry)
    options = [
        MethodOptions(method=method.name, size_px=comparison.size_px, geometry=geometry)
        for method in comparison.methods
    ]

    def samples(picture: PictureNumbers) -> list[Bytes]:
        with Path(picture.path).open("rb") as handle:
            handle.seek(picture.offset)
            image = decode(handle.read(picture.size_bytes))
        return [convert(image, one)[0] for one in options]

    return samples


def _photo(comparison: Comparison, picture: PictureNumbers, samples: Sequence[Bytes]) -> Exhibit:
    top, left = picture.window_px
    height, width = samples[0].shape[:2]
    shrunk = WHOLE_PX / max(height, width)
    small = (max(1, round(width * shrunk)), max(1, round(height * shrunk)))
    return Exhibit(
        title=f"{picture.width_px} x {picture.height_px} px, scale {picture.scale:.3g}",
        name=picture.name,
        pictures=tuple(
            (method.name, np.ascontiguousarray(sample[top : top + WINDOW_PX, left : left + WINDOW_PX]))
            for method, sample in zip(comparison.methods, samples, strict=True)
        ),
        whole=np.asarray(cv2.resize(samples[0], small, interpolation=cv2.INTER_AREA), np.uint8),
        window=(left / width, top / height, min(WINDOW_PX / width, 1), min(WINDOW_PX / height, 1)),
    )


def _grey(wave: Floats) -> Bytes:
    """A wave in [-1, 1] as a grey picture."""
    plane = np.rint(MIDDLE + AMPLITUDE * wave).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(plane[..., None], 3, axis=2))
