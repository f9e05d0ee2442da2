"""Places the names of marks on a chart so that they cover neither marks nor each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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


class Box(NamedTuple):
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float


class Mark(NamedTuple):
    """A disc with a name: its centre, its radius and the width of the name."""

    x: float
    y: float
    radius: float
    name_width: float


class NamePosition(NamedTuple):
    """The box of a name, and where a line to the mark begins on its edge; None where the name is close."""

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
    reaches = [mark.radius + GAP_LINES * line_height for mark in marks]
    discs = [
        Box(mark.x - reach, mark.y - reach, mark.x + reach, mark.y + reach)
        for mark, reach in zip(marks, reaches, strict=True)
    ]
    order = sorted(range(len(marks)), key=lambda i: -sum(1 / (1 + math.dist(marks[i][:2], m[:2])) for m in marks))
    names = list(taken)
    positions: dict[int, NamePosition] = {}
    for number in order:
        mark = marks[number]
        boxes, away, costs = _candidates(mark, line_height)
        costs += OUTSIDE * (mark.name_width * line_height - overlap(boxes, [bounds]))
        costs += ON_NAME * overlap(boxes, names) + ON_MARK * overlap(boxes, discs) + ON_LINE * overlap(boxes, lines)
        best = int(costs.argmin())
        box = Box(*boxes[best].tolist())
        nearest = (min(max(mark.x, box.left), box.right), min(max(mark.y, box.top), box.bottom))
        names.append(box)
        positions[number] = NamePosition(box, nearest if away[best] >= LEADER_LINES else None)
    return [positions[number] for number in range(len(marks))]


def overlap(boxes: Floats | Sequence[Box], others: Sequence[Box]) -> Floats:
    """The area of each box that others cover, summed over them."""
    first, second = np.reshape(boxes, (-1, 1, 4)), np.reshape(np.array(others, np.float64), (1, -1, 4))
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    return np.asarray(sides.clip(0.0).prod(axis=2).sum(axis=1))


def _candidates(mark: Mark, height: float) -> tuple[Floats, Floats, Floats]:
    """Boxes (candidates, 4), their distances in lines, and what distance and direction cost."""
    right, down = np.tile(np.array(DIRECTIONS, np.float64), (len(DISTANCES_LINES), 1)).T
    away = np.repeat(DISTANCES_LINES, len(DIRECTIONS))
    reach = (mark.radius + height * (GAP_LINES + away)) * np.where(right * down, math.sqrt(0.5), 1.0)
    left = mark.x + right * reach - mark.name_width * (1 - right) / 2
    top = mark.y + down * reach - height * (1 - down) / 2
    costs = FAR * away**2 + DISLIKED * np.tile(np.arange(len(DIRECTIONS)), len(DISTANCES_LINES))
    return np.stack([left, top, left + mark.name_width, top + height], axis=1), away, costs
