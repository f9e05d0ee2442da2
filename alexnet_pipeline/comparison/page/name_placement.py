"""Places the names of marks on a chart so that they cover neither marks nor each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Directions in which a name is tried beside its mark, best first: (x, y), y points down.
DIRECTIONS = ((1, 0), (-1, 0), (1, -1), (1, 1), (-1, -1), (-1, 1), (0, -1), (0, 1))
# Distances from the mark at which a name is tried, in lines of type, and from which on a line connects the two.
DISTANCES_LINES, LEADER_LINES = (0.0, 0.5, 1.0, 1.6, 2.4, 3.4, 4.6, 6.0), 0.9
# Space between a mark and a name.
GAP_LINES = 0.25
# Costs per square unit of leaving the chart, and of overlap with another name, a mark or a line.
OUTSIDE, ON_NAME, ON_MARK, ON_LINE = 100.0, 20.0, 8.0, 2.0
# Costs of distance, per square line of type, and of each less preferred direction.
FAR, DISLIKED = 12.0, 0.7


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True)
class Mark:
    """A disc with a name: its centre, its radius and the width of the name."""

    x: float
    y: float
    radius: float
    name_width: float


@dataclass(frozen=True, slots=True)
class NamePosition:
    """Where a name goes.

    Attributes:
        box: that the name fills.
        leader: (x, y) on the box's edge nearest to the mark, for a line to it; None where the name is close.
    """

    box: Box
    leader: tuple[float, float] | None


def place_names(
    marks: Sequence[Mark], line_height: float, bounds: Box, taken: Sequence[Box], lines: Sequence[Box]
) -> list[NamePosition]:
    """Find a position for each name, the most crowded marks first.

    Args:
        marks: all lengths are in the same unit.
        line_height: of a name.
        bounds: within which names stay.
        taken: boxes that names must not cover.
        lines: thin boxes that names should not cross.
    """
    discs = [_around(mark, mark.radius + GAP_LINES * line_height) for mark in marks]
    order = sorted(range(len(marks)), key=lambda i: -sum(1 / (1 + math.dist(_at(marks[i]), _at(m))) for m in marks))
    names: list[Box] = list(taken)
    positions: dict[int, NamePosition] = {}
    for number in order:
        tried = [
            (_cost(box, bounds, names, discs, lines) + FAR * away * away + DISLIKED * rank, turn, box, away)
            for turn, (away, rank, box) in enumerate(_candidates(marks[number], line_height))
        ]
        _, _, box, away = min(tried, key=lambda candidate: candidate[:2])
        names.append(box)
        positions[number] = NamePosition(box, _nearest(box, marks[number]) if away >= LEADER_LINES else None)
    return [positions[number] for number in range(len(marks))]


def _around(mark: Mark, reach: float) -> Box:
    return Box(mark.x - reach, mark.y - reach, mark.x + reach, mark.y + reach)


def _at(mark: Mark) -> tuple[float, float]:
    return (mark.x, mark.y)


def _candidates(mark: Mark, height: float) -> Iterator[tuple[float, int, Box]]:
    """The distance in lines, the rank of the direction, and the box of each candidate."""
    for lines, (rank, (right, down)) in itertools.product(DISTANCES_LINES, enumerate(DIRECTIONS)):
        away = mark.radius + height * (GAP_LINES + lines)
        reach = away * (math.sqrt(0.5) if right and down else 1.0)
        x, y = mark.x + right * reach, mark.y + down * reach
        left = x - mark.name_width * (1 - right) / 2
        top = y - height * (1 - down) / 2
        yield lines, rank, Box(left, top, left + mark.name_width, top + height)


def _cost(box: Box, bounds: Box, names: Sequence[Box], discs: Sequence[Box], lines: Sequence[Box]) -> float:
    outside = box.area - box.overlap(bounds)
    on_names = sum(box.overlap(other) for other in names)
    on_discs = sum(box.overlap(disc) for disc in discs)
    on_lines = sum(box.overlap(line) for line in lines)
    return OUTSIDE * outside + ON_NAME * on_names + ON_MARK * on_discs + ON_LINE * on_lines


def _nearest(box: Box, mark: Mark) -> tuple[float, float]:
    return (min(max(mark.x, box.left), box.right), min(max(mark.y, box.top), box.bottom))
