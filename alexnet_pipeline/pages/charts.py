"""Numbers in, inline SVG out, and pictures as data URIs: pure functions, whose colours and type are the page's CSS.

A chart has no view box: x is in percent of whatever width it gets and y in pixels, so that its type and lines stay
the same size on a wide screen, on a phone and on paper. The page gives `svg.chart` its margins, and shows what lies
in them.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import PipelineError

Floats = NDArray[np.float64]

# A line gets this many points at most: a chart is some 450 pixels wide, so more cannot be seen.
MOST_POINTS = 300
# Points up to which each is marked; more would touch.
MOST_MARKS = 40
# Between the outermost values and a roomy axis's ends, as a share of the values' range.
ROOM = 0.08
# As wide as a plus sign and a digit, which a hyphen is not.
MINUS = "\N{MINUS SIGN}"
# Strips across a chart, each with the values around it as its tooltip.
STRIPS = 60
# Width of a path's own coordinates, stretched to the chart's.
PATH_WIDTH = 1000
# A direct label is a line of type, or two with the value; two labels may not come closer.
NAME_PX, LABEL_PX = 15, 28
# Of a digit in the charts' type, to put a unit beside a number.
DIGIT_PX = 6.5
# zlib's best: pages are read more often than written.
BEST_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 9)
# Steps of an axis within a power of ten.
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        label: stands at the line's end.
        style: CSS class of line, band and marks.
        x: (n,), ascending.
        y: (n,), in the chart's unit, finite.
        low: (n,), lower edge of a band around the line, or None.
        high: (n,), its upper edge, or None.
        marked: show the points, where they are few.
    """

    label: str
    style: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """How values become positions on an axis.

    Attributes:
        low: value at the beginning.
        high: value at the end.
        ticks: values that are named.
        log: logarithmic.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, values: Floats) -> Floats:
        """Where values lie, from 0 at the beginning to 1 at the end."""
        low, high = self.low, self.high
        if self.log:
            low, high, values = math.log(low), math.log(high), np.log(values)
        return np.asarray((values - low) / (high - low), np.float64)


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_unit: str,
    text: Callable[[float], str],
    top: float = 0.0,
    log: bool = False,
    upward: Axis | None = None,
    names_only: bool = False,
    height_px: int = 220,
) -> str:
    """Lines over a common x, each named at its end.

    Args:
        title: what a reader who cannot see the chart, or who points at it, is told.
        series: lines; those without points are left out.
        x_unit: name of x's unit, beside the last tick.
        text: a value as a reader wants it, with its unit.
        top: the y axis reaches at least this far; a linear one begins at 0.
        log: logarithmic y, which all values must allow.
        upward: the y axis, where none is to be made.
        names_only: leave the last value out of the labels, so that more lines have room.
        height_px: of the plot without its margins.

    Returns:
        An `<svg class="chart">`; the empty text without points.
    """
    lines = [thinned(one, MOST_POINTS) for one in series if one.x.size]
    if not lines:
        return ""
    right = max(float(one.x[-1]) for one in lines)
    values = np.concatenate([one.y for one in lines])
    across = linear_axis(right or 1.0, ends_on_tick=False)
    if upward is None:
        low, high = float(values.min()), float(values.max())
        upward = log_axis(low, high) if log else linear_axis(max(top, high))
    parts = [f"<title>{html.escape(title)}</title>"]
    parts += y_axis(upward, height_px, text)
    parts += x_axis(across, height_px, x_unit)
    parts += _strips(lines, across, height_px, x_unit, text)
    parts.append(_paths(lines, across, upward, height_px))
    parts += [mark for one in lines for mark in _marks(one, across, upward, height_px)]
    parts += _labels(lines, upward, height_px, None if names_only else text)
    name = html.escape(title, quote=True)
    return f'<svg class="chart" role="img" aria-label="{name}" height="{height_px}">{"".join(parts)}</svg>'


def thinned(series: Series, points: int) -> Series:
    """The means of at most so many runs of neighbours, with a band from the least to the greatest of each."""
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


def linear_axis(high: float, *, low: float = 0.0, ends_on_tick: bool = True) -> Axis:
    """An axis with 4 to 6 steps of 1, 2 or 5 times a power of ten, from a tick on: unless told otherwise, from 0."""
    span = high - low
    span = span if math.isfinite(span) and span > 0 else 1.0
    unit = 10.0 ** math.floor(math.log10(span / 5))
    step = next(unit * factor for factor in STEPS if unit * factor * 5 >= span * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    end = low + span
    last = math.ceil(end / step - 1e-9) if ends_on_tick else math.floor(end / step + 1e-9)
    return Axis(step * first, step * last if ends_on_tick else end, tuple(step * i for i in range(first, last + 1)))


def roomy_axis(values: Sequence[float]) -> Axis:
    """An axis with some room beyond the values at either end, and the ticks within."""
    low, high = min(values), max(values)
    room = ROOM * (high - low) if high > low else 0.5 * abs(high) or 1.0
    low, high = low - room, high + room
    ticks = linear_axis(high, low=low).ticks
    return Axis(low, high, tuple(tick for tick in ticks if low <= tick <= high))


def log_axis(low: float, high: float) -> Axis:
    """A logarithmic axis between two steps of 1, 2 or 5 times a power of ten; many decades name powers of ten only.

    Args:
        low: least value, above 0.
        high: greatest value.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = [10.0**power * factor for power in range(first, last + 1) for factor in STEPS[:3]]
    below = max(value for value in every if value <= low * (1 + 1e-9))
    above = min(value for value in every if value >= high * (1 - 1e-9) and value > below)
    ticks = [value for value in every if below <= value <= above]
    if len(ticks) > 7:
        ticks = [value for value in ticks if math.isclose(math.log10(value) % 1.0, 0, abs_tol=1e-6)]
    return Axis(below, above, tuple(ticks), log=True)


