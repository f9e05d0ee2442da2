"""The report's tables: values as text, rounded to what their intervals justify, and as positions in percent."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alexnet_pipeline.comparison.inference import LEVEL
from alexnet_pipeline.comparison.records import Comparison, MetricMean, NetworkResults, PairedTest
from alexnet_pipeline.comparison.summary import Column, fixed, means_of

# A cell of the heat map is tinted at most so far, so that its text stays readable.
MOST_HEAT = 0.6


@dataclass(frozen=True, slots=True)
class Cell:
    """A mean and its interval, as text and as positions from 0 to 100 % of the column's range."""

    measured: MetricMean
    mean: str
    low: str
    high: str
    left_percent: float
    width_percent: float


@dataclass(frozen=True, slots=True)
class Row:
    """A method: its name and a cell for each column, None where the metric was not measured."""

    name: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Tests:
    """The paired tests of one metric, and how many of them are significant."""

    column: Column
    tests: tuple[PairedTest, ...]
    significant: int


@dataclass(frozen=True, slots=True)
class HeatCell:
    """Errors for a training and a test method in percent, as text, and a tint from 0 to 1."""

    top1: str
    top1_deviation: str
    top5: str
    heat: float
    own: bool


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A training method: its errors by test method, and its consistency under a shift."""

    train: str
    cells: tuple[HeatCell | None, ...]
    consistency: str


def rows_of(comparison: Comparison, columns: Sequence[Column]) -> tuple[Row, ...]:
    """A row for each method."""
    ranges = {column.metric.name: _range(means_of(comparison, column.metric.name)) for column in columns}
    rows = []
    for method in comparison.methods:
        means = {mean.metric: mean for mean in method.measured}
        names = [(column, column.metric.name) for column in columns]
        cells = (_cell(column, means[name], *ranges[name]) if name in means else None for column, name in names)
        rows.append(Row(method.name, tuple(cells)))
    return tuple(rows)


def tests_of(comparison: Comparison, columns: Sequence[Column]) -> tuple[Tests, ...]:
    """The paired tests of each metric that has any."""
    grouped = []
    for column in columns:
        tests = tuple(test for test in comparison.tests if test.metric == column.metric.name)
        if tests:
            grouped.append(Tests(column, tests, sum(test.p_value < LEVEL for test in tests)))
    return tuple(grouped)


def heat_map(training: NetworkResults) -> tuple[HeatRow, ...]:
    """The matrix of errors by training and test method, in the order of the methods."""
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
    """All numbers as JSON in which no text can end the script element; infinities and NaN become null."""
    text = json.dumps(_finite(dataclasses.asdict(comparison)), separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _cell(column: Column, mean: MetricMean, low: float, high: float) -> Cell:
    span = high - low
    left, width = (100 * (mean.low - low) / span, 100 * (mean.high - mean.low) / span) if span > 0 else (0.0, 100.0)
    return Cell(mean, column.text(mean.mean), column.text(mean.low), column.text(mean.high), left, width)


def _range(means: Sequence[MetricMean]) -> tuple[float, float]:
    return min((mean.low for mean in means), default=0.0), max((mean.high for mean in means), default=0.0)


def _consistency(training: NetworkResults, train: str) -> str:
    shares = [100 * cell.consistency for cell in training.shifts if cell.train == train]
    if not shares:
        return ""
    deviation = f" ± {statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{statistics.fmean(shares):.1f}{deviation}"


def _finite(value: Any) -> Any:
    """The same with null for infinities and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
