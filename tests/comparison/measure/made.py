"""Images and reference operators that tests of several metrics share."""

import numpy as np

from alexnet_pipeline.pixels.geometry import Placement, place
from alexnet_pipeline.records import Geometry

METHODS = ("nearest", "bilinear", "area", "bilinear-aa", "bicubic", "lanczos", "antialias")
SHAPES = [(90, 130), (130, 77), (40, 50)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """White noise: all frequencies."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def placed(height: int, width: int, geometry: Geometry = "center-crop") -> Placement:
    """A placement of 64 pixels."""
    return place(height, width, 64, geometry, "half-up")


def cosines(length: int, positions: np.ndarray, count: int) -> np.ndarray:
    """(positions, count): cosine k of a mirrored axis at any position, scaled to go back from DCT-II."""
    k = np.arange(count)
    return np.cos(np.pi * k * (2 * positions[:, None] + 1) / (2 * length)) * np.where(k == 0, 1, 2) / length