def png_uri(image: NDArray[np.uint8]) -> str:
    """A picture, HWC uint8 in R, G, B and perhaps opacity, as a data URI; one without colour is stored as greyscale.

    Raises:
        PipelineError: the picture has another shape or type.
    """
    if image.ndim != 3 or image.shape[2] not in {3, 4} or image.dtype != np.uint8 or not image.size:
        raise PipelineError(f"a picture of shape {image.shape} and type {image.dtype}; expected HWC uint8 in R, G, B")
    if image.shape[2] == 4:
        stored = image[..., [2, 1, 0, 3]]
    else:
        grey = np.array_equal(image[..., :1].repeat(2, axis=2), image[..., 1:])
        stored = image[..., 0] if grey else image[..., ::-1]
    _, data = cv2.imencode(".png", np.ascontiguousarray(stored), BEST_PNG)
    return data_uri("image/png", data.tobytes())


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as a URI that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def y_axis(axis: Axis, height_px: int, text: Callable[[float], str]) -> list[str]:
    """Lines across at the ticks, with their values to the left."""
    heights = height_px * (1 - axis.share(np.array(axis.ticks)))
    return [
        f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" text-anchor="end" x="-8" y="{y:.1f}" dy=".35em">{html.escape(text(value))}</text>'
        for value, y in zip(axis.ticks, heights, strict=True)
    ]


def x_axis(axis: Axis, height_px: int, unit: str) -> list[str]:
    """The base line with its ticks, their values below and the unit beside the last."""
    names = [f"{value:,.10g}" for value in axis.ticks]
    places = [f"{100 * share:.2f}%" for share in axis.share(np.array(axis.ticks))]
    parts = [
        f'<line class="base" x1="{x}" x2="{x}" y1="{height_px}" y2="{height_px + 4}"/>'
        f'<text class="tick" text-anchor="middle" x="{x}" y="{height_px + 18}">{name}</text>'
        for name, x in zip(names, places, strict=True)
    ]
    parts.append(f'<line class="base" x1="0" x2="100%" y1="{height_px}" y2="{height_px}"/>')
    beside = len(names[-1]) * DIGIT_PX / 2 + 4
    parts.append(
        f'<text class="tick" x="{places[-1]}" dx="{beside:.0f}" y="{height_px + 18}">{html.escape(unit)}</text>'
    )
    return parts


def _strips(lines: Sequence[Series], axis: Axis, height_px: int, unit: str, text: Callable[[float], str]) -> list[str]:
    """Invisible strips, each with what lies nearest to its middle."""
    parts = []
    for number in range(STRIPS):
        middle = axis.high * (number + 0.5) / STRIPS
        told = [f"{unit} {middle:.3g}"]
        for one in lines:
            nearest = int(np.abs(one.x - middle).argmin())
            band = ""
            if one.low is not None and one.high is not None:
                band = f" ({text(float(one.low[nearest]))} to {text(float(one.high[nearest]))})"
            told.append(f"{one.label}: {text(float(one.y[nearest]))}{band}")
        parts.append(
            f'<rect class="strip" x="{100 * number / STRIPS:.2f}%" width="{100 / STRIPS:.2f}%" height="{height_px}">'
            f"<title>{html.escape(chr(10).join(told))}</title></rect>"
        )
    return parts


