"""The report of a run: one self-contained HTML page without scripts."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from alexnet_pipeline.alexnet.checkpoint import load_newest
from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.evaluate import ClassErrors, Confusion, Evaluation, read_evaluations
from alexnet_pipeline.alexnet.filters import FilterTile, filter_tiles
from alexnet_pipeline.alexnet.metrics import Log, StepLine, read_metrics
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, read_run
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.files import write_whole
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.pages.charts import Series, data_uri, line_chart, png_uri
from alexnet_pipeline.pages.page import page_environment
from alexnet_pipeline.progress import Progress, Report, reporting, warn_to

TEMPLATE, PAGE = "report.html", "report.html"
FIRST_LAYER = "conv1.weight"
# Confusions with images, and classes in the table of the worst.
SHOWN_CONFUSIONS, WORST_CLASSES = 12, 20
# A loss that spans more than this factor is drawn on a logarithmic axis.
LOG_FROM = 10.0
MIME = {"jpg": "image/jpeg", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class Headline:
    """Error rates at the top of the page, with the step that they are of."""

    errors: ErrorRates
    step: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as SVG, with its caption."""

    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class ConfusedImages:
    """A confusion and data URIs of its examples."""

    confusion: Confusion
    uris: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of the configuration: name and value as text, and what the option means where it is one."""

    name: str
    value: str
    help: str


def report(run: Path | str, output: Path | str | None = None, *, progress: Progress = True) -> Path:
    """Write the report of a run, finished or not, as one HTML file that needs no network.

    Args:
        run: folder that `train` wrote.
        output: path of the page; default RUN/report.html.
        progress: True logs or shows warnings, False logs them; or a function that gets events.

    Returns:
        The path of the page.

    Raises:
        RefusedError: the folder holds no run.
        PipelineError: the page cannot be written.
    """
    folder = Path(run)
    path = Path(output) if output is not None else folder / PAGE
    with reporting(progress) as report_to:
        page = _page(folder, report_to)
    write_whole(path, page.encode("utf-8", "backslashreplace"))
    return path


def _page(folder: Path, report_to: Report) -> str:
    record, log = read_run(folder), read_metrics(folder)
    evaluations = read_evaluations(folder, report_to)
    validation = record.val.folder if record.val else ""
    detailed = _most_telling(evaluations, validation)
    images, note = _confused_images(detailed)
    if note:
        warn_to(report_to)(note)
    return _environment().get_template(TEMPLATE).render(
        name=folder.resolve().name,
        run=record,
        headline=_headline(log, evaluations, validation),
        charts=_charts(log),
        towers=_filters(folder, report_to),
        detailed=detailed,
        detailed_step=max(detailed.steps) if detailed else 0,
        images=images,
        images_note=note,
        evaluations=evaluations,
        validations=log.validations,
        worst=_worst(detailed),
    )  # fmt: skip


def _of_this_run(evaluations: Iterable[Evaluation], validation: str) -> list[Evaluation]:
    """Evaluations of this network alone on the set that training validates on."""
    where = Path(validation).resolve()
    return [one for one in evaluations if len(one.runs) == 1 and validation and Path(one.shards).resolve() == where]


def _most_telling(evaluations: Sequence[Evaluation], validation: str) -> Evaluation | None:
    """The newest evaluation on this run's validation set, or else on any set."""
    among = _of_this_run(evaluations, validation) or evaluations
    return max(among, key=lambda one: (max(one.steps), one.errors.protocol), default=None)


def _headline(log: Log, evaluations: Iterable[Evaluation], validation: str) -> tuple[Headline, ...]:
    """The newest rates of each protocol."""
    candidates = [Headline(line.errors, line.step) for line in log.validations]
    candidates += [Headline(one.errors, max(one.steps)) for one in _of_this_run(evaluations, validation)]
    newest: dict[str, Headline] = {}
    for one in candidates:
        protocol = one.errors.protocol
        if protocol not in newest or one.step >= newest[protocol].step:
            newest[protocol] = one
    return tuple(newest[protocol] for protocol in sorted(newest, reverse=True))


def _charts(log: Log) -> tuple[Chart, ...]:
    drawn = [_loss_chart(log), _error_chart(log), *_pace_charts(log.steps)]
    return tuple(chart for chart in drawn if chart.svg)


def _loss_chart(log: Log) -> Chart:
    losses = [(line.epoch, line.errors.loss) for line in log.validations if line.errors.loss is not None]
    lines = [
        _series("train", "train", [(line.epoch, line.loss) for line in log.steps]),
        _series("val", "val", losses, marked=True),
    ]
    values = np.concatenate([line.y for line in lines])
    logarithmic = bool(values.size and values.min() > 0 and values.max() > LOG_FROM * values.min())
    svg = line_chart("Loss by epoch", lines, x_unit="epoch", text=_number, log=logarithmic)
    return Chart("Loss (mean cross-entropy)" + (", logarithmic" if logarithmic else ""), svg)


