"""The images of the embedded sample: a figure or a pattern on pink noise, drawn by label, index and seed.

An image is drawn in the planes that a JPEG stores (luma and two chromas), so that contrast and colour are chosen
separately, and a greyscale image is the luma alone. The patterns of the periodic classes run from coarse to about two
pixels per period: the coarse end shows the class after any downsampling, the fine end shows what the method does with
frequencies that 256 pixels cannot hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Colour = tuple[float, float, float]
"""Luma in 0..255 and the chromas Cb and Cr in -128..127, of full-range BT.601 as in JFIF."""
Pattern = Callable[[Plane, Plane, float, np.random.Generator], tuple[Plane, Plane]]
"""Draws a figure, given offsets from its centre, x as a row and y as a column, and a radius, all in pixels. Returns its
coverage and tone (0 is the first ink, 1 the second), both (height, width) in [0, 1]."""

SPLITS = ("train", "val")
ASPECTS = ((4, 3), (3, 4), (3, 2), (2, 3), (1, 1))
"""Width to height; ImageNet's most frequent ones."""
ASPECT_SHARES = (0.50, 0.16, 0.18, 0.06, 0.10)
SMALL_SHARE = 0.10
"""Share of images with a short side below 256 px, as in ImageNet."""
COMMON_SHARE = 0.60
"""Share of images with the long side that photo sites served, as most images of ImageNet have."""
COMMON_LONG_PX = 500
SHORT_PX = (190, 256, 600)
"""The smallest short side, the first that does not count as small, and the largest."""
GREY_SHARE = 0.02
OCTAVES = 8
"""Octaves of the noise, whose coarsest cells are 2**7 px wide."""
FINE_PERIOD_PX = (2.1, 2.9)
"""Period at the fine end of a periodic pattern: above the source's Nyquist limit of 2 px, and below that of
256 px for all but the smallest images (500x375 reaches it at 2.9 px)."""
COARSE_PERIOD_PX = (18.0, 36.0)
CHIRP_SPAN = 1.5
"""Length in radii over which a pattern, two radii wide, gets finer; the rest stays fine."""
DOT_PITCH_PX = (14.0, 30.0)
SHADOW_SHRINK = 8
"""A shadow is blurred at an eighth of its size, because it has no fine detail."""


def render(label: int, index: int, split: str, seed: int) -> NDArray[np.uint8]:
    """Draw one image: the same arguments give the same pixels, whatever else is drawn.

    Args:
        label: index into `PATTERNS`.
        index: index of the image in its split, from 0.
        split: one of `SPLITS`.
        seed: not negative.

    Returns:
        (height, width, 3) RGB, or (height, width, 1) for the few greyscale images; uint8 in [0, 255].
    """
    rng = np.random.Generator(np.random.PCG64([seed, SPLITS.index(split), index]))
    height, width = _draw_size(rng)
    is_grey = rng.random() < GREY_SHARE
    planes, ground = _draw_ground(height, width, rng)
    _draw_figure(planes, ground, PATTERNS[label][1], rng)
    return _to_pixels(planes[:1] if is_grey else planes)


