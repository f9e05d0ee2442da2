"""The numbers of a report as files that the page carries in its links: JSON with all, and a CSV for each table."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.evaluate import Evaluation
from alexnet_pipeline.alexnet.metrics import Log, StepLine
from alexnet_pipeline.alexnet.run_folder import RunRecord
from alexnet_pipeline.pages.charts import data_uri
from alexnet_pipeline.records import to_json
from alexnet_pipeline.text import printable

# Significant digits of training's numbers, of which a long run has a million; `metrics.jsonl` has them all.
DIGITS = 6
# A spreadsheet takes text that begins like this for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
STEP_COLUMNS = [field.name for field in dataclasses.fields(StepLine) if field.name != "kind"]
RATE_COLUMNS = [
    "protocol",
    "images",
    "loss",
    "top1_error",
    "top1_low",
    "top1_high",
    "top5_error",
    "top5_low",
    "top5_high",
]


class Download(NamedTuple):
    """A file: what it holds, its name, and its bytes as a URI."""

    words: str
    name: str
    uri: str


def downloads_of(
    run: RunRecord, log: Log, evaluations: Sequence[Evaluation], detailed: Evaluation | None
) -> list[Download]:
    """The files for a run; tables without rows are left out."""
    steps = [[_rounded(getattr(line, name)) for name in STEP_COLUMNS] for line in log.steps]
    validations = [[line.step, line.images, line.epoch, *_rates(line.errors)] for line in log.validations]
    evaluated = [[one.shards, one.method, len(one.runs), max(one.steps), *_rates(one.errors)] for one in evaluations]
    classes = (
        [[row.name, row.words, row.images, row.top1_error, row.top5_error] for row in detailed.classes]
        if detailed
        else []
    )
    tables: list[tuple[str, str, list[str], list[list[Any]]]] = [
        ("Training as CSV", "training.csv", STEP_COLUMNS, steps),
        ("Validations as CSV", "validations.csv", ["step", "images_seen", "epoch", *RATE_COLUMNS], validations),
        ("Evaluations as CSV", "evaluations.csv", ["shards", "method", "networks", "step", *RATE_COLUMNS], evaluated),
        ("Classes as CSV", "classes.csv", ["class", "words", "images", "top1_error", "top5_error"], classes),
    ]  # fmt: skip
    files = [
        Download(words, name, data_uri("text/csv;charset=utf-8", _csv(heads, rows)))
        for words, name, heads, rows in tables
        if rows
    ]
    whole = Download(
        "All numbers as JSON", "run.json", data_uri("application/json", _json(run, log, evaluations, steps))
    )
    return [*files, whole]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _rates(errors: ErrorRates) -> list[Any]:
    """The values of `RATE_COLUMNS`."""
    top1, top5 = (errors.top1_error, *errors.top1_interval), (errors.top5_error, *errors.top5_interval)
    return [errors.protocol, errors.total_images, errors.loss, *top1, *top5]


def _csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as a spreadsheet reads it: with a byte order mark, and no text that is a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(heads)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue().encode("utf-8-sig", "backslashreplace")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _json(run: RunRecord, log: Log, evaluations: Sequence[Evaluation], steps: Sequence[Sequence[Any]]) -> bytes:
    """All records; steps are columns, since they are many."""
    columns = zip(*steps, strict=True) if steps else ((),) * len(STEP_COLUMNS)
    whole = {
        "run": json.loads(to_json(run)),
        "training": dict(zip(STEP_COLUMNS, columns, strict=True)),
        "validations": [json.loads(to_json(line)) for line in log.validations],
        "changes": [json.loads(to_json(line)) for line in log.changes],
        "evaluations": [json.loads(to_json(one)) for one in evaluations],
    }
    return json.dumps(whole, separators=(",", ":")).encode()
