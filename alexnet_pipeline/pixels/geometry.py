"""How an image of any size is placed on the output: the scale of each axis, and the part that is kept."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.records import Geometry, Reason, Rounding

DEFINITIONS: dict[Geometry, str] = {
    "center-crop": "shorter side to the size, then the central square",
    "squash": "both sides to the size, aspect lost",
    "shorter": "shorter side to the size, the rest kept",
    "pad": "longer side to the size, centred on black",
}
# libjpeg's limit on either side (JPEG_MAX_DIMENSION); beyond it, `shorter` could not write a JPEG.
MAX_SIDE_PX = 65_500


@dataclass(frozen=True, slots=True)
class Axis:
    """How one axis is resampled: `source` samples to `full`, of which `count` from `start` on are kept."""

    source: int
    full: int
    start: int
    count: int

    @property
    def enlarges(self) -> bool:
        """Whether the axis is upsampled."""
        return self.full > self.source


@dataclass(frozen=True, slots=True)
class Placement:
    """How an image is scaled and placed on the output.

    Attributes:
        rows: the vertical axis.
        columns: the horizontal axis.
        canvas_px: (height, width) of the output.
        corner_px: (top, left) of the resampled part on the canvas.
    """

    rows: Axis
    columns: Axis
    canvas_px: tuple[int, int]
    corner_px: tuple[int, int]

    @property
    def upsampled(self) -> bool:
        """Whether any axis is enlarged."""
        return self.rows.enlarges or self.columns.enlarges


@functools.lru_cache(maxsize=64)  # every method asks for the same placement
def place(height: int, width: int, size_px: int, geometry: Geometry, rounding: Rounding) -> Placement:
    """The placement of an image of (height, width).

    Raises:
        RejectedImageError: too_large, if `shorter` would make a side longer than JPEG allows.
    """
    if geometry == "squash":
        full = (size_px, size_px)
    else:
        anchor = max(height, width) if geometry == "pad" else min(height, width)
        full = (_scaled(height, size_px, anchor, rounding), _scaled(width, size_px, anchor, rounding))
    if geometry == "center-crop":
        starts = tuple(_crop_start(side - size_px, rounding) for side in full)
        axes = [
            Axis(source, side, start, size_px)
            for source, side, start in zip((height, width), full, starts, strict=True)
        ]
        return Placement(axes[0], axes[1], (size_px, size_px), (0, 0))
    canvas = (size_px, size_px) if geometry == "pad" else full
    if max(canvas) > MAX_SIDE_PX:
        raise RejectedImageError(Reason.TOO_LARGE, f"{height}x{width} would become {full[0]}x{full[1]}")
    corner = ((canvas[0] - full[0]) // 2, (canvas[1] - full[1]) // 2)
    return Placement(Axis(height, full[0], 0, full[0]), Axis(width, full[1], 0, full[1]), canvas, corner)


def on_canvas(part: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """Put the resampled part (HWC uint8) on the placement's canvas, which is black around it."""
    if part.shape[:2] == placement.canvas_px:
        return part
    canvas = np.zeros((*placement.canvas_px, 3), np.uint8)
    top, left = placement.corner_px
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


def _scaled(side: int, size_px: int, anchor: int, rounding: Rounding) -> int:
    """Length of a side when the anchor side becomes `size_px`, in integers, to avoid floating-point rounding."""
    if rounding == "truncate":
        return max(1, side * size_px // anchor)
    return max(1, (2 * side * size_px + anchor) // (2 * anchor))


def _crop_start(excess_px: int, rounding: Rounding) -> int:
    # torchvision's center_crop: int(round(excess / 2)), which rounds halves to even.
    return round(excess_px / 2) if rounding == "truncate" else excess_px // 2
