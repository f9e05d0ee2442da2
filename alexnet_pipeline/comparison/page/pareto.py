"""The chart of alias energy against the pass band that is kept, with times as bubbles, as parts of an SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from alexnet_pipeline.comparison.page.name_placement import Box, Mark, NamePosition, place_names
from alexnet_pipeline.comparison.page.plot import Frame, axes, axis_names
from alexnet_pipeline.comparison.records import Comparison, MethodResult
from alexnet_pipeline.pages.axes import roomy_axis
from alexnet_pipeline.pages.charts import MINUS

Weighting = Literal["white", "natural"]

TIME_METRIC = "resample_ms"
# Radius of the slowest method's bubble, and the smallest, in lines of type; areas are proportional to times.
LARGEST_LINES, SMALLEST_LINES = 1.05, 0.16
# Average width of a letter and height of a line, as shares of the size of type.
LETTER, LINE = 0.56, 1.25
# Lower alias energies are drawn here.
LEAST_DB = -60.0
BETTER = "better ↘"


@dataclass(frozen=True, slots=True)
class Point:
    """A method: share of the pass band kept, alias energy in dB, resampling time in ms (0 where unknown)."""

    name: str
    passband: float
    alias_db: float
    time_ms: float


def points_of(comparison: Comparison, weighting: Weighting) -> list[Point]:
    """A point for every method that has a response at the main scale."""
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


def time_of(method: MethodResult) -> float:
    """Mean resampling time in ms, 0 where it was not measured."""
    return next((mean.mean for mean in method.measured if mean.metric == TIME_METRIC), 0.0)


def front(points: Sequence[Point]) -> list[Point]:
    """The Pareto front, by ascending pass band: points that no other beats in one way without losing in the other."""
    best = [
        point
        for point in points
        if not any(
            other.passband >= point.passband
            and other.alias_db <= point.alias_db
            and (other.passband, other.alias_db) != (point.passband, point.alias_db)
            for other in points
        )
    ]
    return sorted(best, key=lambda point: (point.passband, point.alias_db))


def radius_of(time_ms: float, slowest_ms: float, type_size: float) -> float:
    """The radius of a bubble whose area is proportional to a time."""
    share = math.sqrt(time_ms / slowest_ms) if slowest_ms > 0 else 0.5
    return type_size * max(LARGEST_LINES * share, SMALLEST_LINES)


def pareto_parts(points: Sequence[Point], frame: Frame) -> list[str]:
    """Axes, front, bubbles and names of the chart."""
    across = roomy_axis([point.passband for point in points])
    upward = roomy_axis([point.alias_db for point in points])
    size, right, bottom = frame.type_size, frame.left + frame.width, frame.top + frame.height
    slowest = max(point.time_ms for point in points)
    marks = [
        Mark(
            x=frame.left + frame.width * across.at(point.passband),
            y=bottom - frame.height * upward.at(point.alias_db),
            radius=radius_of(point.time_ms, slowest, size),
            name_width=LETTER * size * len(point.name) + 2,
        )
        for point in points
    ]
    best = front(points)
    corners = _staircase([marks[points.index(point)] for point in best])
    hint = Box(right - 5 * size, bottom - 1.6 * size, right, bottom)
    bounds = Box(frame.left + 2, frame.top - LINE * size, right + frame.spare, bottom - 2)
    positions = place_names(marks, LINE * size, bounds, (hint,), _segments(corners))
    styles = ["front" if point in best else "beaten" for point in points]
    path = "L".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    drawn = sorted(zip(points, marks, styles, strict=True), key=lambda bubble: -bubble[1].radius)
    return [
        *axes(across, upward, frame, lambda share: f"{100 * share:.6g}", lambda db: f"{db:g}"),
        *axis_names(frame, "pass band kept (%)", "alias energy (dB)"),
        f'<text class="hint" text-anchor="end" x="{right - 4:.1f}" y="{bottom - size / 2:.1f}">{BETTER}</text>',
        f'<path class="frontier" d="M{path}"/>',
        *(_bubble(*bubble) for bubble in drawn),
        *(
            _name(point.name, mark, position, style, size)
            for point, mark, position, style in zip(points, marks, positions, styles, strict=True)
        ),
    ]


def tooltip(point: Point) -> str:
    """The values of a point in words."""
    time = f", {point.time_ms:.2g} ms" if point.time_ms else ""
    return f"{point.name}: alias {decibels(point.alias_db)}, pass band kept {100 * point.passband:.0f} %{time}"


def decibels(value: float) -> str:
    """Decibels as text, with a minus sign as wide as a digit."""
    text = f"{value:.1f}"
    return f"{0.0 if text == '-0.0' else value:.1f} dB".replace("-", MINUS)


def _bubble(point: Point, mark: Mark, style: str) -> str:
    return (
        f'<circle class="bubble {style}" cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius:.1f}">'
        f"<title>{html.escape(tooltip(point))}</title></circle>"
    )


def _name(name: str, mark: Mark, position: NamePosition, style: str, size: float) -> str:
    """A name, anchored at its mark's side since its exact width is unknown, and a line to the mark if it is far."""
    box, leader = position.box, ""
    if position.leader:
        to_x, to_y = position.leader
        part = mark.radius / math.dist((mark.x, mark.y), position.leader)
        x, y = mark.x + (to_x - mark.x) * part, mark.y + (to_y - mark.y) * part
        leader = f'<line class="leader" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'
    anchor, at = "middle", (box.left + box.right) / 2
    if box.left >= mark.x:
        anchor, at = "start", box.left
    elif box.right <= mark.x:
        anchor, at = "end", box.right
    anchored = f'text-anchor="{anchor}" x="{at:.1f}" y="{box.bottom - 0.32 * size:.1f}"'
    return f'{leader}<text class="label {style}" {anchored}>{html.escape(name)}</text>'


def _staircase(steps: Sequence[Mark]) -> list[tuple[float, float]]:
    """The front as a staircase: from each method to the next in alias energy first, then in pass band."""
    corners = [(steps[0].x, steps[0].y)]
    for before, after in pairwise(steps):
        corners += [(before.x, after.y), (after.x, after.y)]
    return corners


def _segments(corners: Sequence[tuple[float, float]]) -> list[Box]:
    return [
        Box(min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1)
        for a, b in pairwise(corners)
    ]
