"""The command `compare`: parses, makes one call and prints."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from alexnet_pipeline.cli.shard import COMPLETE_WITH_REJECTS, check_reasons
from alexnet_pipeline.cli.train import need_train
from alexnet_pipeline.cli.console import (
    TrainingReporter,
    note,
    print_result,
    shard_reporter,
    training_reporter,
)
from alexnet_pipeline.errors import RefusedError

if TYPE_CHECKING:
    from alexnet_pipeline.comparison.records import Comparison

PATH = click.Path(path_type=Path)
# Options that finished shards have no use for, and those that only --train has.
RAW_ONLY = ("methods", "images", "split", "size", "geometry", "quality", "scales", "seed")
TRAIN_ONLY = ("preset", "seeds", "steps", "limit", "work_dir")
# Columns of the table on the screen; the report has all.
SHOWN_METRICS = ("psnr_db", "ssim", "shift_error_levels", "jpeg_bytes", "resample_ms")


class NameList(click.ParamType[tuple[str, ...]]):
    """`a,b,c`."""

    name = "A,B,C"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split at commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(value)


@click.command("compare")
@click.argument("source", type=PATH, required=False)
@click.option("--methods", type=NameList(), help="Method names; see `methods`.  [default: our seven]")
@click.option(
    "--shards", type=PATH, multiple=True, help="Instead of SOURCE: finished data sets, key by key; repeatable."
)
@click.option("--images", type=click.IntRange(2), default=300, show_default=True, help="So many, drawn by the seed.")
@click.option("--split", help="Of the source.  [default: val where there is one]")
@click.option("--size", type=click.IntRange(8), default=256, show_default=True, metavar="PX", help="Target side.")
@click.option(
    "--geometry",
    type=click.Choice(["center-crop", "squash", "shorter", "pad"]),
    default="center-crop",
    show_default=True,
)
@click.option("--quality", type=click.IntRange(1, 100), default=90, show_default=True, help="JPEG quality.")
@click.option(
    "--scale",
    "scales",
    type=click.FloatRange(1, 16, min_open=True),
    multiple=True,
    help="For responses, repeatable; the first leads.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: cores]")
@click.option("--train", is_flag=True, help="Train a network by every method and test it on all.")
@click.option(
    "--preset",
    type=click.Choice(["paper", "source2012", "batchnorm", "quarter"]),
    default="quarter",
    show_default=True,
    help="Of those networks.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Networks a method.")
@click.option("--steps", type=click.IntRange(1), help="Of each network instead of the preset's epochs.")
@click.option("--limit", type=click.IntRange(1), help="Only so many pictures of each split for --train.")
@click.option("--work-dir", type=PATH, help="Keeps shards and runs of --train.  [default: beside the report]")
@click.option("-o", "--output", type=PATH, default="comparison.html", show_default=True, help="The report.")
@click.option("--figure", type=PATH, help="Also write a figure for papers, SVG.")
@click.option("--accept", multiple=True, metavar="REASON", help="Rejects for this reason keep exit code 0, repeatable.")
@click.pass_context
def compare_command(
    ctx: click.Context,
    /,
    methods: tuple[str, ...] | None,
    scales: tuple[float, ...],
    output: Path,
    accept: tuple[str, ...],
    **given: Any,
) -> None:
    """Compare downsampling methods on SOURCE's pictures: what they keep, what they alias, whether a network notices.

    \b
    Example:
      alexnet-pipeline compare /data/ILSVRC2012 --images 2000 --methods nearest,bilinear,lanczos -o report.html
      alexnet-pipeline compare --shards shards/lanczos/val --shards shards/nearest/val -o report.html
    """
    from alexnet_pipeline.comparison import api  # noqa: PLC0415
    from alexnet_pipeline.comparison.compare import DEFAULT_SCALES  # noqa: PLC0415

    check_reasons(accept)
    _check_effects(ctx, shards=bool(given["shards"]), train=given["train"])
    if given["train"]:
        need_train()
    work = given.pop("work_dir") or output.parent / f"{output.stem}-training"
    progress = _Progress(ctx)
    with progress.reporter:
        found = api.compare(
            methods=methods or api.DEFAULT_METHODS,
            scales=scales or DEFAULT_SCALES,
            work_dir=work,
            output=output,
            command=shlex.join(["alexnet-pipeline", *sys.argv[1:]]),
            progress=progress,
            reporter=shard_reporter(ctx, plain=True),
            watchers=lambda name: _watcher(ctx, name),
            **given,
        )
    print_result(ctx, found, comparison_lines(found))
    note(ctx, f"report: {output}")
    if any(reject.reason not in accept for reject in found.rejects):
        ctx.exit(COMPLETE_WITH_REJECTS)


def _check_effects(ctx: click.Context, *, shards: bool, train: bool) -> None:
    """Refuse options that were given and would do nothing."""
    idle = [*(RAW_ONLY if shards else ()), *(() if train else TRAIN_ONLY)]
    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name in idle:
            why = "finished shards are taken as they are" if parameter.name in RAW_ONLY else "it belongs to --train"
            raise RefusedError(f"{parameter.opts[0]} has no effect here: {why}; leave it out")


class _Progress:
    """Tells a reporter of pictures counted; the first call begins, the last ends, as training comes after."""

    def __init__(self, ctx: click.Context) -> None:
        self.reporter, self._begun = shard_reporter(ctx, "compare"), False

    def __call__(self, done: int, total: int) -> None:
        if not self._begun:
            self.reporter.begin(total, 0)
            self._begun = True
        self.reporter.progress(done, 0)
        if done == total:
            self.reporter.close()


def _watcher(ctx: click.Context, name: str) -> TrainingReporter:
    """Lines only: one bar after another for a dozen networks would tell less."""
    note(ctx, f"network: {name}")
    return training_reporter(ctx, plain=True)


def comparison_lines(found: Comparison) -> list[str]:
    """Table and verdict for the screen."""
    metrics = [metric for metric in found.metrics if metric.name in SHOWN_METRICS]
    analytic = any(method.responses for method in found.methods)
    heads = [*(["alias dB", "pass-band %"] if analytic else []), *(metric.label for metric in metrics)]
    rows = [
        [method.name, *_cells(found, number, [metric.name for metric in metrics])]
        for number, method in enumerate(found.methods)
    ]
    widths = [max(len(row[column]) for row in [["", *heads], *rows]) for column in range(len(heads) + 1)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in [["", *heads], *rows]
    ]
    return [f"{len(found.pictures):,} pictures, {len(found.rejects)} rejected", "", *lines, "", *found.verdict]


def _cells(found: Comparison, number: int, metrics: Sequence[str]) -> list[str]:
    method = found.methods[number]
    cells = []
    if method.responses:
        main = method.responses[0]
        cells += [f"{main.alias_white_db:.1f}", f"{100 * main.passband_white:.0f}"]
    measured = {entry.metric: entry for entry in method.measured}
    return cells + [_cell(measured[name].mean, best=measured[name].best) for name in metrics]


def _cell(value: float, *, best: bool) -> str:
    return f"{value:,.0f}{'*' if best else ''}" if abs(value) >= 1000 else f"{value:.4g}{'*' if best else ''}"


COMMANDS = (compare_command,)
