"""Writes a comparison as one self-contained HTML page, and as a figure for papers."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import statistics
from pathlib import Path
from typing import Any

from jinja2 import Environment

from alexnet_pipeline.comparison.inference import LEVEL
from alexnet_pipeline.comparison.page import figures
from alexnet_pipeline.comparison.page.gallery import (
    LESS_RGB,
    MORE_RGB,
    Exhibit,
    Gallery,
    difference_map,
    scale_of,
    signed_levels,
)
from alexnet_pipeline.comparison.page.paper_figure import paper_figure
from alexnet_pipeline.comparison.page.pareto import decibels, front, points_of
from alexnet_pipeline.comparison.records import Comparison, MatrixEntry, NetworkResults
from alexnet_pipeline.comparison.summary import columns_of, fixed
from alexnet_pipeline.files import write_whole
from alexnet_pipeline.pages.charts import MINUS, png_uri
from alexnet_pipeline.pages.page import page_environment

TEMPLATE, SCRIPT = "template.html", "report.js"
# Photos that are open at first.
OPEN_PHOTOS = 2
# Arrows in the heads of columns: which direction is good.
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
# Tint of the largest error in the matrix, so that its text stays readable.
MOST_HEAT = 0.6
# Rows of the table of images; the embedded numbers hold all.
LISTED_IMAGES = 2000


def write_page(comparison: Comparison, gallery: Gallery, output: Path) -> None:
    """Write a comparison as one page.

    Args:
        comparison: of either kind, with or without networks.
        gallery: see `gallery_of`.
        output: path of the page.

    Raises:
        PipelineError: the page cannot be written.
    """
    page = _environment().get_template(TEMPLATE).render(_context(comparison, gallery))
    write_whole(output, page.encode("utf-8", "backslashreplace"))


def write_figure(comparison: Comparison, output: Path) -> None:
    """Write frequency responses and the Pareto chart as one SVG for papers.

    Raises:
        RefusedError: the comparison is of finished shards and has no responses.
        PipelineError: the figure cannot be written.
    """
    write_whole(output, paper_figure(comparison).encode("utf-8", "backslashreplace"))


def _context(comparison: Comparison, gallery: Gallery) -> dict[str, Any]:
    script = (Path(__file__).parent / SCRIPT).read_text("utf-8")
    analytic = any(method.responses for method in comparison.methods)
    return {
        "comparison": comparison,
        "noun": "method" if comparison.kind == "methods" else "shard set",
        "first_name": comparison.methods[0].name if comparison.kind == "methods" else "the first set",
        "ranked": any(metric.better != "neither" for metric in comparison.metrics),
        "columns": columns_of(comparison),
        "analytic": analytic,
        "front": [point.name for point in front(points_of(comparison, "white"))] if analytic else [],
        "legend": figures.time_legend(comparison),
        "panels": figures.response_panels(comparison),
        "histogram": figures.scale_histogram(comparison) if comparison.images else None,
        "significant": LEVEL,
        "gallery": gallery,
        "open_photos": OPEN_PHOTOS,
        "listed": comparison.images[:LISTED_IMAGES],
        "arrows": ARROWS,
        "difference_levels": scale_of(gallery.photos),
        "more_rgb": MORE_RGB,
        "less_rgb": LESS_RGB,
        "numbers": _embedded_json(comparison),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _environment() -> Environment:
    environment = page_environment(Path(__file__).parent)
    environment.globals.update(
        pareto_chart=figures.pareto_chart,
        spectra=figures.spectra,
        sizes_chart=figures.sizes_chart,
        difference_uri=_difference_uri,
        difference_words=_difference_words,
        heat=_heat,
        consistency=_consistency,
    )
    environment.filters.update(png=png_uri, fixed=fixed, decibels=decibels)
    environment.filters.update(count=_count, counted=_counted, percent=_percent, p_value=_p_value)
    return environment


def _difference_uri(photo: Exhibit, number: int, scale_levels: int) -> str:
    return png_uri(difference_map(photo.outputs[0][1], photo.outputs[number][1], scale_levels))


def _difference_words(photo: Exhibit, number: int) -> tuple[str, str]:
    """The root mean square and the extremes of the difference from the first method, in levels."""
    signed = signed_levels(photo.outputs[0][1], photo.outputs[number][1])
    low, high = (f"{round(extreme):+d}".replace("-", MINUS) for extreme in (signed.min(), signed.max()))
    return f"{(signed**2).mean() ** 0.5:.1f}", f"{low} to {high}"


def _heat(training: NetworkResults, entry: MatrixEntry) -> float:
    """The tint of a cell of the matrix: 0 for the smallest error, `MOST_HEAT` for the largest."""
    errors = [other.top1_mean for other in training.matrix]
    low, high = min(errors), max(errors)
    return MOST_HEAT * (entry.top1_mean - low) / (high - low) if high > low else 0.0


def _consistency(training: NetworkResults, method: str) -> str:
    """The consistency of a method's networks in percent: mean ± standard deviation over seeds."""
    shares = [100 * shift.consistency for shift in training.shifts if shift.train == method]
    deviation = f" ± {statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{statistics.fmean(shares):.1f}{deviation}" if shares else ""


def _embedded_json(comparison: Comparison) -> str:
    """All numbers as JSON in which no text can end the script element; infinities and NaN become null."""
    text = json.dumps(_finite(dataclasses.asdict(comparison)), separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
