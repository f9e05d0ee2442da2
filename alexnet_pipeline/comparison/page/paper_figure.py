"""A stand-alone SVG for papers: frequency responses and the Pareto chart side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.page.pareto import pareto_parts, points_of
from alexnet_pipeline.comparison.records import Comparison, Response
from alexnet_pipeline.pages.axes import ChartAxis, Frame, framed_axes, linear_axis
from alexnet_pipeline.pages.charts import path_data, spread
from alexnet_pipeline.text import html_text

Floats = NDArray[np.float64]

# Width and height in mm, for two columns of a journal, and units of the SVG per mm: 10 units are type of 7 points.
SIZE_MM, UNITS_PER_MM = (180.0, 74.0), 4.0
TYPE = 10.0
# Left, top, width and height of each plot, size of type and space for names, in units.
RESPONSES, PARETO = Frame(42, 24, 234, 236, TYPE, 0), Frame(424, 24, 244, 236, TYPE, 50)
# Height of a name beside a curve's end, with the space to the next.
NAME_HEIGHT = 13.0
# Greys that are distinct in print, and dashes; together they repeat after twelve curves.
GREYS = ("#000", "#777", "#444", "#999")
DASHES = ("none", "6 3", "2 2", "8 2 2 2", "10 4", "4 2 1 2")
STYLE = """
text { font: 10px Helvetica, Arial, sans-serif; fill: #000; }
.tick { font-size: 9px; } .hint { font-size: 9px; font-style: italic; }
.panel { font-weight: bold; font-size: 11px; }
.grid { stroke: #ddd; stroke-width: .6; } .base { stroke: #000; stroke-width: .8; }
.curve { fill: none; stroke-width: 1.4; stroke-linejoin: round; }
.nyquist { stroke: #000; stroke-width: .7; stroke-dasharray: 2 2; }
.leader { stroke: #666; stroke-width: .6; }
.frontier { fill: none; stroke: #000; stroke-width: .8; stroke-dasharray: 4 3; }
.bubble { stroke: #000; stroke-width: .8; } .bubble.front { fill: #555; } .bubble.beaten { fill: #ddd; }
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
    """The curves, each with its name beside its end."""
    frame = RESPONSES
    bottom, right = frame.top + frame.height, frame.left + frame.width
    parts, ends = [], []
    for number, response in enumerate(responses):
        look = f'stroke="{GREYS[number % len(GREYS)]}" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
        x = frame.left + frame.width * np.array(response.frequencies) / 0.5
        y = bottom - frame.height * np.array(response.gains) / top
        parts.append(f'<path class="curve" {look} d="{path_data(x, y)}"/>')
        ends.append((float(y[-1]), number, response.method, look))
    ends.sort()
    wanted = [end - frame.top + 3.3 for end, *_ in ends]
    for baseline, (end, _, name, look) in zip(spread(wanted, NAME_HEIGHT, frame.height), ends, strict=True):
        at = frame.top + baseline - 3.3
        parts.append(
            f'<path class="leader" fill="none" d="M{right + 2:g},{end:.1f}L{right + 8:g},{at:.1f}"/>'
            f'<path class="curve" {look} d="M{right + 8:g},{at:.1f}h22"/>'
            f'<text x="{right + 34:g}" y="{at + 3.3:.1f}">{html_text(name)}</text>'
        )
    return parts
