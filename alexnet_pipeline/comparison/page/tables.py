"""A comparison in, the page's tables out: values rounded to what their intervals tell, as text, and as shares."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alexnet_pipeline.comparison.inference import LEVEL
from alexnet_pipeline.comparison.records import Comparison, Measured, Metric, PairedTest, Training

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
MOST_DECIMALS = 4
# A cell of the heat map is tinted at most so far, so that its text stays readable.
MOST_HEAT = 0.6


@dataclass(frozen=True, slots=True)
class Column:
    """A metric as a column.

    Attributes:
        metric: what is measured.
        unit: as shown, empty for none.
        factor: from the metric's unit to the one shown.
        decimals: that the intervals justify.
    """

    metric: Metric
    unit: str
    factor: float
    decimals: int

    def text(self, value: float) -> str:
        """A value in the column's unit and precision."""
        return fixed(value * self.factor, self.decimals)

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return ARROWS[self.metric.better]


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric's mean and its interval, as text and as places from 0 to 100 % of the column's range."""

    measured: Measured
    mean: str
    low: str
    high: str
    left_percent: float
    width_percent: float


@dataclass(frozen=True, slots=True)
class Row:
    """A method: its name and a cell for each column, None where it was not measured."""

    name: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Tests:
    """The paired tests of one metric, and how many of them found a difference."""

    column: Column
    tests: tuple[PairedTest, ...]
    found: int


@dataclass(frozen=True, slots=True)
class HeatCell:
    """Train filter x test filter: top-1 and top-5 error in percent as text, and a tint from 0 to 1."""

    top1: str
    top1_deviation: str
    top5: str
    heat: float
    own: bool


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A method trained with: its errors by test method, and how often it answers the same after a shift."""

    train: str
    cells: tuple[HeatCell | None, ...]
    consistency: str


def columns_of(comparison: Comparison) -> tuple[Column, ...]:
    """A column for each metric."""
    return tuple(_column(metric, _measured(comparison, metric.name)) for metric in comparison.metrics)


def rows_of(comparison: Comparison, columns: Sequence[Column]) -> tuple[Row, ...]:
    """A row for each method."""
    ranges = {column.metric.name: _range(_measured(comparison, column.metric.name)) for column in columns}
    rows = []
    for method in comparison.methods:
        mine = {entry.metric: entry for entry in method.measured}
        cells = [
            _cell(column, mine[column.metric.name], *ranges[column.metric.name]) if column.metric.name in mine else None
            for column in columns
        ]
        rows.append(Row(method.name, tuple(cells)))
    return tuple(rows)


def tests_of(comparison: Comparison, columns: Sequence[Column]) -> tuple[Tests, ...]:
    """The paired tests by metric; metrics without any are left out."""
    grouped = []
    for column in columns:
        mine = tuple(test for test in comparison.tests if test.metric == column.metric.name)
        if mine:
            grouped.append(Tests(column, mine, sum(test.p_value < LEVEL for test in mine)))
    return tuple(grouped)


def heat_map(training: Training) -> tuple[HeatRow, ...]:
    """The matrix train filter x test filter; both in the order in which methods occur."""
    methods = list(dict.fromkeys(entry.train for entry in training.matrix))
    entries = {(entry.train, entry.test): entry for entry in training.matrix}
    errors = [entry.top1_mean for entry in training.matrix]
    low, high = min(errors, default=0.0), max(errors, default=0.0)
    rows = []
    for train in methods:
        cells: list[HeatCell | None] = []
        for test in methods:
            entry = entries.get((train, test))
            if entry is None:
                cells.append(None)
                continue
            heat = MOST_HEAT * (entry.top1_mean - low) / (high - low) if high > low else 0.0
            texts = [fixed(100 * v, 1) for v in (entry.top1_mean, entry.top1_deviation, entry.top5_mean)]
            cells.append(HeatCell(texts[0], texts[1], texts[2], heat, train == test))
        rows.append(HeatRow(train, tuple(cells), _consistency(training, train)))
    return tuple(rows)


def embedded_json(comparison: Comparison) -> str:
    """All numbers as JSON that no text in them can end the script element of; what is no number becomes null."""
    text = json.dumps(_finite(dataclasses.asdict(comparison)), separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals, thousands apart, and no sign before a zero."""
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def _column(metric: Metric, entries: Sequence[Measured]) -> Column:
    unit, factor = metric.unit, 1.0
    if unit == "bytes":
        unit, factor = "kB", 1e-3
    elif not unit and metric.name.endswith("_share"):
        unit, factor = "%", 100.0
    halves = [(entry.high - entry.low) / 2 for entry in entries if math.isfinite(entry.high - entry.low)]
    told = [half * factor for half in halves if half > 0]
    if not told:
        means = [entry.mean * factor for entry in entries]
        told = [(max(means) - min(means)) / 20] if means and max(means) > min(means) else [1.0]
    digits = 1 - math.floor(math.log10(2 * statistics.median(told)))
    return Column(metric, unit, factor, min(max(digits, 0), MOST_DECIMALS))


def _cell(column: Column, entry: Measured, low: float, high: float) -> Cell:
    span = high - low
    left, width = (100 * (entry.low - low) / span, 100 * (entry.high - entry.low) / span) if span > 0 else (0.0, 100.0)
    return Cell(entry, column.text(entry.mean), column.text(entry.low), column.text(entry.high), left, width)


def _measured(comparison: Comparison, metric: str) -> list[Measured]:
    return [entry for method in comparison.methods for entry in method.measured if entry.metric == metric]


def _range(entries: Sequence[Measured]) -> tuple[float, float]:
    return min((entry.low for entry in entries), default=0.0), max((entry.high for entry in entries), default=0.0)


def _consistency(training: Training, train: str) -> str:
    shares = [100 * cell.consistency for cell in training.shifts if cell.train == train]
    if not shares:
        return ""
    deviation = f" ± {statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{statistics.fmean(shares):.1f}{deviation}"


def _finite(value: Any) -> Any:
    """The same without infinities and what is no number, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
