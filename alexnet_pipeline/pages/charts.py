"""Line charts as inline SVG, and images as data URIs; colours and type are in the page's CSS.

A chart has no view box: x is in percent of the width it gets and y in pixels, so that type and lines have the same
size on a wide screen, on a phone and on paper. The page gives `svg.chart` its margins, where labels are drawn.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pages.axes import ChartAxis, Floats, linear_axis, x_axis, y_axis
from alexnet_pipeline.text import html_text

# Points of a line: charts are some 450 pixels wide, so more could not be seen.
MOST_POINTS = 300
# Points up to which each is marked; the marks of more would touch.
MOST_MARKS = 40
# Most of the invisible strips across a chart; the tooltip of each shows the points within.
STRIPS = 60
# Width of the coordinate system of paths, which is stretched to the chart's width.
PATH_WIDTH = 1000
# Height of a label: one line of type, or two with a value, which is so far below the name.
NAME_PX, LABEL_PX, VALUE_PX = 15, 28, 13
# zlib's best level: pages are read more often than written.
BEST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 9)


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: finite y over ascending x, both (n,).

    Attributes:
        label: at the line's end.
        style: CSS class of line, band and marks.
        low, high: (n,), edges of a band around the line, or None.
        marked: draw marks at the points, if they are few.
    """

    label: str
    style: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    marked: bool = False


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_unit: str,
    text: Callable[[float], str],
    tick: Callable[[float], str] | None = None,
    upward: ChartAxis | None = None,
    names_only: bool = False,
    events: Sequence[tuple[float, str]] = (),
    height_px: int = 220,
) -> str:
    """Draw lines over a common x axis, each labelled at its end.

    Args:
        title: shown as a tooltip, and read by screen readers.
        series: lines; those without points are left out.
        x_unit: shown below the x axis.
        text: formats a value, with its unit.
        tick: likewise for the round values of the y axis; default `text`.
        upward: the y axis; default a linear one from 0.
        names_only: leave the last value out of the labels, so that more lines have room.
        events: what happened at an x, each drawn as a line across with a tooltip.
        height_px: of the plot without its margins.

    Returns:
        An `<svg class="chart">`, or an empty text where there are no points.
    """
    lines = [thinned(line, MOST_POINTS) for line in series if line.x.size]
    if not lines:
        return ""
    right = max(float(line.x[-1]) for line in lines)
    across = linear_axis(right or 1.0, ends_on_tick=False)
    if upward is None:
        upward = linear_axis(max(float(line.y.max()) for line in lines))
    parts = [*y_axis(upward, height_px, tick or text), *x_axis(across, height_px, x_unit)]
    parts += [_event(100 * across.at(min(x, right)), height_px, words) for x, words in events]
    parts += _strips(lines, across, upward, height_px, x_unit, text)
    parts.append(_paths(lines, across, upward, height_px))
    parts += [mark for line in lines for mark in _marks(line, across, upward, height_px)]
    parts += _labels(lines, upward, height_px, None if names_only else text)
    return svg_chart(title, parts, height_px)


def svg_chart(title: str, parts: Sequence[str], height_px: int, style: str = "chart") -> str:
    """A chart of some parts; the title is its tooltip, and read by screen readers."""
    name = html_text(title)
    return (
        f'<svg class="{style}" role="img" aria-label="{name}" height="{height_px}">'
        f"<title>{name}</title>{''.join(parts)}</svg>"
    )


def thinned(series: Series, points: int) -> Series:
    """A series of at most so many points: means of neighbours, with a band from their smallest to their largest."""
    size = series.x.size
    if size <= points:
        return series
    starts = np.linspace(0, size, points, endpoint=False).astype(np.intp)
    counts = np.diff(np.append(starts, size))
    low, high = (series.y if edge is None else edge for edge in (series.low, series.high))
    return replace(
        series,
        x=np.add.reduceat(series.x, starts) / counts,
        y=np.add.reduceat(series.y, starts) / counts,
        low=np.minimum.reduceat(low, starts),
        high=np.maximum.reduceat(high, starts),
    )


def png_uri(image: NDArray[np.uint8]) -> str:
    """An image as a PNG in a data URI: HWC uint8 RGB or RGBA; one without colour is stored as greyscale.

    Raises:
        PipelineError: the image has another shape or type.
    """
    if image.ndim != 3 or image.shape[2] not in {3, 4} or image.dtype != np.uint8 or not image.size:
        raise PipelineError(f"an image of shape {image.shape} and type {image.dtype}; expected HWC uint8 RGB or RGBA")
    if image.shape[2] == 4:
        stored = image[..., [2, 1, 0, 3]]
    else:
        grey = np.array_equal(image[..., :1].repeat(2, axis=2), image[..., 1:])
        stored = image[..., 0] if grey else image[..., ::-1]
    _, data = cv2.imencode(".png", np.ascontiguousarray(stored), BEST_PNG)
    return data_uri("image/png", data.tobytes())