def _paths(lines: Sequence[Series], across: Axis, upward: Axis, height_px: int) -> str:
    """Bands below lines."""
    bands, strokes = [], []
    for one in lines:
        x = PATH_WIDTH * across.share(one.x)
        if one.low is not None and one.high is not None:
            edge = np.concatenate([y_px(one.low, upward, height_px), y_px(one.high, upward, height_px)[::-1]])
            bands.append(f'<path class="band {one.style}" d="{path_data(np.concatenate([x, x[::-1]]), edge)}Z"/>')
        strokes.append(f'<path class="line {one.style}" d="{path_data(x, y_px(one.y, upward, height_px))}"/>')
    return stretched(bands + strokes, height_px)


def stretched(shapes: Sequence[str], height_px: int) -> str:
    """Shapes in 0..`PATH_WIDTH` across and in pixels down, stretched to the chart's width and cut at its edges."""
    box = f'viewBox="0 0 {PATH_WIDTH} {height_px}" preserveAspectRatio="none" width="100%" height="{height_px}"'
    return f'<svg class="paths" {box}>{"".join(shapes)}</svg>'


def _marks(series: Series, across: Axis, upward: Axis, height_px: int) -> list[str]:
    if series.x.size > 1 and not (series.marked and series.x.size <= MOST_MARKS):
        return []
    places = zip(100 * across.share(series.x), y_px(series.y, upward, height_px), strict=True)
    return [f'<circle class="mark {series.style}" cx="{x:.2f}%" cy="{y:.1f}" r="2.5"/>' for x, y in places]


def _labels(lines: Sequence[Series], axis: Axis, height_px: int, text: Callable[[float], str] | None) -> list[str]:
    """Name and, where there is a text for it, last value of each line, beside its end and clear of each other."""
    wanted = sorted(((float(y_px(one.y[-1:], axis, height_px)[0]), one) for one in lines), key=lambda pair: pair[0])
    high = LABEL_PX if text else NAME_PX
    parts = []
    for y, (end, one) in zip(spread([y + 4 for y, _ in wanted], high, height_px), wanted, strict=True):
        if not text:
            parts.append(f'<svg x="100%"><path class="leader {one.style}" d="M1,{end:.1f}L7,{y - 4:.1f}"/></svg>')
        parts.append(f'<text class="label {one.style}" x="100%" dx="8" y="{y:.1f}">{html.escape(one.label)}</text>')
        if text:
            value = html.escape(text(float(one.y[-1])))
            parts.append(f'<text class="value" x="100%" dx="8" y="{y + 13:.1f}">{value}</text>')
    return parts


def spread(wanted: Sequence[float], high_px: float, height_px: float) -> list[float]:
    """Baselines of labels where they are wanted, which ascend; those that would touch are moved apart about their mean.

    Args:
        wanted: baselines, ascending.
        high_px: of a label, with the space to the next.
        height_px: of the chart, which the baselines stay within.
    """
    runs: list[list[float]] = []  # of labels that touch: first baseline, number
    for y in wanted:
        runs.append([y, 1.0])
        while len(runs) > 1 and runs[-2][0] + runs[-2][1] * high_px > runs[-1][0]:
            (first, count), (second, more) = runs[-2:]
            middle = (count * first + more * (second - count * high_px)) / (count + more)
            runs[-2:] = [[middle, count + more]]
    places = [first + high_px * number for first, count in runs for number in range(int(count))]
    lowest = height_px + 4 - high_px * (len(places) - 1)
    for number, y in enumerate(places):
        places[number] = max(min(y, lowest + high_px * number), 4 + high_px * number)
    return places


def y_px(values: Floats, axis: Axis, height_px: int) -> Floats:
    """Pixels from the top; a value below a logarithmic axis lies on its edge."""
    return height_px * (1 - axis.share(np.maximum(values, axis.low) if axis.log else values))


def path_data(x: Floats, y: Floats) -> str:
    """Points as a path's data."""
    return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
