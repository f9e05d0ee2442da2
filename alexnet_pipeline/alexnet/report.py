"""A run's folder in, one HTML page out that needs nothing beside itself: no network, no script."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from alexnet_pipeline.alexnet.checkpoint import load_newest
from alexnet_pipeline.alexnet.evaluate import ClassErrors, Confusion
from alexnet_pipeline.alexnet.filters import FilterTile, filter_tiles
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, METRICS
from alexnet_pipeline.alexnet.run_reading import (
    Rates,
    Recorded,
    Training,
    Window,
    read_recorded,
    read_run,
    read_training,
)
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.pages.charts import Floats, Series, data_uri, line_chart, png_uri
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pages.page import page_environment
from alexnet_pipeline.files import write_whole

LOG = logging.getLogger(__name__)

TEMPLATE = "report.html"
EVALUATIONS = "evaluations"
FIRST_LAYER = "conv1.weight"
# Confusions with pictures, and classes in the table of the worst.
SHOWN_CONFUSIONS, WORST_CLASSES = 12, 20
# A loss that spans more than this factor is drawn on a logarithmic axis.
LOG_FROM = 10.0
MIME = {"jpg": "image/jpeg", "png": "image/png"}
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as SVG, with its caption."""

    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class ConfusedPictures:
    """A confusion and data URIs of its examples."""

    confused: Confusion
    uris: tuple[str, ...]


def write_report(run: Path, out: Path, warn: Warn = LOG.warning) -> Path:
    """Show a run, finished or not, in one page.

    Args:
        run: folder that `train` wrote.
        out: the page's path.
        warn: told of what had to be left out.

    Raises:
        RefusedError: the folder holds no run.
        PipelineError: the page cannot be written.
    """
    record = read_run(run)
    training = read_training(run / METRICS)
    recorded = read_recorded(run / EVALUATIONS, warn)
    validation = str((record.get("shards", {}).get("val") or {}).get("folder", ""))
    detailed = _most_telling(recorded, validation)
    pictures, note = _confused_pictures(detailed)
    if note:
        warn(note)
    page = _environment().get_template(TEMPLATE).render(
        name=run.resolve().name,
        run=record,
        headline=_headline(training, recorded, validation),
        charts=_charts(training),
        towers=_filters(run, warn),
        detailed=detailed,
        pictures=pictures,
        pictures_note=note,
        recorded=recorded,
        course=list(zip(training.epochs, training.rates, strict=True)),
        worst=_worst(detailed),
    )  # fmt: skip
    write_whole(out, page.encode("utf-8", "backslashreplace"))
    return out


def _of_this_run(recorded: Iterable[Recorded], validation: str) -> list[Recorded]:
    """Evaluations of one network on the set that training validates on."""
    where = Path(validation).resolve()
    return [one for one in recorded if len(one.models) == 1 and validation and Path(one.shards).resolve() == where]


def _most_telling(recorded: Sequence[Recorded], validation: str) -> Recorded | None:
    """The newest evaluation of this run's validation set, or else of any set."""
    among = _of_this_run(recorded, validation) or recorded
    return max(among, key=lambda one: (one.rates.step, one.rates.protocol), default=None)


def _headline(training: Training, recorded: Iterable[Recorded], validation: str) -> tuple[Rates, ...]:
    """The newest rates of each protocol."""
    candidates = [*training.rates, *(one.rates for one in _of_this_run(recorded, validation))]
    newest: dict[str, Rates] = {}
    for one in candidates:
        if one.protocol not in newest or one.step >= newest[one.protocol].step:
            newest[one.protocol] = one
    return tuple(newest[protocol] for protocol in sorted(newest, reverse=True))


def _charts(training: Training) -> tuple[Chart, ...]:
    drawn = [_loss_chart(training), _error_chart(training), *_pace_charts(training.windows)]
    return tuple(chart for chart in drawn if chart.svg)


def _loss_chart(training: Training) -> Chart:
    lines = [
        _series("train", "train", [(one.epoch, one.loss) for one in training.windows]),
        _series("val", "val", _by_epoch(training, [one.loss for one in training.rates]), marked=True),
    ]
    values = np.concatenate([line.y for line in lines])
    log = bool(values.size and values.min() > 0 and values.max() > LOG_FROM * values.min())
    svg = line_chart("Loss by epoch", lines, x_unit="epoch", text=_number, log=log)
    return Chart("Loss (mean cross-entropy)" + (", logarithmic" if log else ""), svg)


