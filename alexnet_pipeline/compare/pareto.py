"""Responses and times in, the chart of alias energy against pass-band kept out, as parts of an SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alexnet_pipeline.charts import Axis, roomy_axis
from alexnet_pipeline.compare.labels import Box, Mark, place_names
from alexnet_pipeline.compare.records import Comparison, MethodNumbers

Weighting = Literal["white", "natural"]

TIME_METRIC = "resample_ms"
# Of the slowest method's bubble, in lines of type; areas are as times, but none is smaller than can be seen.
LARGEST_LINES, SMALLEST_LINES = 1.05, 0.16
# Width of a letter on average, and height of a line, as shares of the size of type.
LETTER, LINE = 0.56, 1.25
# Alias energies are drawn down to here.
LEAST_DB = -60.0
BETTER = "better ↘"


@dataclass(frozen=True, slots=True)
class Point:
    """A method: share of the pass band kept, alias energy in dB, resampling time in ms (0 for unknown)."""

    name: str
    passband: float
    alias_db: float
    time_ms: float


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the plot lies, and the size of its type: all in the SVG's own units."""

    left: float
    top: float
    width: float
    height: float
    type_size: float


def points_of(comparison: Comparison, weighting: Weighting) -> list[Point]:
    """Every method that has a response at the main scale."""
    return [
        Point(
            method.name,
            getattr(method.responses[0], f"passband_{weighting}"),
            max(getattr(method.responses[0], f"alias_{weighting}_db"), LEAST_DB),
            time_of(method),
        )
        for method in comparison.methods
        if method.responses
    ]


def time_of(method: MethodNumbers) -> float:
    """Mean resampling time in ms, 0 where it was not measured."""
    return next((entry.mean for entry in method.measured if entry.metric == TIME_METRIC), 0.0)


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in one way without losing in the other, by ascending pass band."""
    best = [
        one
        for one in points
        if not any(
            other.passband >= one.passband
            and other.alias_db <= one.alias_db
            and (other.passband, other.alias_db) != (one.passband, one.alias_db)
            for other in points
        )
    ]
    return sorted(best, key=lambda point: (point.passband, point.alias_db))


def radius_of(time_ms: float, slowest_ms: float, type_size: float) -> float:
    """Of a bubble whose area is as the time."""
    share = math.sqrt(time_ms / slowest_ms) if slowest_ms > 0 else 0.5
    return type_size * max(LARGEST_LINES * share, SMALLEST_LINES)


def pareto_parts(points: Sequence[Point], frame: Frame) -> list[str]:
    """The chart's axes, front, bubbles and names, in the frame."""
    across = roomy_axis([point.passband for point in points])
    upward = roomy_axis([point.alias_db for point in points])
    parts = _axes(across, upward, frame)
    right, bottom = frame.left + frame.width, frame.top + frame.height
    parts.append(
        f'<text class="hint" text-anchor="end" x="{right - 4:.1f}" y="{bottom - 0.5 * frame.type_size:.1f}">{BETTER}</text>'
    )
    slowest = max(point.time_ms for point in points)
    marks = [
        Mark(
            x=frame.left + frame.width * _share(across, point.passband),
            y=bottom - frame.height * _share(upward, point.alias_db),
            radius=radius_of(point.time_ms, slowest, frame.type_size),
            name_width=LETTER * frame.type_size * len(point.name) + 2,
        )
        for point in points
    ]
    best = front(points)
    steps = [marks[points.index(point)] for point in best]
    parts.append(_staircase(steps))
    high = LINE * frame.type_size
    hint = Box(right - 5 * frame.type_size, bottom - 1.6 * frame.type_size, right, bottom)
    bounds = Box(frame.left + 2, frame.top - high, right + 2.5 * frame.type_size, bottom - 2)
    places = place_names(marks, high, bounds, (hint,))
    for point, mark in sorted(zip(points, marks, strict=True), key=lambda pair: -pair[1].radius):
        told = html.escape(tooltip(point))
        style = "front" if point in best else "beaten"
        parts.append(
            f'<circle class="bubble {style}" cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius:.1f}">'
            f"<title>{told}</title></circle>"
        )
    for point, mark, place in zip(points, marks, places, strict=True):
        if place.leader:
            to_x, to_y = place.leader
            away = math.dist((mark.x, mark.y), place.leader)
            x, y = mark.x + (to_x - mark.x) * mark.radius / away, mark.y + (to_y - mark.y) * mark.radius / away
            parts.append(f'<line class="leader" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>')
        box = place.box
        centre = (box.left + box.right) / 2
        anchor, at = "middle", centre
        if box.left >= mark.x:
            anchor, at = "start", box.left
        elif box.right <= mark.x:
            anchor, at = "end", box.right
        style = "front" if point in best else "beaten"
        parts.append(
            f'<text class="label {style}" text-anchor="{anchor}" x="{at:.1f}" '
            f'y="{box.bottom - 0.32 * frame.type_size:.1f}">{html.escape(point.name)}</text>'
        )
    return parts


def tooltip(point: Point) -> str:
    """A point in words."""
    time = f", {point.time_ms:.2g} ms" if point.time_ms else ""
    return f"{point.name}: alias {decibels(point.alias_db)}, pass band kept {100 * point.passband:.0f} %{time}"


def decibels(value: float) -> str:
    """With a minus sign as wide as a digit."""
    text = f"{value:.1f}"
    return f"{0.0 if text == '-0.0' else value:.1f} dB".replace("-", "−")


def _share(axis: Axis, value: float) -> float:
    return float(axis.share(np.array([value]))[0])


def _axes(across: Axis, upward: Axis, frame: Frame) -> list[str]:
    size, right, bottom = frame.type_size, frame.left + frame.width, frame.top + frame.height
    parts = []
    for value in upward.ticks:
        y = bottom - frame.height * _share(upward, value)
        number = f"{value:g}".replace("-", "−")
        parts.append(
            f'<line class="grid" x1="{frame.left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{frame.left - 0.6 * size:.1f}" y="{y + 0.35 * size:.1f}">{number}</text>'
        )
    for value in across.ticks:
        x = frame.left + frame.width * _share(across, value)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top:.1f}" y2="{bottom:.1f}"/>'
            f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{bottom + 1.5 * size:.1f}">{100 * value:.6g}</text>'
        )
    parts.append(
        f'<path class="base" fill="none" d="M{frame.left:.1f},{frame.top:.1f}V{bottom:.1f}H{right:.1f}"/>'
    )
    middle = frame.top + frame.height / 2
    aside = frame.left - 3.1 * size
    parts.append(
        f'<text class="axis" text-anchor="middle" x="{frame.left + frame.width / 2:.1f}" y="{bottom + 3 * size:.1f}">'
        "pass band kept (%)</text>"
        f'<text class="axis" text-anchor="middle" x="{aside:.1f}" y="{middle:.1f}" '
        f'transform="rotate(-90 {aside:.1f} {middle:.1f})">alias energy (dB)</text>'
    )
    return parts


def _staircase(steps: Sequence[Mark]) -> str:
    """The border of what is reached: to each method of the front from the last, first in alias energy, then in pass band."""
    if len(steps) < 2:
        return ""
    path = f"M{steps[0].x:.1f},{steps[0].y:.1f}"
    for before, after in zip(steps, steps[1:], strict=False):
        path += f"L{before.x:.1f},{after.y:.1f}L{after.x:.1f},{after.y:.1f}"
    return f'<path class="frontier" d="{path}"/>'
