"""A stand-alone figure for papers, as SVG: frequency responses and the Pareto chart side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.page.alike import SAME, alike
from alexnet_pipeline.comparison.page.pareto import pareto_parts, points_of, same_places, time_legend
from alexnet_pipeline.comparison.records import Comparison, Response
from alexnet_pipeline.pages.axes import ChartAxis, Frame, framed_axes, linear_axis
from alexnet_pipeline.pages.charts import path_data, spread
from alexnet_pipeline.text import html_text

Floats = NDArray[np.float64]

# Width and height in mm, for two columns of a journal, and units of the SVG per mm: 10 units are type of 7 points.
SIZE_MM, UNITS_PER_MM = (180.0, 84.0), 4.0
TYPE = 10.0
# Left, top, width and height of each plot, size of type and space for names, in units.
RESPONSES, PARETO = Frame(42, 24, 216, 236, TYPE, 0), Frame(434, 24, 234, 236, TYPE, 50)
# Height of a name beside a curve's end, with the space to the next.
NAME_HEIGHT = 13.0
# Okabe and Ito's colours, which differ to colour-blind readers, and dashes, which differ without colour.
COLOURS = ("#000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ("none", "6 3", "2 2", "8 2 2 2", "10 4", "4 2 1 2")
# Curves are drawn as one where they differ less everywhere.
ALIKE_GAIN = 0.001
# Middles of the legend's lines, below both plots.
LEGEND_YS = (304.0, 322.0)
STYLE = """
text { font: 10px Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; fill: #000; }
.tick { font-size: 9px; } .hint { font-size: 9px; font-style: italic; }
.panel { font-weight: bold; font-size: 11px; }
.grid { stroke: #ddd; stroke-width: .6; } .base { stroke: #000; stroke-width: .8; }
.curve { fill: none; stroke-width: 1.4; stroke-linejoin: round; }
.nyquist { stroke: #000; stroke-width: .7; stroke-dasharray: 2 2; }
.leader { stroke: #666; stroke-width: .6; }
.frontier { fill: none; stroke: #000; stroke-width: .8; stroke-dasharray: 4 3; }
.bubble { stroke: #000; stroke-width: .8; } .bubble.front { fill: #56b4e9; } .bubble.beaten { fill: #ddd; }
.label { paint-order: stroke; stroke: #fff; stroke-width: 2.5px; stroke-linejoin: round; }
.label.front { font-weight: bold; }
"""


def paper_figure(comparison: Comparison) -> str:
    """The figure as XML, of a comparison of methods; finished shards have no responses."""
    responses = [method.responses[0] for method in comparison.methods]
    width, height = (side * UNITS_PER_MM for side in SIZE_MM)
    scale = f"{responses[0].scale:.4g}"
    title = html_text(f"Downsampling by {scale}: {', '.join(response.method for response in responses)}")
    parts = [
        *_response_parts(responses),
        *pareto_parts(points_of(comparison, "white"), PARETO),
        f'<text class="panel" x="4" y="14">a  Frequency response at scale {scale}</text>',
        f'<text class="panel" x="{PARETO.left - 36:g}" y="14">b  Alias energy and pass band kept, white input</text>',
        *_legend(comparison),
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE_MM[0]:g}mm" height="{SIZE_MM[1]:g}mm" '
        f'viewBox="0 0 {width:g} {height:g}" role="img">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{chr(10).join(parts)}\n</svg>\n'
    )


def _response_parts(responses: Sequence[Response]) -> list[str]:
    frame = RESPONSES
    across = ChartAxis(0.0, 0.5, (0.0, 0.1, 0.2, 0.3, 0.4, 0.5))
    upward = linear_axis(max(1.0, *(max(response.gains) for response in responses)), ends_on_tick=False)
    names = ("frequency (cycles per source pixel)", "gain")
    nyquist, bottom = frame.left + frame.width / responses[0].scale, frame.top + frame.height
    return [
        *framed_axes(across, upward, frame, names, "{:g}".format, "{:.1f}".format),
        f'<line class="nyquist" x1="{nyquist:.1f}" x2="{nyquist:.1f}" y1="{frame.top:g}" y2="{bottom:g}"/>',
        f'<text class="hint" x="{nyquist + 3:.1f}" y="{frame.top + 8:g}">Nyquist</text>',
        *_curves(responses, upward.high),
    ]


def _curves(responses: Sequence[Response], top: float) -> list[str]:
    """The curves, each with its name beside its end; those that are the same are one, with their names below it."""
    frame = RESPONSES
    bottom, right = frame.top + frame.height, frame.left + frame.width
    parts: list[str] = []
    ends: list[tuple[float, str, str]] = []
    for number, group in enumerate(alike([response.gains for response in responses], ALIKE_GAIN)):
        first = responses[group[0]]
        look = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
        x = frame.left + frame.width * np.array(first.frequencies) / 0.5
        y = bottom - frame.height * np.array(first.gains) / top
        parts.append(f'<path class="curve" {look} d="{path_data(x, y)}"/>')
        ends.append((float(y[-1]), look, first.method))
        ends += [(float(y[-1]), "", SAME + responses[other].method) for other in group[1:]]
    ends.sort(key=lambda end: end[0])
    wanted = [end - frame.top + 3.3 for end, *_ in ends]
    for baseline, (end, look, name) in zip(spread(wanted, NAME_HEIGHT, frame.height), ends, strict=True):
        at = frame.top + baseline - 3.3
        if look:
            parts.append(f'<path class="leader" fill="none" d="M{right + 2:g},{end:.1f}L{right + 8:g},{at:.1f}"/>')
            parts.append(f'<path class="curve" {look} d="M{right + 8:g},{at:.1f}h22"/>')
        parts.append(f'<text x="{right + 34:g}" y="{at + 3.3:.1f}">{html_text(name)}</text>')
    return parts


def _legend(comparison: Comparison) -> list[str]:
    """What lines, bubbles and joined names mean, below the plots."""
    left, (first, second) = PARETO.left, LEGEND_YS
    parts = [f'<path class="frontier" d="M{left:g},{first:g}h26"/>', _legend_text(left + 34, first, "Pareto front")]
    if any(len(group) > 1 for group in same_places(points_of(comparison, "white"))):
        parts.append(_legend_text(RESPONSES.left, first, "= the same weights as the name before it"))
    x = left + 13
    for words, radius in time_legend(comparison, TYPE):
        parts.append(f'<circle class="bubble beaten" cx="{x:g}" cy="{second:g}" r="{radius:.1f}"/>')
        parts.append(_legend_text(left + 34 if x < left + 34 else x + 15, second, words))
        x += 76
    if x > left + 13:
        parts.append(_legend_text(x - 24, second, "to resample an image (area)"))
    return parts


def _legend_text(x: float, y: float, words: str) -> str:
    return f'<text class="tick" x="{x:g}" y="{y + 3.3:g}">{words}</text>'