def _error_chart(training: Training) -> Chart:
    rows = [
        (epoch, one.top1_error, *one.top1_interval)
        for epoch, one in zip(training.epochs, training.rates, strict=True)
        if all(map(math.isfinite, (epoch, one.top1_error, *one.top1_interval)))
    ]
    x, y, low, high = np.array(rows, np.float64).reshape(-1, 4).T
    lines = [
        _series("train", "train", [(one.epoch, one.top1_error) for one in training.windows]),
        Series("val", "val", x, y, low, high, marked=True),
    ]
    svg = line_chart("Top-1 error by epoch", lines, x_unit="epoch", text=_percent)
    return Chart("Top-1 error; the band is the 95 % Wilson interval of val", svg)


def _pace_charts(windows: Sequence[Window]) -> Iterator[Chart]:
    rate = _series("rate", "train", [(one.epoch, one.learning_rate) for one in windows if one.learning_rate > 0])
    yield Chart(
        "Learning rate, logarithmic",
        line_chart("Learning rate", [rate], x_unit="epoch", text=_number, log=True, height_px=140),
    )
    pace = _series("images/s", "pace", [(one.epoch, one.images_per_s) for one in windows])
    yield Chart("Throughput (images/s)", line_chart("Throughput", [pace], x_unit="epoch", text=_count, height_px=140))
    wait = _series("wait", "wait", [(one.epoch, one.input_wait) for one in windows])
    svg = line_chart("Input wait", [wait], x_unit="epoch", text=_percent, top=0.1, height_px=140)
    yield Chart("Input wait (share of the time without pictures to train on)", svg)


def _by_epoch(training: Training, values: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(training.epochs, values, strict=True))


def _series(label: str, style: str, points: Iterable[tuple[float, float]], *, marked: bool = False) -> Series:
    finite = [point for point in points if all(map(math.isfinite, point))]
    table: Floats = np.array(finite, np.float64).reshape(-1, 2)
    return Series(label, style, table[:, 0], table[:, 1], marked=marked)


def _filters(run: Path, warn: Warn) -> tuple[tuple[FilterTile, ...], ...]:
    checkpoint = load_newest(run / CHECKPOINTS, warn)
    weights = checkpoint.weights.get(FIRST_LAYER) if checkpoint else None
    return () if weights is None else filter_tiles(weights.float().numpy())


def _confused_pictures(detailed: Recorded | None) -> tuple[tuple[ConfusedPictures, ...], str]:
    """Confusions with their pictures; without pictures but with a note why, where they cannot be had."""
    if detailed is None:
        return (), ""
    shown = detailed.confusions[:SHOWN_CONFUSIONS]
    try:
        shards = open_shards(Path(detailed.shards))
        return tuple(ConfusedPictures(one, _pictures(shards, one)) for one in shown), ""
    except (PipelineError, OSError, ValueError) as error:
        return tuple(ConfusedPictures(one, ()) for one in shown), f"Pictures are left out: {error}"


def _pictures(shards: ShardSet, confused: Confusion) -> tuple[str, ...]:
    for position in confused.examples:
        same = 0 <= position < len(shards.shard)
        if not same or shards.manifest.classes[shards.read_label(position)] != confused.truth:
            raise PipelineError(f"{shards.folder} has changed since the evaluation; run `evaluate` again")
    return tuple(_picture_uri(shards, position) for position in confused.examples)


def _picture_uri(shards: ShardSet, position: int) -> str:
    offset, size = shards.picture[position].tolist()
    data = shards.tars[shards.shard[position]][offset : offset + size]
    kind = MIME.get(shards.manifest.options.encoding)
    return data_uri(kind, data) if kind else png_uri(np.load(io.BytesIO(data), allow_pickle=False))


def _worst(detailed: Recorded | None) -> tuple[ClassErrors, ...]:
    rows = [row for row in detailed.classes if row.images] if detailed else []
    return tuple(sorted(rows, key=lambda row: (-row.top1_error, -row.top5_error, row.name))[:WORST_CLASSES])


def _environment() -> Environment:
    environment = page_environment(Path(__file__).parent)
    environment.filters.update(percent=_percent, number=_number, count=_count, plain=_plain)
    return environment


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _plain(value: Any) -> str:
    """A value of `run.json` as text."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
