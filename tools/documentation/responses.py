"""Draw the frequency responses of the named methods for docs/methods.md.

    python tools/documentation/responses.py

The numbers are those of `compare`: the magnitude of the mean response, computed from the weights that `shard` applies.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from alexnet_pipeline.comparison.measure.responses import respond
from alexnet_pipeline.pages.axes import ChartAxis
from alexnet_pipeline.pages.charts import Series, line_chart

FOLDER = Path(__file__).parent.parent.parent / "docs" / "figures"
METHODS = ("nearest", "bilinear", "area", "bilinear-aa", "bicubic", "lanczos", "antialias")
# A typical ImageNet photograph of 500x375, and strong shrinking.
SCALES = (1.465, 3.0)
WIDTH_PX, HEIGHT_PX = 720, 330
LEFT_PX, TOP_PX, RIGHT_PX, BOTTOM_PX = 52, 14, 110, 46
# Okabe and Ito's colours, which differ to colour-blind readers.
COLOURS = ("#000", "#0072b2", "#d55e00", "#009e73", "#9c4476", "#2f9ed6", "#b58900")
STYLE = """
text { font: 12px Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; fill: #59626d; }
.label { font-weight: bold; }
.grid { stroke: #dfe3e8; } .base { stroke: #8a939e; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.leader { fill: none; stroke: #8a939e; }
.event { stroke: #59626d; stroke-dasharray: 3 3; } .aim { stroke: none; }
"""


def figure(scale: float) -> str:
    """The chart of one scale as a file of its own."""
    responses = [respond(name, scale) for name in METHODS]
    series = [
        Series(each.method, f"s{number}", np.array(each.frequencies), np.array(each.gains))
        for number, each in enumerate(responses)
    ]
    chart = line_chart(
        f"Frequency responses at scale {scale:g}",
        series,
        x_unit="frequency (cycles per source pixel)",
        text="{:.2f}".format,
        tick="{:.1f}".format,
        upward=ChartAxis(0.0, 1.2, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)),
        names_only=True,
        events=[(1 / (2 * scale), "Nyquist frequency of the output")],
        height_px=HEIGHT_PX - TOP_PX - BOTTOM_PX,
    )
    width = WIDTH_PX - LEFT_PX - RIGHT_PX
    still = re.sub(r'<g class="strip">.*?</g>', "", chart, flags=re.DOTALL)  # tooltips, which no image on a page shows
    placed = still.replace("<svg ", f'<svg x="{LEFT_PX}" y="{TOP_PX}" width="{width}" overflow="visible" ', 1)
    colours = "".join(
        f".line.s{number} {{ stroke: {colour}; }} .label.s{number} {{ fill: {colour}; }}\n"
        for number, colour in enumerate(COLOURS)
    )
    nyquist = LEFT_PX + width / scale
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" width="{WIDTH_PX}" '
        f'height="{HEIGHT_PX}">\n<style>{STYLE}{colours}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'{placed}\n<text x="{nyquist + 4:.1f}" y="{TOP_PX + 8}">Nyquist</text>\n</svg>\n'
    )


def main() -> None:
    """Write the figure of each scale."""
    FOLDER.mkdir(exist_ok=True)
    for scale in SCALES:
        (FOLDER / f"responses-{scale:g}.svg").write_text(figure(scale), "utf-8")


if __name__ == "__main__":
    main()
