"""The table of a comparison's means: units and decimals of its columns, its cells, and the table as HTML."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alexnet_pipeline.text import html_table, html_text

if TYPE_CHECKING:
    from alexnet_pipeline.comparison.records import Comparison, MethodResult, Metric, MetricMean

# Metrics of the table on a terminal and in a notebook; the report has all.
SHOWN_METRICS = {
    "methods": ("psnr_db", "ssim", "shift_error_levels", "jpeg_bytes", "resample_ms"),
    "shards": ("psnr_db", "ssim", "error_levels", "file_bytes"),
}
# End of a metric's name -> the unit in which people read it, and the factor to that.
SHOWN_UNITS = {"bytes": ("kB", 1e-3), "share": ("%", 100.0)}
MOST_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A metric as a column of a table, from the lowest to the highest end of its confidence intervals, in its unit.

    Attributes:
        unit: as shown, empty for none.
        factor: from the metric's unit to the one shown.
        decimals: that the confidence intervals justify.
    """

    metric: Metric
    unit: str
    factor: float
    decimals: int
    low: float
    high: float

    def text(self, value: float) -> str:
        """A value in the column's unit and precision."""
        return fixed(value * self.factor, self.decimals)

    def position(self, mean: MetricMean) -> tuple[float, float]:
        """Left end and width of a mean's interval, in percent of the column's range."""
        span = self.high - self.low
        return (100 * (mean.low - self.low) / span, 100 * (mean.high - mean.low) / span) if span > 0 else (0.0, 100.0)


def columns_of(comparison: Comparison) -> tuple[Column, ...]:
    """A column for each metric."""
    return tuple(_column(metric, list(means_of(comparison, metric.name).values())) for metric in comparison.metrics)


def means_of(comparison: Comparison, metric: str) -> dict[str, MetricMean]:
    """The mean of a metric for each method."""
    return {method.name: mean for method in comparison.methods for mean in method.measured if mean.metric == metric}


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals, a comma between thousands, and no sign before a zero."""
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def as_html(comparison: Comparison) -> str:
    """The table of means and the verdict, for a notebook."""
    heads, rows = means_table(comparison)
    verdict = "".join(f"<p>{html_text(sentence)}</p>" for sentence in comparison.verdict)
    return html_table([f"{name} ({unit})" if unit else name for name, unit in heads], rows) + verdict


def means_table(comparison: Comparison) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """The main means: heads, each with its unit, and rows of cells; a star is at the best mean of a column."""
    shown = SHOWN_METRICS[comparison.kind]
    columns = [column for column in columns_of(comparison) if column.metric.name in shown]
    heads = [("method" if comparison.kind == "methods" else "shard set", "")]
    heads += [("alias", "dB"), ("pass band", "%")] if comparison.kind == "methods" else []
    heads += [(column.metric.label, column.unit) for column in columns]
    return heads, [_row(method, columns) for method in comparison.methods]


def table_notes(comparison: Comparison) -> list[str]:
    """What the marks and columns of the table mean."""
    notes = []
    if any(mean.best for method in comparison.methods for mean in method.measured):
        notes.append("* best mean of the column")
    if comparison.kind == "methods":
        notes.append(
            f"alias: energy above Nyquist that remains; pass band: energy below it that is kept (white input, scale "
            f"{comparison.scales[0]:g})"
        )
    return notes


def _row(method: MethodResult, columns: Sequence[Column]) -> list[str]:
    cells = [method.name]
    if method.responses:
        cells += [fixed(method.responses[0].alias_white_db, 1), fixed(100 * method.responses[0].passband_white, 0)]
    means = {mean.metric: mean for mean in method.measured}
    for column in columns:
        mean = means[column.metric.name]
        # A blank where another row has a star, so that digits stay below each other.
        mark = "" if column.metric.better == "neither" else "*" if mean.best else " "
        cells.append(column.text(mean.mean) + mark)
    return cells


def _column(metric: Metric, means: Sequence[MetricMean]) -> Column:
    unit, factor = SHOWN_UNITS.get(metric.name.rpartition("_")[2], (metric.unit, 1.0))
    halves = [(mean.high - mean.low) / 2 * factor for mean in means]
    uncertainties = [half for half in halves if 0 < half < math.inf]
    if not uncertainties:
        values = [mean.mean * factor for mean in means]
        uncertainties = [(max(values) - min(values)) / 20 or 1.0]
    digits = 1 - math.floor(math.log10(2 * statistics.median(uncertainties)))
    low, high = min(mean.low for mean in means), max(mean.high for mean in means)
    return Column(metric, unit, factor, min(max(digits, 0), MOST_DECIMALS), low, high)
