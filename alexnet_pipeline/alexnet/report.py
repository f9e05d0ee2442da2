"""The report of a run: one self-contained HTML page without scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.alexnet.checkpoint import load_newest
from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.evaluate import Confusion, Evaluation, read_evaluations
from alexnet_pipeline.alexnet.exchange import TOWERS
from alexnet_pipeline.alexnet.metrics import Log, read_metrics
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, read_run
from alexnet_pipeline.dataset.cache import open_sets
from alexnet_pipeline.dataset.npy import read_npy
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.files import write_whole
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.pages.charts import Series, data_uri, line_chart, png_uri
from alexnet_pipeline.pages.page import page_environment
from alexnet_pipeline.progress import Progress, Report, reporting, warn_to
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.remote import is_url

TEMPLATE, PAGE = "report.html", "report.html"
FIRST_LAYER = "conv1.weight"
# Confusions that are shown.
SHOWN_CONFUSIONS = 12
# A loss that spans more than this factor is drawn on a logarithmic axis.
LOG_FROM = 10.0
MIME = {"jpg": "image/jpeg", "png": "image/png"}
MAGIC = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


def report(
    run: Path | str,
    output: Path | str | None = None,
    *,
    cache: Path | str | None = None,
    progress: Progress = True,
) -> Path:
    """Write the report of a run, finished or not, as one HTML file that needs no network.

    Args:
        run: folder that `train` wrote.
        output: path of the page; default RUN/report.html.
        cache: folder that `evaluate` had, where the images of an evaluation are in an object store; without it they are
            left out.
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
        page = _page(folder, Path(cache) if cache is not None else None, report_to)
    write_whole(path, page.encode("utf-8", "backslashreplace"))
    return path


def _page(folder: Path, cache: Path | None, report_to: Report) -> str:
    record, log = read_run(folder), read_metrics(folder)
    evaluations = read_evaluations(folder, report_to)
    validation = _resolved(record.val.folder) if record.val else None
    own = [one for one in evaluations if len(one.runs) == 1 and _resolved(one.shards) == validation]
    # The newest evaluation on this run's validation set, or else on any set, has the details.
    detailed = max(own or evaluations, key=lambda one: (max(one.steps), one.errors.protocol), default=None)
    images, note = _confused_images(detailed, cache, report_to)
    if note:
        warn_to(report_to)(note)
    environment = page_environment(Path(__file__).parent)
    environment.filters.update(
        percent=_percent, number=_number, count=_count, settings=_settings, first_words=_first_words
    )
    return environment.get_template(TEMPLATE).render(
        name=folder.resolve().name,
        run=record,
        headline=_headline(log, own),
        charts=[(caption, svg) for caption, svg in _charts(log) if svg],
        towers=_filters(folder, report_to),
        detailed=detailed,
        images=images,
        images_note=note,
        evaluations=evaluations,
        validations=log.validations,
    )  # fmt: skip


def _resolved(folder: str) -> str:
    """A folder of a record without links, or a URL."""
    return folder if is_url(folder) else str(Path(folder).resolve())


def _headline(log: Log, own: Sequence[Evaluation]) -> list[tuple[ErrorRates, int]]:
    """The newest rates of each protocol, with the step that they are of."""
    rates = [(line.errors, line.step) for line in log.validations] + [(one.errors, max(one.steps)) for one in own]
    newest = {errors.protocol: (errors, step) for errors, step in sorted(rates, key=lambda pair: pair[1])}
    return [newest[protocol] for protocol in sorted(newest, reverse=True)]


