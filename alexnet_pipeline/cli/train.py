"""The commands that need the extra `train`: each parses, makes one call and prints."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_pipeline.cli.console import TrainingReporter, note, print_result, printable, rate_text, training_reporter
from alexnet_pipeline.errors import RefusedError

if TYPE_CHECKING:
    from alexnet_pipeline.alexnet.evaluate import Evaluation
    from alexnet_pipeline.alexnet.options import TrainSummary

PATH = click.Path(path_type=Path)
# Options of `train` that change a preset's numbers.
RECIPE_OPTIONS = (
    "batch_size", "epochs", "learning_rate", "schedule", "lighting", "mean", "width", "norm", "pooling",
    "activation", "cross_links", "dropout",
)  # fmt: skip


def _recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What changes a preset's numbers, in the order in which help shows them."""
    options = [
        click.option(
            "--preset",
            type=click.Choice(["paper", "source2012", "batchnorm", "quarter"]),
            default="paper",
            show_default=True,
            help="Every number; `quarter` is a quarter of the width, for CPUs. Options below change it.",
        ),
        click.option("--batch-size", type=click.IntRange(1), help="Images a step, over all processes."),
        click.option("--epochs", type=click.IntRange(1)),
        click.option("--learning-rate", type=float),
        click.option("--schedule", type=click.Choice(["plateau", "steps", "geometric", "linear"])),
        click.option("--lighting", type=float, help="Deviation of the PCA lighting's alphas; 0 for none."),
        click.option("--mean", type=click.Choice(["image", "channel"]), help="What is subtracted."),
        click.option("--width", type=float, help="Multiplies every layer's channels."),
        click.option("--norm", type=click.Choice(["lrn", "batch", "none"])),
        click.option("--pooling", type=click.Choice(["overlapping", "plain"])),
        click.option("--activation", type=click.Choice(["relu", "tanh"])),
        click.option("--cross-links/--no-cross-links", default=None, help="Whether towers meet before fc8."),
        click.option("--dropout", type=click.FloatRange(0, 1, max_open=True)),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("train")
@click.argument("shards", type=PATH)
@click.option("--run-dir", type=PATH, required=True, help="Gets checkpoints, metrics.jsonl and run.json.")
@click.option("--val", type=PATH, help="Validation shards.  [default: SHARDS/val where SHARDS holds splits]")
@_recipe_options
@click.option(
    "--towers",
    type=click.Choice(["auto", "one", "local", "distributed"]),
    default="auto",
    show_default=True,
    help="distributed: one tower a process, below torchrun; local: two devices of one process.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option("--compile", is_flag=True, help="Through torch.compile.")
@click.option("--steps", type=click.IntRange(1), help="End after so many instead of the epochs.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights, order and views.")
@click.option(
    "--resume", type=click.Choice(["auto", "never"]), default="never", show_default=True, help="Go on where it stopped."
)
@click.option("--checkpoint-every", type=click.IntRange(1), help="Steps, beside epochs' ends.")
@click.option("--keep-checkpoints", type=click.IntRange(1), default=3, show_default=True)
@click.option("--log-every", type=click.IntRange(1), default=20, show_default=True, help="Steps.")
@click.option("--tensorboard", is_flag=True, help="Also write event files to RUN_DIR/tensorboard.")
@click.option("--threads", type=click.IntRange(1), help="That decode.  [default: cores]")
@click.option("--timeout", type=float, default=600, show_default=True, help="Seconds of a silent process.")
@click.pass_context
def train_command(ctx: click.Context, /, shards: Path, **given: Any) -> None:
    """Train AlexNet on SHARDS: a data set, or a method's folder with train/ and val/.

    \b
    Example:
      alexnet-pipeline train shards/lanczos --preset paper --run-dir runs/a
      torchrun --nproc-per-node 2 -m alexnet_pipeline train shards/lanczos --run-dir runs/a --towers distributed

    Exit codes: 0 complete, 1 failed, 2 refused, 130/143 interrupted: `--resume auto` goes on.
    """
    need_train()
    from alexnet_pipeline import training_api  # noqa: PLC0415

    command = shlex.join(["alexnet-pipeline", *sys.argv[1:]])
    with training_reporter(ctx) as reporter:
        done = training_api.train(shards, **given, command=command, watcher=_leading(reporter))
    if _leads():
        print_result(ctx, done, train_lines(done))


@click.command("evaluate")
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--shards", type=PATH, required=True, help="The data set to count errors on.")
@click.option("--crops", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Centre, or ten crops.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--predictions", type=PATH, help="Write a JSON line an image: key, truth, five best classes.")
@click.pass_context
def evaluate_command(
    ctx: click.Context, runs: tuple[Path, ...], shards: Path, crops: str, device: str, predictions: Path | None
) -> None:
    """Count the errors of a run's newest network; of several runs, of the mean of their probabilities.

    \b
    Example:
      alexnet-pipeline evaluate runs/a --shards shards/lanczos/val --crops 10
    """
    need_train()
    from alexnet_pipeline import training_api  # noqa: PLC0415

    found = training_api.evaluate(
        runs,
        shards=shards,
        crops=10 if crops == "10" else 1,
        device=device,
        predictions=predictions,
        warn=lambda line: click.echo(f"warning: {printable(line)}", err=True),
    )
    print_result(ctx, found, evaluation_lines(found))


@click.command("report")
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, help="HTML file.  [default: RUN/report.html]")
@click.pass_context
def report_command(ctx: click.Context, run: Path, output: Path | None) -> None:
    """Draw a run: curves, filters, confusions, configuration, in one HTML file that needs no network.

    \b
    Example:
      alexnet-pipeline report runs/a -o run.html
    """
    need_train()
    from alexnet_pipeline import training_api  # noqa: PLC0415

    path = training_api.report(run, output, warn=lambda line: note(ctx, f"warning: {printable(line)}"))
    print_result(ctx, {"report": str(path)}, [f"report: {path}"])


@click.group("bench")
def bench_group() -> None:
    """Measure loading and training on this machine.

    \b
    Example:
      alexnet-pipeline bench load shards/lanczos
    """


@bench_group.command("load")
@click.argument("shards", type=PATH)
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True)
@click.option("--images", type=click.IntRange(1), default=5000, show_default=True, help="To load, after a warm-up.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="That decode.  [default: cores]")
@click.pass_context
def bench_load_command(ctx: click.Context, /, shards: Path, **given: Any) -> None:
    """Load SHARDS as training does, and say how fast.

    \b
    Example:
      alexnet-pipeline bench load shards/lanczos
    """
    need_train()
    from alexnet_pipeline.alexnet.bench import measure_loading  # noqa: PLC0415
    from alexnet_pipeline.training_api import splits_of  # noqa: PLC0415

    found = measure_loading(splits_of(shards, None)[0], **given)
    print_result(
        ctx, found, [f"{found.what}: {found.images_per_s:,.0f} images/s, {found.cpu_ms:.3f} ms of CPU an image"]
    )


@bench_group.command("train")
@_recipe_options
@click.option("--synthetic", is_flag=True, help="Generated batches; the only kind so far, and the default.")
@click.option("--steps", type=click.IntRange(1), default=20, show_default=True, help="To measure, after a warm-up.")
@click.option("--classes", type=click.IntRange(2), default=1000, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.pass_context
def bench_train_command(ctx: click.Context, /, preset: str, synthetic: bool, **given: Any) -> None:
    """Take training steps on generated batches, and say how fast.

    \b
    Example:
      alexnet-pipeline bench train --synthetic --preset paper --batch-size 32 --precision bf16
    """
    need_train()
    from alexnet_pipeline.alexnet.bench import measure_training  # noqa: PLC0415
    from alexnet_pipeline.training_api import recipe_of  # noqa: PLC0415

    recipe = recipe_of(preset, **{name: given.pop(name) for name in RECIPE_OPTIONS})
    found = measure_training(recipe, **given)
    print_result(
        ctx, found, [f"{found.what}: {found.images_per_s:,.1f} images/s, {found.step_ms:.1f} ms a step (median)"]
    )


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


def _leads() -> bool:
    """Whether this process talks: the only one, or torchrun's first."""
    return os.environ.get("RANK", "0") == "0"


def _leading(reporter: TrainingReporter) -> TrainingReporter:
    return reporter if _leads() else TrainingReporter(quiet=True, plain=True)


def train_lines(done: TrainSummary) -> list[str]:
    """What a run reached, for the screen."""
    lines = [f"{done.run}: {done.steps:,} steps, {done.images:,} images, checkpoint {done.checkpoint}"]
    if done.errors:
        errors = done.errors
        lines.append(
            f"val, {errors.protocol}, {errors.total_images:,} images: "
            f"{rate_text('top-1', errors.top1_error, errors.top1_interval)}, "
            f"{rate_text('top-5', errors.top5_error, errors.top5_interval)}"
        )
    return lines


def evaluation_lines(found: Evaluation) -> list[str]:
    """Error rates, for the screen."""
    errors = found.errors
    models = f"{len(found.models)} networks" if len(found.models) > 1 else found.models[0]
    return [
        f"{models} on {found.shards} ({found.method}), {errors.protocol}, {errors.total_images:,} images",
        rate_text("top-1", errors.top1_error, errors.top1_interval),
        rate_text("top-5", errors.top5_error, errors.top5_interval),
    ]
