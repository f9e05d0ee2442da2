"""The chart of alias energy against the pass band that is kept, with times as bubbles, as parts of an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from alexnet_pipeline.comparison.page.alike import alike, names_of
from alexnet_pipeline.comparison.page.name_placement import Box, Mark, NamePosition, place_names
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.comparison.summary import fixed
from alexnet_pipeline.pages.axes import Frame, framed_axes, roomy_axis, text_at
from alexnet_pipeline.text import html_text, with_minus

Weighting = Literal["white", "natural"]

TIME_METRIC = "resample_ms"
# Radius of the slowest method's bubble, and the smallest, in lines of type; areas are proportional to times.
LARGEST_LINES, SMALLEST_LINES = 1.05, 0.16
# Average width of a letter and height of a line, as shares of the size of type.
LETTER, LINE = 0.56, 1.25
# Lower alias energies are drawn here.
LEAST_DB = -60.0
BETTER = "better ↘"
# Methods are drawn as one where they differ less, in dB and in percent of the pass band.
ALIKE = 0.05


class Point(NamedTuple):
    """A method: share of the pass band kept, alias energy in dB, resampling time in ms (0 where unknown)."""

    name: str
    passband: float
    alias_db: float
    time_ms: float


def points_of(comparison: Comparison, weighting: Weighting) -> list[Point]:
    """A point for every method that has a response at the main scale."""
    points = []
    for method in (method for method in comparison.methods if method.responses):
        response = method.responses[0]
        white = (response.passband_white, response.alias_white_db)
        passband, alias_db = white if weighting == "white" else (response.passband_natural, response.alias_natural_db)
        time_ms = next((mean.mean for mean in method.measured if mean.metric == TIME_METRIC), 0.0)
        points.append(Point(method.name, passband, max(alias_db, LEAST_DB), time_ms))
    return points


def front(points: Sequence[Point]) -> list[Point]:
    """The Pareto front, by ascending pass band: points that no other beats in one way without losing in the other."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.passband, point.alias_db)):
        if not best or point.alias_db < best[-1].alias_db or point[1:3] == best[-1][1:3]:
            best.append(point)
    return sorted(best, key=lambda point: (point.passband, point.alias_db))


def same_places(points: Sequence[Point]) -> list[list[int]]:
    """Groups of points, by their numbers, that are in the same place of the chart."""
    return alike([(100 * point.passband, point.alias_db) for point in points], ALIKE)


def radius_of(time_ms: float, slowest_ms: float, type_size: float) -> float:
    """The radius of a bubble whose area is proportional to a time."""
    share = math.sqrt(time_ms / slowest_ms) if slowest_ms > 0 else 0.5
    return type_size * max(LARGEST_LINES * share, SMALLEST_LINES)


def time_legend(comparison: Comparison, type_size: float) -> tuple[tuple[str, float], ...]:
    """Times as text with the radius of their bubbles; empty where no time was measured."""
    slowest = max((point.time_ms for point in points_of(comparison, "white")), default=0.0)
    if slowest <= 0:
        return ()
    largest = 10.0 ** math.floor(math.log10(slowest))
    largest *= max(factor for factor in (1, 2, 5) if factor * largest <= slowest)
    return tuple((f"{ms:g} ms", radius_of(ms, slowest, type_size)) for ms in (largest / 10, largest))


def pareto_parts(points: Sequence[Point], frame: Frame) -> list[str]:
    """Axes, front, bubbles and names of the chart; methods in one place share a name, like `a = b`."""
    across = roomy_axis([point.passband for point in points])
    upward = roomy_axis([point.alias_db for point in points])
    size, right, bottom = frame.type_size, frame.left + frame.width, frame.top + frame.height
    slowest = max(point.time_ms for point in points)
    marks = [
        Mark(
            x=frame.left + frame.width * across.at(point.passband),
            y=bottom - frame.height * upward.at(point.alias_db),
            radius=radius_of(point.time_ms, slowest, size),
            name_width=0.0,
        )
        for point in points
    ]
    best = front(points)
    corners = _staircase([marks[points.index(point)] for point in best])
    hint = Box(right - 5 * size, bottom - 1.6 * size, right, bottom)
    bounds = Box(frame.left + 2, frame.top - LINE * size, right + frame.spare, bottom - 2)
    lines = [
        Box(min(x, to_x) - 1, min(y, to_y) - 1, max(x, to_x) + 1, max(y, to_y) + 1)
        for (x, y), (to_x, to_y) in pairwise(corners)
    ]
    groups = same_places(points)
    names = [names_of(group, [point.name for point in points]) for group in groups]
    largest = [max((marks[number] for number in group), key=lambda mark: mark.radius) for group in groups]
    named = [mark._replace(name_width=LETTER * size * len(name) + 2) for mark, name in zip(largest, names, strict=True)]
    positions = place_names(named, LINE * size, bounds, [hint], lines)
    styles = ["front" if point in best else "beaten" for point in points]
    path = "L".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    bubbles = [
        f'<circle class="bubble {style}" cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius:.1f}">'
        f"<title>{html_text(_tooltip(point))}</title></circle>"
        for point, mark, style in sorted(zip(points, marks, styles, strict=True), key=lambda drawn: -drawn[1].radius)
    ]
    titles = ("pass band kept (%)", "alias energy (dB)")
    return [
        *framed_axes(across, upward, frame, titles, lambda share: f"{100 * share:.6g}", "{:g}".format),
        text_at("hint", "end", right - 4, bottom - size / 2, BETTER),
        f'<path class="frontier" d="M{path}"/>',
        *bubbles,
        *(
            _name(name, mark, position, styles[group[0]], size)
            for group, name, mark, position in zip(groups, names, named, positions, strict=True)
        ),
    ]


def decibels(value: float) -> str:
    """Decibels as text, with a minus sign as wide as a digit."""
    return with_minus(f"{fixed(value, 1)} dB")


def _tooltip(point: Point) -> str:
    time = f", {point.time_ms:.2g} ms" if point.time_ms else ""
    return f"{point.name}: alias {decibels(point.alias_db)}, pass band kept {100 * point.passband:.0f} %{time}"


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
    return leader + text_at(f"label {style}", anchor, at, box.bottom - 0.32 * size, html_text(name))


def _staircase(steps: Sequence[Mark]) -> list[tuple[float, float]]:
    """The front as a staircase: from each method to the next in alias energy first, then in pass band."""
    corners = [(steps[0].x, steps[0].y)]
    for before, after in pairwise(steps):
        corners += [(before.x, after.y), (after.x, after.y)]
    return corners
