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
from alexnet_pipeline.pages.axes import ChartAxis, Floats, linear_axis, log_axis, x_axis, y_axis
from alexnet_pipeline.text import html_text

# Points of a line: charts are some 450 pixels wide, so more could not be seen.
MOST_POINTS = 300
# Points up to which each is marked; the marks of more would touch.
MOST_MARKS = 40
# Invisible strips across a chart; the tooltip of each shows the values there.
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
    top: float = 0.0,
    log: bool = False,
    upward: ChartAxis | None = None,
    names_only: bool = False,
    height_px: int = 220,
) -> str:
    """Draw lines over a common x axis, each labelled at its end.

    Args:
        title: shown as a tooltip, and read by screen readers.
        series: lines; those without points are left out.
        x_unit: shown beside the last tick.
        text: formats a value, with its unit.
        top: the y axis reaches at least to here; a linear one begins at 0.
        log: use a logarithmic y axis; all values must be positive.
        upward: the y axis, instead of one that fits the values.
        names_only: leave the last value out of the labels, so that more lines have room.
        height_px: of the plot without its margins.

    Returns:
        An `<svg class="chart">`, or an empty text where there are no points.
    """
    lines = [thinned(line, MOST_POINTS) for line in series if line.x.size]
    if not lines:
        return ""
    right = max(float(line.x[-1]) for line in lines)
    values = np.concatenate([line.y for line in lines])
    across = linear_axis(right or 1.0, ends_on_tick=False)
    if upward is None:
        low, high = float(values.min()), float(values.max())
        upward = log_axis(low, high) if log else linear_axis(max(top, high))
    parts = [*y_axis(upward, height_px, text), *x_axis(across, height_px, x_unit)]
    parts += _strips(lines, across, height_px, x_unit, text)
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


def _strips(
    lines: Sequence[Series], axis: ChartAxis, height_px: int, unit: str, text: Callable[[float], str]
) -> list[str]:
    """Invisible strips, each with the points nearest to its middle as a tooltip."""
    parts = []
    for number in range(STRIPS):
        middle = axis.high * (number + 0.5) / STRIPS
        rows = [f"{unit} {middle:.3g}"]
        for line in lines:
            nearest = int(np.abs(line.x - middle).argmin())
            band = ""
            if line.low is not None and line.high is not None:
                band = f" ({text(float(line.low[nearest]))} to {text(float(line.high[nearest]))})"
            rows.append(f"{line.label}: {text(float(line.y[nearest]))}{band}")
        parts.append(
            f'<rect class="strip" x="{100 * number / STRIPS:.2f}%" width="{100 / STRIPS:.2f}%" height="{height_px}">'
            f"<title>{chr(10).join(map(html_text, rows))}</title></rect>"
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
    # The last value stays above the x axis, where the unit may reach as far as the labels.
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
