"""The commands that need the extra `train`: each parses, makes one call and prints."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_pipeline.alexnet.options import EvaluateOptions, LoadOptions, StepOptions, TrainOptions
from alexnet_pipeline.alexnet.recipe import RecipeChanges
from alexnet_pipeline.cli.console import command_line, next_steps, print_result, reporting
from alexnet_pipeline.cli.options import LOCATION, PATH, Command, given, options_of
from alexnet_pipeline.cli.signals import stopping
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.text import counted

if TYPE_CHECKING:
    from alexnet_pipeline.alexnet.evaluate import Evaluation
    from alexnet_pipeline.alexnet.train import TrainSummary


@click.command("train", cls=Command)
@click.argument("shards", type=LOCATION)
@click.option("--run-dir", type=PATH, required=True, help="Folder for checkpoints, metrics.jsonl and run.json.")
@options_of(RecipeChanges, TrainOptions)
@click.pass_context
def train_command(ctx: click.Context, /, shards: Location, run_dir: Path, **options: Any) -> None:
    """Train AlexNet on SHARDS: a data set, or a method's folder with train/ and val/.

    \b
    Example:
      alexnet-pipeline train shards/lanczos --preset paper --run-dir runs/a
      alexnet-pipeline train s3://bucket/shards/lanczos --cache /nvme/cache --run-dir runs/a
      torchrun --nproc-per-node 2 -m alexnet_pipeline train shards/lanczos --run-dir runs/a --towers distributed
      torchrun --nproc-per-node 4 -m alexnet_pipeline train shards/lanczos --run-dir runs/a --towers one

    Exit codes: 0 complete, 1 failed, 2 refused, 130/143 interrupted; --resume auto continues.
    """
    need_train()
    from alexnet_pipeline.alexnet.train import train  # noqa: PLC0415

    leads = os.environ.get("RANK", "0") == "0"  # the only process, or torchrun's first
    with reporting(ctx, steady=leads) as report, stopping() as stop:
        done = train(shards, run_dir=run_dir, progress=report, stop=stop, command=command_line(), **given(options))
    if leads:
        print_result(ctx, done, train_lines(done))
        test = [["evaluate", run_dir, "--shards", shards, "--crops", 10]] if done.errors else []
        next_steps(ctx, *test, ["report", run_dir], ["predict", run_dir, "PHOTO"])


@click.command("evaluate", cls=Command)
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--shards", type=LOCATION, required=True, help="Data set to evaluate on.")
@options_of(EvaluateOptions)
@click.pass_context
def evaluate_command(ctx: click.Context, /, runs: tuple[Path, ...], shards: Location, **options: Any) -> None:
    """Count the errors of a run's network, or of the mean of several runs' probabilities.

    \b
    Example:
      alexnet-pipeline evaluate runs/a --shards shards/lanczos/val --checkpoint best --crops 10
    """
    need_train()
    from alexnet_pipeline.alexnet.evaluate import evaluate  # noqa: PLC0415

    with reporting(ctx) as report:
        evaluation = evaluate(runs, shards=shards, progress=report, **given(options))
    print_result(ctx, evaluation, evaluation_lines(evaluation))
    if len(runs) == 1:
        next_steps(ctx, ["report", runs[0]])


@click.command("report", cls=Command)
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, help="HTML file.  [default: RUN/report.html]")
@click.option("--cache", type=PATH, metavar="DIR", help="The --cache of evaluate, for images in an object store.")
@click.pass_context
def report_command(ctx: click.Context, run: Path, output: Path | None, cache: Path | None) -> None:
    """Write a run's curves, filters, confusions and configuration to one HTML file that needs no network.

    \b
    Example:
      alexnet-pipeline report runs/a -o run.html
    """
    need_train()
    from alexnet_pipeline.alexnet.report import report as write_report  # noqa: PLC0415

    with reporting(ctx) as report:
        path = write_report(run, output, cache=cache, progress=report)
    print_result(ctx, {"report": str(path)}, [f"report: {path}"])


@click.group("bench")
def bench_group() -> None:
    """Measure loading and training on this machine.

    \b
    Example:
      alexnet-pipeline bench load shards/lanczos
    """


@bench_group.command("load", cls=Command)
@click.argument("shards", type=LOCATION)
@options_of(LoadOptions)
@click.pass_context
def bench_load_command(ctx: click.Context, /, shards: Location, **options: Any) -> None:
    """Load batches from SHARDS as training does, and print images/s.

    \b
    Example:
      alexnet-pipeline bench load shards/lanczos
    """
    need_train()
    from alexnet_pipeline.alexnet.bench import measure_loading  # noqa: PLC0415

    with reporting(ctx) as report:
        speed = measure_loading(shards, progress=report, **given(options))
    line = f"{speed.what}: {speed.images_per_s:,.0f} images/s, {speed.cpu_ms:.3f} ms of CPU per image"
    print_result(ctx, speed, [line])


@bench_group.command("train", cls=Command)
@click.argument("shards", type=LOCATION, required=False)
@options_of(RecipeChanges, StepOptions)
@click.pass_context
def bench_train_command(ctx: click.Context, /, shards: Location | None, **options: Any) -> None:
    """Take training steps on batches from SHARDS, or on a generated batch, and print images/s.

    \b
    Example:
      alexnet-pipeline bench train --preset paper --batch-size 32 --precision bf16
      alexnet-pipeline bench train shards/lanczos --trace trace.json
    """
    need_train()
    from alexnet_pipeline.alexnet.bench import measure_training  # noqa: PLC0415

    with reporting(ctx) as report:
        speed = measure_training(shards, progress=report, **given(options))
    line = f"{speed.what}: {speed.images_per_s:,.1f} images/s, {speed.step_ms:,.1f} ms per step"
    print_result(ctx, speed, [line])


COMMANDS = (train_command, evaluate_command, report_command, bench_group)


def need_train() -> None:
    """Make sure that the extra `train` is there.

    Raises:
        RefusedError: a package of it is missing.
    """
    for module, package in (("torch", "torch"), ("nvidia.dali", "nvidia-dali-cuda130"), ("safetensors", "safetensors")):
        try:
            missing = importlib.util.find_spec(module) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            raise RefusedError(f"{package} is not installed; pip install 'alexnet-pipeline[train]'")


def train_lines(done: TrainSummary) -> list[str]:
    """What a run reached, for the screen."""
    steps, images = counted(done.steps, "step"), counted(done.images, "image")
    lines = [f"{done.run}: {steps}, {images}, checkpoint {done.checkpoint}"]
    lines += [f"val, {done.errors}"] if done.errors else []
    if done.best_checkpoint and done.best_checkpoint != done.checkpoint:
        lines += [f"best: checkpoint {done.best_checkpoint}, {done.best_errors}"]
    return lines


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """Error rates, for the screen."""
    runs = evaluation.runs
    networks = f"{len(runs)} networks" if len(runs) > 1 else f"{runs[0]}, step {evaluation.steps[0]:,},"
    return [f"{networks} on {evaluation.shards} ({evaluation.method})", str(evaluation.errors)]