def data_uri(kind: str, data: bytes) -> str:
    """A URI that contains some bytes of a media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _event(x_percent: float, height_px: int, words: str) -> str:
    """A dashed line at an x; a wider invisible one around it is easier to point at."""
    lines = "".join(
        f'<line class="{style}" x1="{x_percent:.2f}%" x2="{x_percent:.2f}%" y1="-6" y2="{height_px}"/>'
        for style in ("event", "aim")
    )
    return f"<g><title>{html_text(words)}</title>{lines}</g>"


def _strips(
    lines: Sequence[Series],
    across: ChartAxis,
    upward: ChartAxis,
    height_px: int,
    unit: str,
    text: Callable[[float], str],
) -> list[str]:
    """Invisible strips around the points of all lines, with the measured values as tooltips and marks on hover.

    A strip reaches halfway to its neighbours. Where points are many, it has the point of each line that is nearest to
    its middle, if that is within.
    """
    places = np.unique(np.concatenate([line.x for line in lines]))
    if places.size > STRIPS:
        edges = np.linspace(0, across.high, STRIPS + 1)
        middles = (edges[1:] + edges[:-1]) / 2
    else:
        edges = np.concatenate([[0.0], (places[1:] + places[:-1]) / 2, [across.high]])
        middles = places
    parts = []
    for low, high, middle in zip(edges, edges[1:], middles, strict=False):
        rows, marks = [], []
        for line in lines:
            near = int(np.abs(line.x - middle).argmin())
            x, y = line.x[near : near + 1], line.y[near : near + 1]
            if not (low <= x[0] <= high if places.size > STRIPS else x[0] == middle):
                continue
            band = ""
            if line.low is not None and line.high is not None:
                band = f" ({text(float(line.low[near]))} to {text(float(line.high[near]))})"
            rows.append(f"{line.label}: {text(float(y[0]))}{band} at {unit} {x[0]:.4g}")
            spot = f'cx="{100 * across.at(x[0]):.2f}%" cy="{y_px(y, upward, height_px)[0]:.1f}"'
            marks.append(f'<circle class="spot {line.style}" {spot} r="3.5"/>')
        if rows:
            left, width = 100 * across.at(low), 100 * (across.at(high) - across.at(low))
            parts.append(
                f'<g class="strip"><rect x="{left:.2f}%" width="{width:.2f}%" height="{height_px}"/>{"".join(marks)}'
                f"<title>{chr(10).join(map(html_text, rows))}</title></g>"
            )
    return parts


def _paths(lines: Sequence[Series], across: ChartAxis, upward: ChartAxis, height_px: int) -> str:
    """Bands below lines."""
    bands, strokes = [], []
    for line in lines:
        x = PATH_WIDTH * across.share(line.x)
        if line.low is not None and line.high is not None:
            edge = np.concatenate([y_px(line.low, upward, height_px), y_px(line.high, upward, height_px)[::-1]])
            bands.append(f'<path class="band {line.style}" d="{path_data(np.concatenate([x, x[::-1]]), edge)}Z"/>')
        strokes.append(f'<path class="line {line.style}" d="{path_data(x, y_px(line.y, upward, height_px))}"/>')
    return stretched(bands + strokes, height_px)


def stretched(shapes: Sequence[str], height_px: int) -> str:
    """Shapes with x in 0..`PATH_WIDTH` and y in pixels, stretched to the chart's width and clipped at its edges."""
    box = f'viewBox="0 0 {PATH_WIDTH} {height_px}" preserveAspectRatio="none" width="100%" height="{height_px}"'
    return f'<svg class="paths" {box}>{"".join(shapes)}</svg>'


def _marks(series: Series, across: ChartAxis, upward: ChartAxis, height_px: int) -> list[str]:
    if series.x.size > 1 and not (series.marked and series.x.size <= MOST_MARKS):
        return []
    places = zip(100 * across.share(series.x), y_px(series.y, upward, height_px), strict=True)
    return [f'<circle class="mark {series.style}" cx="{x:.2f}%" cy="{y:.1f}" r="2.5"/>' for x, y in places]


def _labels(lines: Sequence[Series], axis: ChartAxis, height_px: int, text: Callable[[float], str] | None) -> list[str]:
    """The name of each line and, if `text` is given, its last value, beside its end and clear of other labels."""
    ends = sorted(((float(y_px(line.y[-1:], axis, height_px)[0]), line) for line in lines), key=lambda pair: pair[0])
    high, below = (LABEL_PX, VALUE_PX) if text else (NAME_PX, 0)
    parts = []
    # The last value stays above the x axis.
    for y, (end, line) in zip(spread([end + 4 for end, _ in ends], high, height_px - below), ends, strict=True):
        if not text:
            parts.append(f'<svg x="100%"><path class="leader {line.style}" d="M1,{end:.1f}L7,{y - 4:.1f}"/></svg>')
        parts.append(f'<text class="label {line.style}" x="100%" dx="8" y="{y:.1f}">{html_text(line.label)}</text>')
        if text:
            value = html_text(text(float(line.y[-1])))
            parts.append(f'<text class="value" x="100%" dx="8" y="{y + VALUE_PX:.1f}">{value}</text>')
    return parts


def spread(wanted: Sequence[float], high_px: float, height_px: float) -> list[float]:
    """Move ascending baselines of labels of a height that would touch apart, about their mean, within a chart."""
    steps = high_px * np.arange(len(wanted))
    apart = isotonic_regression(np.subtract(wanted, steps)).x
    within = np.maximum(np.minimum(apart, height_px + 4 - steps[-1]), 4)
    return list((within + steps).tolist())


def y_px(values: Floats, axis: ChartAxis, height_px: int) -> Floats:
    """Positions of values in pixels from the top; a value below a logarithmic axis is at its edge."""
    return height_px * (1 - axis.share(np.maximum(values, axis.low) if axis.log else values))


def path_data(x: Floats, y: Floats) -> str:
    """Points as the data of an SVG path."""
    return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
