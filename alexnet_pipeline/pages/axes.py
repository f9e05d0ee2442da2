"""Axes of charts: from a range of values to ticks and positions, and the axes as parts of an SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.text import html_text, with_minus

Floats = NDArray[np.float64]

# Space between the outermost values and the ends of a roomy axis, as a share of the values' range.
ROOM = 0.08
# Distance of the ticks' values, and of what they show, below an axis.
TICK_PX, TITLE_PX = 18, 35
# Steps of an axis within a power of ten.
STEPS = (1, 2, 5, 10)
# Ticks of a logarithmic axis within a power of ten, densest first, and the most ticks.
LOG_STEPS, MOST_TICKS = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)), 8
# An axis is logarithmic where a quarter of the values would lie within this share of a linear one from 0.
CROWDED = 0.15

# Ranges within which steps are neither 0 nor infinite; others occur in damaged files.
LEAST, MOST = 1e-300, 1e300


@dataclass(frozen=True, slots=True)
class ChartAxis:
    """How values become positions along a chart, from `low` to `high`; `ticks` are the values with a label."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, values: Floats) -> Floats:
        """The positions of values, from 0 at the beginning to 1 at the end."""
        low, high = self.low, self.high
        if self.log:
            low, high, values = math.log(low), math.log(high), np.log(values)
        return np.asarray((values - low) / (high - low), np.float64)

    def at(self, value: float) -> float:
        """The position of one value."""
        return float(self.share(np.array([value]))[0])


def linear_axis(high: float, *, low: float = 0.0, ends_on_tick: bool = True) -> ChartAxis:
    """An axis that begins at a tick, by default 0, with 4 to 6 steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    span = span if LEAST < span < MOST else 1.0
    unit = 10.0 ** math.floor(math.log10(span / 5))
    step = next(unit * factor for factor in STEPS if unit * factor * 5 >= span * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    end = low + span
    last = math.ceil(end / step - 1e-9) if ends_on_tick else math.floor(end / step + 1e-9)
    ticks = tuple(step * i for i in range(first, last + 1))
    return ChartAxis(ticks[0], ticks[-1] if ends_on_tick else end, ticks)


def roomy_axis(values: Sequence[float], room_share: float = ROOM) -> ChartAxis:
    """An axis with some space beyond the values at either end, as a share of their range."""
    low, high = min(values), max(values)
    room = room_share * (high - low) if high > low else 0.5 * abs(high) or 1.0
    low, high = low - room, high + room
    ticks = linear_axis(high, low=low).ticks
    return ChartAxis(low, high, tuple(tick for tick in ticks if low <= tick <= high))


def log_axis(low: float, high: float) -> ChartAxis:
    """A logarithmic axis between two round ticks: the densest of `LOG_STEPS` that are not too many.

    Args:
        low: smallest value, above 0.
        high: largest value.
    """
    low, high = (min(max(value, LEAST), MOST) for value in (low, high))
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in LOG_STEPS:
        steps = [10.0**power * factor for power in range(first, last + 1) for factor in factors]
        below = max(value for value in steps if value <= low * (1 + 1e-9))
        above = min(value for value in steps if value >= high * (1 - 1e-9) and value > below)
        ticks = [value for value in steps if below <= value <= above]
        if len(ticks) <= MOST_TICKS:
            break
    return ChartAxis(below, above, tuple(ticks[:: -(-len(ticks) // MOST_TICKS)]), log=True)


def fitting_axis(values: Floats) -> ChartAxis:
    """The axis on which values can be told apart: linear from 0, or logarithmic where a linear one would crowd them.

    A learning rate that falls by a constant amount is drawn on a linear axis, one that falls by factors on a
    logarithmic one.

    Args:
        values: (n,), n > 0.
    """
    low, high = float(values.min()), float(values.max())
    if low > 0 and float(np.quantile(values, 0.25)) < CROWDED * high:
        return log_axis(low, high)
    return linear_axis(high)


def y_axis(axis: ChartAxis, height_px: int, text: Callable[[float], str]) -> list[str]:
    """Horizontal grid lines at the ticks, with their values to the left."""
    heights = height_px * (1 - axis.share(np.array(axis.ticks)))
    return [
        f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" text-anchor="end" x="-8" y="{y:.1f}" dy=".35em">{html_text(text(value))}</text>'
        for value, y in zip(axis.ticks, heights, strict=True)
    ]


def x_axis(axis: ChartAxis, height_px: int, unit: str) -> list[str]:
    """The base line with its ticks, their values below, and below those what they show."""
    names = [f"{value:,.10g}" for value in axis.ticks]
    places = [f"{100 * share:.2f}%" for share in axis.share(np.array(axis.ticks))]
    parts = [
        f'<line class="base" x1="{x}" x2="{x}" y1="{height_px}" y2="{height_px + 4}"/>'
        f'<text class="tick" text-anchor="middle" x="{x}" y="{height_px + TICK_PX}">{name}</text>'
        for name, x in zip(names, places, strict=True)
    ]
    parts.append(f'<line class="base" x1="0" x2="100%" y1="{height_px}" y2="{height_px}"/>')
    parts.append(f'<text class="axis" text-anchor="middle" x="50%" y="{height_px + TITLE_PX}">{html_text(unit)}</text>')
    return parts


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot at a fixed position: size of its type, and space for names to its right, in the SVG's units."""

    left: float
    top: float
    width: float
    height: float
    type_size: float
    spare: float


def framed_axes(
    across: ChartAxis,
    upward: ChartAxis,
    frame: Frame,
    names: tuple[str, str],
    across_text: Callable[[float], str],
    upward_text: Callable[[float], str],
) -> list[str]:
    """Grid lines with their values, the lines of the two axes, and what they show."""
    size, left, top = frame.type_size, frame.left, frame.top
    right, bottom = left + frame.width, top + frame.height
    parts = []
    for value in upward.ticks:
        y = bottom - frame.height * upward.at(value)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text_at("tick", "end", left - 0.6 * size, y + 0.35 * size, with_minus(upward_text(value))))
    for value in across.ticks:
        x = left + frame.width * across.at(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(text_at("tick", "middle", x, bottom + 1.5 * size, across_text(value)))
    aside, middle = left - 3.1 * size, top + frame.height / 2
    return [
        *parts,
        f'<path class="base" fill="none" d="M{left:.1f},{top:.1f}V{bottom:.1f}H{right:.1f}"/>',
        text_at("axis", "middle", left + frame.width / 2, bottom + 3 * size, names[0]),
        f'<g transform="rotate(-90 {aside:.1f} {middle:.1f})">',
        text_at("axis", "middle", aside, middle, names[1]),
        "</g>",
    ]


def text_at(style: str, anchor: str, x: float, y: float, words: str) -> str:
    """A text at a position."""
    return f'<text class="{style}" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{words}</text>'