def _draw_size(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width in pixels, distributed roughly as ImageNet's."""
    wide, high = ASPECTS[rng.choice(len(ASPECTS), p=ASPECT_SHARES)]
    least, small, greatest = SHORT_PX
    kind = rng.random()
    if kind < SMALL_SHARE:
        short = int(rng.integers(least, small))
    elif kind < SMALL_SHARE + COMMON_SHARE:
        short = round(COMMON_LONG_PX * min(wide, high) / max(wide, high))
    else:
        short = int(rng.integers(small, greatest + 1))
    scale = short / min(wide, high)
    return round(high * scale), round(wide * scale)


def _draw_ground(height: int, width: int, rng: np.random.Generator) -> tuple[list[Plane], Colour]:
    """Two colours that meet along the contours of a noise field, like land and water; and their mean."""
    relief = _pink_noise(height, width, rng)
    steepness = 0.25 * 2 ** rng.uniform(0.0, 3.0)
    cover = np.clip(relief * np.float32(steepness) + np.float32(0.5), 0, 1)
    hue = rng.uniform(0, 2 * math.pi)
    luma = rng.uniform(60, 185)
    low = _colour(luma - rng.uniform(5, 30), hue, rng.uniform(5, 40))
    high = _colour(luma + rng.uniform(5, 30), hue + rng.uniform(-1.6, 1.6), rng.uniform(5, 40))
    planes = [cover * np.float32(b - a) + np.float32(a) for a, b in zip(low, high, strict=True)]
    planes[0] += relief * np.float32(rng.uniform(8, 20))
    mean = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    return planes, cast(Colour, mean)


def _pink_noise(height: int, width: int, rng: np.random.Generator) -> Plane:
    """Noise of amplitude 1/f to 1/f**1.5, mean 0, deviation 1: octaves added while they are enlarged."""
    persistence = rng.uniform(0.7, 1.0)
    field = np.zeros((1, 1), np.float32)
    for octave in range(OCTAVES):
        cell_px = 2 ** (OCTAVES - 1 - octave)
        rows, columns = -(-height // cell_px), -(-width // cell_px)
        noise = rng.integers(-127, 128, (rows, columns), np.int8).astype(np.float32)
        enlarged = _enlarge(field, rows, columns)
        field = cast(Plane, cv2.scaleAdd(noise, persistence**octave, enlarged))
    mean, deviation = cv2.meanStdDev(field)
    field -= np.float32(mean.item())
    field *= np.float32(1 / deviation.item())
    return field


def _enlarge(plane: Plane, height: int, width: int) -> Plane:
    return cast(Plane, cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC))


def _colour(luma: float, hue: float, chroma: float) -> Colour:
    """Polar to rectangular chroma; hue in radians."""
    return luma, chroma * math.cos(hue), chroma * math.sin(hue)


def _draw_figure(planes: list[Plane], ground: Colour, pattern: Pattern, rng: np.random.Generator) -> None:
    """Lay the figure and its shadow on the ground, within the central square that a centre crop keeps."""
    height, width = planes[0].shape
    short = min(height, width)
    radius = short * rng.uniform(0.24, 0.44)
    roam = 0.5 * short - 0.85 * radius
    centre_y = height / 2 + rng.uniform(-roam, roam)
    centre_x = width / 2 + rng.uniform(-roam, roam)
    top, bottom = _extent(centre_y, 1.3 * radius, height)
    left, right = _extent(centre_x, 1.3 * radius, width)
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(centre_x)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre_y)
    coverage, tone = pattern(x, y, radius, rng)
    first, second = _draw_inks(ground, rng)
    windows = [plane[top:bottom, left:right] for plane in planes]
    windows[0] *= 1 - _shadow(coverage, radius, rng)
    coverage *= np.float32(rng.uniform(0.8, 1.0))
    for window, a, b in zip(windows, first, second, strict=True):
        ink = tone * np.float32(b - a)
        ink += np.float32(a)
        ink -= window
        ink *= coverage
        window[:] += ink


def _extent(centre: float, reach: float, length: int) -> tuple[int, int]:
    """First and past-the-last pixel of an interval, clipped to the image."""
    return max(0, math.floor(centre - reach)), min(length, math.ceil(centre + reach) + 1)