def _charts(log: Log) -> Iterator[tuple[str, str]]:
    """Captions and charts; a chart without data is empty."""
    steps, validations = log.steps, log.validations
    losses = [(line.epoch, line.errors.loss) for line in validations if line.errors.loss is not None]
    train, val = _series("train", "train", [(line.epoch, line.loss) for line in steps]), _series("val", "val", losses)
    y = np.concatenate([train.y, val.y])
    log_y = bool(y.size and y.min() > 0 and y.max() > LOG_FROM * y.min())
    svg = line_chart("Loss by epoch", [train, val], x_unit="epoch", text=_number, log=log_y)
    yield "Loss (mean cross-entropy)" + (", logarithmic" if log_y else ""), svg

    train = _series("train", "train", [(line.epoch, line.top1_error) for line in steps])
    errors = [(line.epoch, line.errors.top1_error, *line.errors.top1_interval) for line in validations]
    val = _series("val", "val", errors)
    svg = line_chart("Top-1 error by epoch", [train, val], x_unit="epoch", text=_percent)
    yield "Top-1 error; the band is the 95 % Wilson interval of val", svg

    rate = _series("rate", "train", [(line.epoch, line.learning_rate) for line in steps if line.learning_rate > 0])
    svg = line_chart("Learning rate", [rate], x_unit="epoch", text=_number, log=True, height_px=140)
    yield "Learning rate, logarithmic", svg
    pace = _series("images/s", "pace", [(line.epoch, line.images_per_s) for line in steps])
    yield "Throughput (images/s)", line_chart("Throughput", [pace], x_unit="epoch", text=_count, height_px=140)
    wait = _series("wait", "wait", [(line.epoch, line.data_wait) for line in steps])
    svg = line_chart("Data wait", [wait], x_unit="epoch", text=_percent, top=0.1, height_px=140)
    yield "Data wait (share of step time)", svg


def _series(label: str, style: str, points: Sequence[tuple[float, ...]]) -> Series:
    """A line through points (x, y), or with a band through (x, y, low, high); validations are few and get marks."""
    columns = np.array(points, np.float64).reshape(len(points), -1).T if points else np.empty((2, 0))
    given: dict[str, Any] = dict(zip(("x", "y", "low", "high"), columns, strict=False))
    return Series(label, style, **given, marked=label == "val")


def _filters(folder: Path, report_to: Report) -> list[list[tuple[str, float, float]]]:
    """The first layer's filters by tower, as figure 3 of the paper shows them."""
    try:
        checkpoint = load_newest(folder / CHECKPOINTS, report_to)
    except PipelineError as error:
        warn_to(report_to)(f"filters are left out: {error}")
        return []
    weights = checkpoint.weights[FIRST_LAYER].double().chunk(TOWERS) if checkpoint else ()
    return [[_filter(filter_) for filter_ in tower.numpy()] for tower in weights]


def _filter(weights: NDArray[np.float64]) -> tuple[str, float, float]:
    """A filter (3, height, width) as an image, and its least and greatest weight, which are drawn black and white."""
    values = np.nan_to_num(weights, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return png_uri(np.rint(scaled * 255).astype(np.uint8).transpose(1, 2, 0)), low, high


def _confused_images(
    detailed: Evaluation | None, cache: Path | None, report_to: Report
) -> tuple[list[tuple[Confusion, list[str]]], str]:
    """Confusions with their images; without images and with a note why, where they cannot be read."""
    if detailed is None:
        return [], ""
    shown = detailed.confusions[:SHOWN_CONFUSIONS]
    try:
        (shards,) = open_sets([locate(detailed.shards)], cache if is_url(detailed.shards) else None, report_to)
        return [(confusion, _images(shards, confusion)) for confusion in shown], ""
    except (PipelineError, OSError, ValueError) as error:
        return [(confusion, []) for confusion in shown], f"Images are left out: {error}"


def _images(shards: ShardSet, confusion: Confusion) -> list[str]:
    kind, uris = MIME.get(shards.manifest.options.encoding), []
    for position in confusion.examples:
        same = 0 <= position < len(shards)
        if not same or shards.manifest.classes[shards.read_label(position)] != confusion.truth:
            raise PipelineError(f"{shards.origin} has changed since the evaluation; run `evaluate` again")
        data = shards.read_image(position)
        if kind and not data.startswith(MAGIC[kind]):  # a page must not carry a file that only claims to be an image
            raise PipelineError(f"{shards.folder}: image {position} is no {kind}; run `verify`")
        uris.append(data_uri(kind, data) if kind else png_uri(read_npy(data)))
    return uris


def _settings(record: Any) -> Iterator[tuple[str, str, str]]:
    """The fields of a record by the names of their parameters: name, value as text, and help where it is an option."""
    kind: type = type(record)
    options = {parameter.field: (parameter.name, parameter.option.help) for parameter in parameters_of(kind)}
    for field in dataclasses.fields(record):
        name, explanation = options.get(field.name, (field.name, ""))
        yield name.replace("_", " "), _text(getattr(record, field.name)), explanation


def _first_words(words: str) -> str:
    """The first of a class's names: `tench` of `tench, Tinca tinca`; empty where there is none."""
    return next((name for name in map(str.strip, words.split(",")) if name), "")


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