def _error_chart(log: Log) -> Chart:
    rows = [(line.epoch, line.errors.top1_error, *line.errors.top1_interval) for line in log.validations]
    x, y, low, high = np.array(rows, np.float64).reshape(-1, 4).T
    lines = [
        _series("train", "train", [(line.epoch, line.top1_error) for line in log.steps]),
        Series("val", "val", x, y, low, high, marked=True),
    ]
    svg = line_chart("Top-1 error by epoch", lines, x_unit="epoch", text=_percent)
    return Chart("Top-1 error; the band is the 95 % Wilson interval of val", svg)


def _pace_charts(steps: Sequence[StepLine]) -> Iterator[Chart]:
    rate = _series("rate", "train", [(line.epoch, line.learning_rate) for line in steps if line.learning_rate > 0])
    yield Chart(
        "Learning rate, logarithmic",
        line_chart("Learning rate", [rate], x_unit="epoch", text=_number, log=True, height_px=140),
    )
    pace = _series("images/s", "pace", [(line.epoch, line.images_per_s) for line in steps])
    yield Chart("Throughput (images/s)", line_chart("Throughput", [pace], x_unit="epoch", text=_count, height_px=140))
    wait = _series("wait", "wait", [(line.epoch, line.data_wait) for line in steps])
    svg = line_chart("Data wait", [wait], x_unit="epoch", text=_percent, top=0.1, height_px=140)
    yield Chart("Data wait (share of step time)", svg)


def _series(label: str, style: str, points: Iterable[tuple[float, float]], *, marked: bool = False) -> Series:
    finite = [point for point in points if all(map(math.isfinite, point))]
    table = np.array(finite, np.float64).reshape(-1, 2)
    return Series(label, style, table[:, 0], table[:, 1], marked=marked)


def _filters(folder: Path, report_to: Report) -> tuple[tuple[FilterTile, ...], ...]:
    try:
        checkpoint = load_newest(folder / CHECKPOINTS, report_to)
    except PipelineError as error:
        warn_to(report_to)(f"filters are left out: {error}")
        return ()
    weights = checkpoint.weights.get(FIRST_LAYER) if checkpoint else None
    return () if weights is None else filter_tiles(weights.float().numpy())


def _confused_images(detailed: Evaluation | None) -> tuple[tuple[ConfusedImages, ...], str]:
    """Confusions with their images; without images and with a note why, where they cannot be read."""
    if detailed is None:
        return (), ""
    shown = detailed.confusions[:SHOWN_CONFUSIONS]
    try:
        shards = open_shards(detailed.shards)
        return tuple(ConfusedImages(confusion, _images(shards, confusion)) for confusion in shown), ""
    except (PipelineError, OSError, ValueError) as error:
        return tuple(ConfusedImages(confusion, ()) for confusion in shown), f"Images are left out: {error}"


def _images(shards: ShardSet, confusion: Confusion) -> tuple[str, ...]:
    for position in confusion.examples:
        same = 0 <= position < len(shards)
        if not same or shards.manifest.classes[shards.read_label(position)] != confusion.truth:
            raise PipelineError(f"{shards.folder} has changed since the evaluation; run `evaluate` again")
    return tuple(_image_uri(shards, position) for position in confusion.examples)


def _image_uri(shards: ShardSet, position: int) -> str:
    data = shards.read_image(position)
    kind = MIME.get(shards.manifest.options.encoding)
    return data_uri(kind, data) if kind else png_uri(np.load(io.BytesIO(data), allow_pickle=False))


def _worst(detailed: Evaluation | None) -> tuple[ClassErrors, ...]:
    rows = [row for row in detailed.classes if row.images] if detailed else []
    return tuple(sorted(rows, key=lambda row: (-row.top1_error, -row.top5_error, row.name))[:WORST_CLASSES])


def _environment() -> Environment:
    environment = page_environment(Path(__file__).parent)
    environment.filters.update(percent=_percent, number=_number, count=_count, settings=_settings)
    return environment


def _settings(record: Any) -> Iterator[Setting]:
    """The fields of a record as lines of the configuration; options by the names of their parameters."""
    kind: type = type(record)
    options = {parameter.field: parameter for parameter in parameters_of(kind)}
    for field in dataclasses.fields(record):
        option = options.get(field.name)
        name = option.name if option else field.name
        yield Setting(name.replace("_", " "), _text(getattr(record, field.name)), option.option.help if option else "")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
