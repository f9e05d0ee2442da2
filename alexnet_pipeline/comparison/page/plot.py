"""The axes of plots at fixed positions in an SVG: the Pareto charts and the figure for papers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alexnet_pipeline.pages.axes import ChartAxis
from alexnet_pipeline.pages.charts import MINUS


@dataclass(frozen=True, slots=True)
class Frame:
    """Position of the plot, size of its type, and space for names to its right, in the SVG's units."""

    left: float
    top: float
    width: float
    height: float
    type_size: float
    spare: float


def axes(
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
        parts.append(text("tick", "end", left - 0.6 * size, y + 0.35 * size, upward_text(value).replace("-", MINUS)))
    for value in across.ticks:
        x = left + frame.width * across.at(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(text("tick", "middle", x, bottom + 1.5 * size, across_text(value)))
    aside, middle = left - 3.1 * size, top + frame.height / 2
    return [
        *parts,
        f'<path class="base" fill="none" d="M{left:.1f},{top:.1f}V{bottom:.1f}H{right:.1f}"/>',
        text("axis", "middle", left + frame.width / 2, bottom + 3 * size, names[0]),
        f'<g transform="rotate(-90 {aside:.1f} {middle:.1f})">',
        text("axis", "middle", aside, middle, names[1]),
        "</g>",
    ]


def text(style: str, anchor: str, x: float, y: float, words: str) -> str:
    """A text at a position."""
    return f'<text class="{style}" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{words}</text>'
