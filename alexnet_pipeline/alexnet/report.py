"""The report of a run: one self-contained HTML page without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.evaluate import Evaluation, read_evaluations
from alexnet_pipeline.alexnet.metrics import Log, read_metrics
from alexnet_pipeline.alexnet.page.charts import charts_of, epoch_of, number_text
from alexnet_pipeline.alexnet.page.data import downloads_of
from alexnet_pipeline.alexnet.page.images import confused_images, filters_of
from alexnet_pipeline.alexnet.page.settings import network_settings, recipe_settings, record_settings
from alexnet_pipeline.alexnet.run_folder import RunRecord, ShardsRecord, read_run
from alexnet_pipeline.files import write_whole
from alexnet_pipeline.pages.page import page_environment
from alexnet_pipeline.progress import Progress, Report, reporting, warn_to
from alexnet_pipeline.storage.remote import is_url
from alexnet_pipeline.text import first_words, percent, percent_range

FOLDER, TEMPLATE, PAGE = Path(__file__).parent / "page", "template.html", "report.html"
SPLITS = ("train", "val", "test")


class Rates(NamedTuple):
    """The newest error rates of a protocol, and the step that they are of."""

    errors: ErrorRates
    step: int


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
    images, note = confused_images(detailed, cache, report_to)
    if note:
        warn_to(report_to)(note)
    headline = _headline(log, own)
    environment = page_environment(FOLDER)
    environment.filters.update(
        percent=percent, range=percent_range, number=number_text, count="{:,.0f}".format, first_words=first_words
    )
    return environment.get_template(TEMPLATE).render(
        name=folder.resolve().name,
        title=_title(record, headline),
        started=record.started.replace("T", " ").replace("+00:00", " UTC"),
        run=record,
        headline=headline,
        charts=charts_of(log, record.recipe.schedule),
        changes=[(change, epoch_of(change, log)) for change in log.changes],
        towers=filters_of(folder, report_to),
        detailed=detailed,
        images=images,
        images_note=note,
        evaluations=evaluations,
        validations=log.validations,
        downloads=downloads_of(record, log, evaluations, detailed),
        recipe=recipe_settings(record.recipe),
        network=network_settings(record.network),
        train_set=record_settings(record.train),
        val_set=record_settings(record.val) if record.val else [],
    )  # fmt: skip


def _resolved(folder: str) -> str:
    """A folder of a record without links, or a URL."""
    return folder if is_url(folder) else str(Path(folder).resolve())


def _headline(log: Log, own: Sequence[Evaluation]) -> list[Rates]:
    """The newest rates of each protocol."""
    rates = [Rates(line.errors, line.step) for line in log.validations]
    rates += [Rates(one.errors, max(one.steps)) for one in own]
    newest = {one.errors.protocol: one for one in sorted(rates, key=lambda one: one.step)}
    return [newest[protocol] for protocol in sorted(newest, reverse=True)]


def _title(run: RunRecord, headline: Sequence[Rates]) -> str:
    """Network, data, result and protocol."""
    about = f"AlexNet ({run.recipe.preset}) on {_data_name(run.train)}"
    if not headline:
        return f"{about}: not evaluated yet"
    errors = headline[0].errors
    return f"{about}: {percent(errors.top1_error)} % top-1 error, {errors.protocol}"


def _data_name(shards: ShardsRecord) -> str:
    """The last two folders of a data set's place, without its split: `imagenet/lanczos`."""
    parts = [part for part in shards.folder.replace("\\", "/").split("/") if part]
    if len(parts) > 1 and parts[-1] in SPLITS:
        parts.pop()
    return "/".join(parts[-2:])
