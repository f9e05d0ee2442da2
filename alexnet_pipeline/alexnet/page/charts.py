"""The curves of a run, as inline SVG with captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from alexnet_pipeline.alexnet.metrics import ChangeLine, Log, StepLine
from alexnet_pipeline.alexnet.recipe import Schedule
from alexnet_pipeline.pages.axes import ChartAxis, fitting_axis, linear_axis
from alexnet_pipeline.pages.charts import Series, line_chart
from alexnet_pipeline.text import percent

# A line of the log that covers less than this share of the usual number of steps is noise, and joins the one before.
SHORT = 0.6
# The axis of the data wait reaches at least to this share.
LEAST_WAIT = 0.1
LOW_PX = 140


class Chart(NamedTuple):
    """A caption and an SVG."""

    caption: str
    svg: str


def charts_of(log: Log, schedule: Schedule) -> list[Chart]:
    """The charts that have data; a rate that falls linearly has a linear axis."""
    return [chart for chart in _charts(log, schedule) if chart.svg]


def epoch_of(change: ChangeLine, log: Log) -> float:
    """Passes over the training set when a run was resumed; 0 where nothing was logged."""
    known = [(line.step, line.epoch) for line in log.steps]
    known += [(line.step, line.epoch) for line in log.validations]
    if not known:
        return 0.0
    step, epoch = min(known, key=lambda pair: abs(pair[0] - change.step))
    return epoch * change.step / max(step, 1)


def even_windows(steps: Sequence[StepLine]) -> list[StepLine]:
    """Lines of the log that cover about as many steps each.

    At an epoch's end the log has a line for the few steps since the last. Its values are the mean of few batches, which
    would draw a saw; here it is joined with the line before it, each weighted by its images.
    """
    before = [0, *(line.step for line in steps)]
    usual = median([line.step - start for line, start in zip(steps, before, strict=False)]) if steps else 0
    joined: list[StepLine] = []
    starts: list[int] = []
    for line, start in zip(steps, before, strict=False):
        if joined and line.step - start < SHORT * usual:
            joined[-1] = _joined(joined[-1], line, joined[-1].step - starts[-1], line.step - start)
        else:
            joined.append(line)
            starts.append(start)
    return joined


def number_text(value: float | None) -> str:
    """Three significant digits; a power of ten without leading zeros, like `4.39e-5`."""
    if value is None:
        return "not finite"
    mantissa, _, power = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(power)}" if power else mantissa


def _charts(log: Log, schedule: Schedule) -> Iterator[Chart]:
    steps, validations = even_windows(log.steps), log.validations
    events = [
        (epoch_of(change, log), f"Resumed with {'; '.join(change.changes).replace('_', ' ')}") for change in log.changes
    ]
    shared: dict[str, Any] = {"x_unit": "epoch", "events": events}

    losses = [(line.epoch, line.errors.loss) for line in validations if line.errors.loss is not None]
    train, val = _series("train", "train", [(line.epoch, line.loss) for line in steps]), _series("val", "val", losses)
    axis = _axis(train, val)
    svg = line_chart("Loss by epoch", [train, val], text=number_text, upward=axis, **shared)
    yield Chart("Loss (mean cross-entropy)" + _scale(axis), svg)

    shares: dict[str, Any] = {"text": _percent, "tick": _percent_tick}
    train = _series("train", "train", [(line.epoch, line.top1_error) for line in steps])
    errors = [(line.epoch, line.errors.top1_error, *line.errors.top1_interval) for line in validations]
    svg = line_chart("Top-1 error by epoch", [train, _series("val", "val", errors)], **shares, **shared)
    yield Chart("Top-1 error; the band is the 95 % Wilson interval of val", svg)

    rate = _series("rate", "train", [(line.epoch, line.learning_rate) for line in log.steps if line.learning_rate > 0])
    axis = None if schedule == "linear" else _axis(rate)
    svg = line_chart("Learning rate", [rate], text=number_text, upward=axis, height_px=LOW_PX, **shared)
    yield Chart("Learning rate" + _scale(axis), svg)
    pace = _series("images/s", "pace", [(line.epoch, line.images_per_s) for line in steps])
    yield Chart("Throughput (images/s)", line_chart("Throughput", [pace], text=_count, height_px=LOW_PX, **shared))
    wait = _series("wait", "wait", [(line.epoch, line.data_wait) for line in steps])
    axis = linear_axis(max(LEAST_WAIT, wait.y.max(initial=0.0)))
    svg = line_chart("Data wait", [wait], upward=axis, height_px=LOW_PX, **shares, **shared)
    yield Chart("Data wait (share of step time)", svg)


def _series(label: str, style: str, points: Sequence[tuple[float, ...]]) -> Series:
    """A line through points (x, y), or with a band through (x, y, low, high); validations are few and get marks."""
    columns = np.array(points, np.float64).reshape(len(points), -1).T if points else np.empty((2, 0))
    given: dict[str, Any] = dict(zip(("x", "y", "low", "high"), columns, strict=False))
    return Series(label, style, **given, marked=label == "val")


def _axis(*series: Series) -> ChartAxis | None:
    values = np.concatenate([line.y for line in series])
    return fitting_axis(values) if values.size else None


def _scale(axis: ChartAxis | None) -> str:
    return ", logarithmic" if axis and axis.log else ""


def _joined(first: StepLine, last: StepLine, first_steps: int, last_steps: int) -> StepLine:
    """Two neighbouring lines as one, with means by steps, and by time where that is what was measured."""
    steps = first_steps + last_steps
    seconds = [count / max(line.images_per_s, 1e-9) for line, count in ((first, first_steps), (last, last_steps))]

    def mean(name: str) -> float:
        value: float = (first_steps * getattr(first, name) + last_steps * getattr(last, name)) / steps
        return value

    return replace(
        last,
        loss=mean("loss"),
        top1_error=mean("top1_error"),
        images_per_s=steps / sum(seconds),
        data_wait=(first.data_wait * seconds[0] + last.data_wait * seconds[1]) / sum(seconds),
    )


def _percent(share: float) -> str:
    return f"{percent(share)} %"


def _percent_tick(share: float) -> str:
    return f"{100 * share:.6g} %"


def _count(value: float) -> str:
    return f"{value:,.0f}"
