"""The report's charts as inline SVG; colours and type are in the page's CSS."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.page.alike import SAME, alike
from alexnet_pipeline.comparison.page.pareto import Weighting, pareto_parts, points_of
from alexnet_pipeline.comparison.records import Comparison, ImageResult, Response
from alexnet_pipeline.pages.axes import Frame, linear_axis, log_axis, roomy_axis, x_axis, y_axis
from alexnet_pipeline.pages.charts import PATH_WIDTH, Series, line_chart, path_data, stretched, svg_chart
from alexnet_pipeline.text import counted, with_minus

Floats = NDArray[np.float64]

# Width and height of the Pareto chart, and space for names to its right, on a wide screen and on a phone.
PARETO_PX = {"wide": (528, 400, 38), "narrow": (356, 380, 14)}
PARETO_MARGINS_PX = (50, 14, 14, 40)  # left, top, right, bottom
TYPE_PX = 12.0
PANEL_PX, SPECTRUM_PX, SIZES_PX, HISTOGRAM_PX = 96, 260, 260, 260
# Gain at the top of a response panel, unless one overshoots further.
PANEL_GAIN = 1.1
# The last frequency of a response, in cycles per source pixel.
X_END = 0.5
# Spectra are drawn as one where they differ less everywhere, in dB.
ALIKE_DB = 0.05
# Number of line styles in the page's CSS.
LINE_STYLES = 12
# Radius of a dot for a single image, and the largest.
DOT_PX, LARGEST_DOT_PX = 2.2, 14.0
# Widths of histogram bars that are tried, and the most bars.
BAR_WIDTHS, MOST_BARS = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0), 36
# The last bar holds the scales above this quantile.
SHOWN_SHARE = 0.99


class Histogram(NamedTuple):
    """The chart of scales, the share of images below 1, the median, and where the last bar begins."""

    svg: str
    enlarged: float
    median: float
    last: float


def pareto_chart(comparison: Comparison, weighting: Weighting, variant: str) -> str:
    """Alias energy against the pass band kept for one kind of input, in one of the variants of `PARETO_PX`."""
    points = points_of(comparison, weighting)
    width, height, spare = PARETO_PX[variant]
    left, top, right, bottom = PARETO_MARGINS_PX
    frame = Frame(left, top, width - left - right, height - top - bottom, TYPE_PX, spare)
    parts = "".join(pareto_parts(points, frame))
    return (
        f'<svg class="plane {variant}" role="img" aria-label="Alias energy against pass band kept" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">{parts}</svg>'
    )


def response_panels(comparison: Comparison) -> tuple[tuple[Response, str], ...]:
    """Each response at the main scale, with its chart."""
    responses = [method.responses[0] for method in comparison.methods if method.responses]
    top = max([PANEL_GAIN, *(max(response.gains) for response in responses)])
    return tuple((response, _panel(response, responses, top)) for response in responses)


def spectra(comparison: Comparison, *, relative: bool) -> str:
    """Radially averaged power by frequency for all methods, absolute or relative to the first method's.

    Methods with the same spectrum share a line; the names below the first begin with `=`.
    """
    x = np.array(comparison.spectrum_frequencies)
    reference = np.array(comparison.methods[0].spectrum) if relative else np.zeros(x.size)
    lines = []
    for group in same_spectra(comparison):
        shown = np.array(comparison.methods[group[0]].spectrum) - reference
        for number in group:
            name = comparison.methods[number].name if number == group[0] else SAME + comparison.methods[number].name
            lines.append(Series(name, f"s{group[0] % LINE_STYLES}", x, shown))
    title = f"Power relative to {comparison.methods[0].name}" if relative else "Power by frequency"
    return line_chart(
        title,
        lines,
        x_unit="cycles per output pixel",
        text=lambda value: with_minus(f"{value:.3g} dB"),
        upward=roomy_axis(np.concatenate([line.y for line in lines]).tolist()),
        names_only=True,
        height_px=SPECTRUM_PX,
    )


def same_spectra(comparison: Comparison) -> list[list[int]]:
    """Groups of methods, by their numbers, that share a line in `spectra`."""
    return alike([method.spectrum for method in comparison.methods], ALIKE_DB)


def sizes_chart(images: Sequence[ImageResult]) -> str:
    """Height against width of every image, logarithmic; a dot's area shows how many images have a size."""
    counts = Counter((image.width_px, image.height_px) for image in images)
    sides = [side for size in counts for side in size]
    axis = log_axis(min(sides), max(sides))
    most = max(counts.values())
    grow = min(1.0, LARGEST_DOT_PX / (DOT_PX * math.sqrt(most)))
    dots = []
    for (width, height), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        x, y = axis.at(width), axis.at(height)
        radius = max(DOT_PX, DOT_PX * math.sqrt(count) * grow)
        dots.append(
            f'<circle class="dot" cx="{100 * x:.2f}%" cy="{SIZES_PX * (1 - y):.1f}" r="{radius:.1f}">'
            f"<title>{width} x {height} px: {count:,}</title></circle>"
        )
    parts = [*y_axis(axis, SIZES_PX, "{:,.0f}".format), *x_axis(axis, SIZES_PX, "width (px)"), *dots]
    return svg_chart("Sizes of the images", parts, SIZES_PX, "chart full")