def _draw_inks(ground: Colour, rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Two colours: the first stands out from the ground, the second from the first."""
    luma, cb, cr = ground
    away = 1 if luma + rng.uniform(-40, 40) < 128 else -1
    hue = math.atan2(cr, cb) + rng.uniform(0.6, 2 * math.pi - 0.6)
    first = min(238.0, max(18.0, luma + away * rng.uniform(45, 120)))
    second = min(238.0, max(18.0, first - away * rng.uniform(80, 190)))
    return (
        _colour(first, hue, rng.uniform(10, 65)),
        _colour(second, hue + rng.uniform(-1.5, 1.5), rng.uniform(5, 45)),
    )


def _shadow(coverage: Plane, radius: float, rng: np.random.Generator) -> Plane:
    """The share of light that the figure takes from the ground, in [0, 1]: its coverage, blurred and shifted."""
    height, width = coverage.shape
    small = cv2.resize(coverage, (width // SHADOW_SHRINK, height // SHADOW_SHRINK), interpolation=cv2.INTER_AREA)
    sigma = 0.06 * radius / SHADOW_SHRINK
    move_px = rng.uniform(-0.12, 0.12, 2) * radius / SHADOW_SHRINK
    matrix = np.array([[1, 0, move_px[0]], [0, 1, move_px[1]]])
    blurred = cv2.warpAffine(cv2.GaussianBlur(small, (0, 0), sigma), matrix, (small.shape[1], small.shape[0]))
    return _enlarge(cast(Plane, blurred), height, width) * np.float32(rng.uniform(0.2, 0.55))


def _to_pixels(planes: list[Plane]) -> NDArray[np.uint8]:
    """Luma alone to one channel, or all three planes to RGB, rounded and clipped to uint8."""
    if len(planes) == 1:
        return np.rint(planes[0]).clip(0, 255).astype(np.uint8)[:, :, None]
    luma, cb, cr = planes
    merged = cv2.merge([luma, cr + np.float32(128), cb + np.float32(128)])
    # Rounding to uint8 before the conversion is what a JPEG does, and four times as fast as after it.
    return cast(NDArray[np.uint8], cv2.cvtColor(cv2.convertScaleAbs(merged), cv2.COLOR_YCrCb2RGB))


def _disc(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    return _filled(np.float32(0.9 * radius) - _distance(x, y), x, y, radius, rng)


def _ring(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    half_width = radius * rng.uniform(0.09, 0.2)
    middle = 0.95 * radius - half_width
    return _filled(np.float32(half_width) - np.abs(_distance(x, y) - np.float32(middle)), x, y, radius, rng)


def _triangle(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    turn = rng.uniform(-0.4, 0.4)
    sides = [_across(x, y, turn + math.pi * (0.5 + 2 * side / 3)) for side in range(3)]
    inside = np.float32(0.55 * radius) - np.maximum(np.maximum(sides[0], sides[1]), sides[2])
    return _filled(inside, x, y, radius, rng)


def _cross(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    turn = rng.uniform(-0.35, 0.35)
    across, down = np.abs(_across(x, y, turn)), np.abs(_across(x, y, turn + math.pi / 2))
    length, thickness = np.float32(radius), np.float32(radius * rng.uniform(0.16, 0.3))
    upright = np.minimum(length - down, thickness - across)
    level = np.minimum(length - across, thickness - down)
    return _filled(np.maximum(upright, level), x, y, radius, rng)


def _filled(inside_px: Plane, x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """A plain shape from the distance to its edge, in the first ink with a slope towards the second."""
    slope = rng.uniform(0.0, 0.15) / radius
    tone = _across(x, y, rng.uniform(0, 2 * math.pi)) * np.float32(slope) + np.float32(0.2)
    return _edge(inside_px), tone


def _distance(x: Plane, y: Plane) -> Plane:
    """Distance from the centre in pixels; np.hypot guards against overflow, at three times the time."""
    return np.sqrt(x * x + y * y)


def _across(x: Plane, y: Plane, angle: float) -> Plane:
    """Offset in pixels along the direction `angle` (radians, from x towards y, which points down)."""
    return x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))


def _horizontal_stripes(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    return _stripes(math.pi / 2, x, y, radius, rng)


def _vertical_stripes(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    return _stripes(0.0, x, y, radius, rng)


def _diagonal_stripes(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    return _stripes(math.pi / 4 * rng.choice((-1, 1)), x, y, radius, rng)


def _stripes(angle: float, x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    wave = _chirp(_across(x, y, angle + rng.uniform(-0.14, 0.14)), radius, rng)
    return _pane(x, y, radius, rng), wave * np.float32(0.5) + np.float32(0.5)


def _checker(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    turn = rng.uniform(-0.25, 0.25)
    product = _chirp(_across(x, y, turn), radius, rng) * _chirp(_across(x, y, turn + math.pi / 2), radius, rng)
    return _pane(x, y, radius, rng), product * np.float32(0.5) + np.float32(0.5)


def _zone_plate(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Rings whose period falls as 1/r, to the fine period at the edge."""
    distance = _distance(x, y)
    fine_px = rng.uniform(*FINE_PERIOD_PX)
    phase = distance * distance * np.float32(math.pi / (radius * fine_px))
    period_px = cast(Plane, np.float32(radius * fine_px) / np.maximum(distance, np.float32(1)))
    wave = _wave(phase + np.float32(rng.uniform(0, 2 * math.pi)), period_px)
    return _edge(np.float32(radius) - distance), wave * np.float32(0.5) + np.float32(0.5)


def _dots(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """A halftone: dots on a square lattice, growing along one direction."""
    turn = rng.uniform(0, math.pi / 2)
    pitch_px = rng.uniform(*DOT_PITCH_PX)
    wave_number = np.float32(2 * math.pi / pitch_px)
    height = np.cos(_across(x, y, turn) * wave_number) + np.cos(_across(x, y, turn + math.pi / 2) * wave_number)
    level = _across(x, y, rng.uniform(0, 2 * math.pi)) * np.float32(0.7 / radius) + np.float32(0.7)
    dots = np.clip((height - level) * np.float32(pitch_px / 8) + np.float32(0.5), 0, 1)
    return _pane(x, y, radius, rng), 1 - dots


def _chirp(offset_px: Plane, radius: float, rng: np.random.Generator) -> Plane:
    """A wave in [-1, 1] along an offset in pixels, whose frequency rises by even octaves and then stays."""
    coarse_px, fine_px = rng.uniform(*COARSE_PERIOD_PX), rng.uniform(*FINE_PERIOD_PX)
    octaves = math.log2(coarse_px / fine_px)
    span_px = CHIRP_SPAN * radius
    part = offset_px * np.float32(rng.choice((-1, 1)) / span_px) + np.float32(0.5)
    chirped = np.minimum(part, 1)
    finer = np.exp2(chirped * np.float32(octaves))
    turns = finer * np.float32(span_px / (coarse_px * octaves * math.log(2)))
    turns += (part - chirped) * np.float32(span_px / fine_px)
    phase = turns * np.float32(2 * math.pi) + np.float32(rng.uniform(0, 2 * math.pi))
    return _wave(phase, np.float32(coarse_px) / finer)


def _wave(phase: Plane, period_px: Plane) -> Plane:
    """A sine in [-1, 1], steepened to edges one pixel wide: a square wave would itself be aliased."""
    steepness = np.maximum(period_px * np.float32(1 / math.pi), np.float32(1))
    wave: Plane = np.clip(np.sin(phase) * steepness, np.float32(-1), np.float32(1))
    return wave


def _pane(x: Plane, y: Plane, radius: float, rng: np.random.Generator) -> Plane:
    """Coverage of a periodic pattern: a rotated ellipse or superellipse."""
    turn = rng.uniform(0, math.pi)
    across = np.square(_across(x, y, turn) * np.float32(1 / radius))
    down = np.square(_across(x, y, turn + math.pi / 2) * np.float32(1 / (radius * rng.uniform(0.75, 1.0))))
    if rng.random() < 0.5:
        norm = np.sqrt(across + down)
    else:
        norm = np.sqrt(np.sqrt(np.square(across) + np.square(down)))
    return _edge((1 - norm) * np.float32(radius))


def _edge(inside_px: Plane) -> Plane:
    """Coverage in [0, 1] from the distance in pixels to an edge, positive inside."""
    coverage: Plane = np.clip(inside_px + np.float32(0.5), np.float32(0), np.float32(1))
    return coverage


PATTERNS: tuple[tuple[str, Pattern], ...] = (
    ("disc", _disc),
    ("ring", _ring),
    ("horizontal stripes", _horizontal_stripes),
    ("vertical stripes", _vertical_stripes),
    ("diagonal stripes", _diagonal_stripes),
    ("checker", _checker),
    ("zone plate", _zone_plate),
    ("triangle", _triangle),
    ("cross", _cross),
    ("dots", _dots),
)
