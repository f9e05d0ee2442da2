"""Writes a comparison as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from alexnet_pipeline.comparison.accuracy import mean_and_deviation
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
from alexnet_pipeline.comparison.page.pareto import decibels, front, points_of, same_places, time_legend
from alexnet_pipeline.comparison.records import Comparison, NetworkResults
from alexnet_pipeline.comparison.summary import columns_of, fixed
from alexnet_pipeline.files import write_whole
from alexnet_pipeline.pages.charts import png_uri
from alexnet_pipeline.pages.page import page_environment
from alexnet_pipeline.records import to_json
from alexnet_pipeline.text import counted, printable, with_minus

FOLDER = Path(__file__).parent
TEMPLATE, SCRIPT = "template.html", "report.js"
# Rows of the table of images; the embedded numbers hold all.
LISTED_IMAGES = 2000


def write_page(comparison: Comparison, gallery: Gallery, output: Path) -> None:
    """Write a comparison of either kind, with or without networks, and the images of its gallery as one page.

    Raises:
        PipelineError: the page cannot be written.
    """
    environment = page_environment(FOLDER)
    environment.filters.update(
        png=png_uri, fixed=_fixed, decibels=decibels, count="{:,.0f}".format, counted=counted, minus=with_minus
    )
    script = (FOLDER / SCRIPT).read_text("utf-8")
    page = environment.get_template(TEMPLATE).render(
        comparison=comparison,
        noun="method" if comparison.kind == "methods" else "shard set",
        first_name=comparison.methods[0].name if comparison.kind == "methods" else "the first set",
        ranked=any(metric.better != "neither" for metric in comparison.metrics),
        columns=[column for column in columns_of(comparison) if not column.metric.shared],
        shared=[column for column in columns_of(comparison) if column.metric.shared],
        same=any(len(group) > 1 for group in same_places(points_of(comparison, "white"))),
        front=[point.name for point in front(points_of(comparison, "white"))],
        figures=figures,
        times=time_legend(comparison, figures.TYPE_PX),
        significant=LEVEL,
        gallery=gallery,
        listed=comparison.images[:LISTED_IMAGES],
        difference_levels=scale_of(gallery.photos),
        difference=_difference,
        more_rgb=MORE_RGB,
        less_rgb=LESS_RGB,
        consistency=_consistency,
        numbers=_embedded_json(comparison),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_whole(output, page.encode("utf-8", "backslashreplace"))


def _difference(photo: Exhibit, number: int, scale_levels: int) -> tuple[str, str, str]:
    """The difference from the first method: a map as an image, and root mean square and extremes in levels."""
    first, other = photo.outputs[0][1], photo.outputs[number][1]
    signed = signed_levels(first, other)
    low, high = (with_minus(f"{round(extreme):+d}") for extreme in (signed.min(), signed.max()))
    return png_uri(difference_map(signed, scale_levels)), f"{(signed**2).mean() ** 0.5:.1f}", f"{low} to {high}"


def _fixed(value: float, decimals: int) -> str:
    return with_minus(fixed(value, decimals))


def _consistency(training: NetworkResults, method: str) -> str:
    """The consistency of a method's networks in percent: mean ± standard deviation over seeds."""
    shares = [100 * shift.consistency for shift in training.shifts if shift.train == method]
    mean, deviation = mean_and_deviation(shares)
    return f"{mean:.1f} ± {deviation:.1f}" if len(shares) > 1 else f"{mean:.1f}"


def _embedded_json(comparison: Comparison) -> str:
    """All numbers as JSON in which no text can end the script element; infinities and NaN become null.

    The page's downloads are made from it, so control characters in names are escaped here.
    """
    finite = json.loads(to_json(comparison), parse_constant=lambda name: None)
    text = json.dumps(_shown(finite), separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _shown(value: Any) -> Any:
    """Plain data with its texts as they may be shown."""
    if isinstance(value, dict):
        return {printable(name): _shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value