def scale_histogram(comparison: Comparison) -> Histogram:
    """Source pixels per output pixel; below 1 an image is enlarged."""
    scales = np.array([image.scale for image in comparison.images])
    far = float(np.quantile(scales, SHOWN_SHARE))
    low = float(min(scales.min(), 1.0))
    width = next((w for w in BAR_WIDTHS if (far - low) / w <= MOST_BARS), BAR_WIDTHS[-1])
    first, last = math.floor(low / width + 1e-9), math.ceil(far / width + 1e-9)
    last = max(last, first + 4)
    edges: Floats = np.arange(first, last + 1, dtype=np.float64) * width
    counts, _ = np.histogram(np.clip(scales, edges[0], edges[-1] - width / 2), edges)
    across = roomy_axis([float(edges[0]), float(edges[-1])], 0)
    upward = linear_axis(float(counts.max()))
    parts = [
        *y_axis(upward, HISTOGRAM_PX, "{:,.0f}".format),
        *x_axis(across, HISTOGRAM_PX, "source pixels per output pixel"),
    ]
    for count, edge in zip(counts, edges, strict=False):
        x, wide = 100 * across.at(edge), 100 / (last - first)
        high = HISTOGRAM_PX * count / upward.high
        style = "enlarged" if edge + width / 2 < 1 else "shrunk"
        words = f"{edge:.3g} to {edge + width:.3g}: {counted(count, 'image')}"
        parts.append(
            f'<rect class="bar {style}" x="{x + 0.04 * wide:.2f}%" width="{0.92 * wide:.2f}%" '
            f'y="{HISTOGRAM_PX - high:.1f}" height="{high:.1f}"><title>{words}</title></rect>'
        )
    one = 100 * across.at(1.0)
    parts.append(f'<line class="one" x1="{one:.2f}%" x2="{one:.2f}%" y1="-6" y2="{HISTOGRAM_PX}"/>')
    svg = svg_chart("Scales of the images", parts, HISTOGRAM_PX, "chart full")
    return Histogram(svg, float((scales < 1).mean()), float(np.median(scales)), float(edges[-1] - width))


def _panel(response: Response, responses: Sequence[Response], top: float) -> str:
    """A response, with the area that it loses below the output's Nyquist frequency and that it passes above."""
    nyquist = 1 / (2 * response.scale)
    x = np.union1d(response.frequencies, nyquist)
    y = np.interp(x, response.frequencies, response.gains)
    below, above = x <= nyquist, x >= nyquist
    shapes = [
        f'<path class="lost" d="{_area(x[below], np.minimum(y[below], 1.0), 1.0, top)}"/>'
        f'<path class="alias" d="{_area(x[above], y[above], 0.0, top)}"/>'
    ]
    for curve in sorted(responses, key=lambda curve: curve is response):  # its own above the others
        style = "own" if curve is response else "other"
        shapes.append(f'<path class="line {style}" d="{_path(curve.frequencies, curve.gains, top)}"/>')
    full, below_px = PANEL_PX * (1 - 1 / top), PANEL_PX + 16
    nyquist_at = f"{100 * nyquist / X_END:.2f}%"
    parts = [
        f'<line class="grid" x1="0" x2="100%" y1="{full:.1f}" y2="{full:.1f}"/>'
        f'<line class="base" x1="0" x2="100%" y1="{PANEL_PX}" y2="{PANEL_PX}"/>',
        stretched(shapes, PANEL_PX),
        f'<line class="nyquist" x1="{nyquist_at}" x2="{nyquist_at}" y1="0" y2="{PANEL_PX}"/>'
        f'<text class="tick" text-anchor="end" x="-6" y="{full + 4:.1f}">1</text>'
        f'<text class="tick" text-anchor="end" x="-6" y="{PANEL_PX}">0</text>'
        f'<text class="tick" x="0" y="{below_px}">0</text>'
        f'<text class="tick" text-anchor="middle" x="{nyquist_at}" y="{below_px}">{nyquist:.3g}</text>'
        f'<text class="tick" text-anchor="end" x="100%" y="{below_px}">{X_END}</text>'
        f'<text class="axis" text-anchor="middle" x="50%" y="{below_px + 15}">cycles per source px</text>'
        f'<text class="axis" x="-14" y="-6">gain</text>',
    ]
    return svg_chart(f"Frequency response of {response.method}", parts, PANEL_PX, "chart panel")


def _area(x: Floats, y: Floats, edge: float, top: float) -> str:
    """The outline of the area between a curve and a level."""
    return _path(np.append(x, x[::-1]), np.append(y, np.full(y.size, edge)), top) + "Z"


def _path(frequencies: Sequence[float] | Floats, gains: Sequence[float] | Floats, top: float) -> str:
    """A curve in the coordinates of `stretched`."""
    return path_data(PATH_WIDTH * (np.array(frequencies) / X_END), PANEL_PX * (1 - np.array(gains) / top))
