"""The commands `sample` and `demo`: write the embedded sample, and run the whole pipeline on it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from alexnet_pipeline.cli.compare import comparison_lines
from alexnet_pipeline.cli.console import next_steps, note, print_result, reporting, size_text
from alexnet_pipeline.cli.options import PATH, Command, given, options_of, settings
from alexnet_pipeline.cli.shard import PROBLEMS_FOUND, set_lines, verification_lines
from alexnet_pipeline.cli.train import evaluation_lines, need_train, train_lines
from alexnet_pipeline.synthetic.sample import SampleOptions

DEMO_METHODS = ("nearest", "bilinear", "lanczos", "antialias")
# Steps of the demo's training, and images of its comparison.
DEMO_STEPS, DEMO_IMAGES = 300, 60
# What to type next, for images of one's own.
NEXT_STEPS = (
    "With your own images in /data/images (leave out --dry-run to write the shards):",
    "  alexnet-pipeline shard /data/images shards --method lanczos --dry-run",
    "  alexnet-pipeline compare /data/images -o methods.html",
    "  alexnet-pipeline train shards --preset modern --run-dir runs/a",
)
RUN_PAGE, COMPARISON_PAGE, CONTACT_SHEET = "run.html", "comparison.html", "lanczos.png"


@click.command("sample", cls=Command, short_help="Write the raw images of the embedded sample.")
@click.argument("directory", type=PATH)
@options_of(SampleOptions)
@click.pass_context
def sample_command(ctx: click.Context, /, directory: Path, **options: Any) -> None:
    """Write the raw images of the embedded sample: generated, of variable size, in ten classes.

    \b
    Example:
      alexnet-pipeline sample /tmp/raw
    """
    from alexnet_pipeline.synthetic.sample import sample  # noqa: PLC0415

    done = sample(directory, **given(options))
    line = f"{done.directory}: {done.train_images} train and {done.val_images} val images, {size_text(done.size_bytes)}"
    print_result(ctx, done, [line])
    next_steps(ctx, ["shard", directory, "shards", "--method", "lanczos"])


@click.command("demo", cls=Command, short_help="Run the whole pipeline on the embedded sample.")
@click.argument("directory", type=PATH, default="alexnet-demo")
@click.option("--restart", is_flag=True, help="Begin again instead of resuming.")
@click.pass_context
def demo_command(ctx: click.Context, directory: Path, restart: bool) -> None:
    """Run the whole pipeline on the embedded sample: shard by four methods, verify, train, evaluate, compare.

    \b
    Example:
      alexnet-pipeline demo
    """
    from alexnet_pipeline.synthetic.sample import sample  # noqa: PLC0415

    need_train()
    raw = directory / "raw"
    if not raw.exists():
        note(ctx, f"generating the sample in {raw}")
        sample(raw)
    result = _shard(ctx, directory, restart=restart)
    result |= _train(ctx, directory, restart=restart) | _compare(ctx, directory)
    pages = [directory / name for name in (RUN_PAGE, COMPARISON_PAGE, CONTACT_SHEET)]
    result["pages"] = [str(page) for page in pages]
    look = f"Look at {', '.join(map(str, pages[:-1]))} and {pages[-1]}"
    print_result(ctx, result, ["", look, "", *NEXT_STEPS])


def _shard(ctx: click.Context, directory: Path, *, restart: bool) -> dict[str, Any]:
    """Shard and verify the sample; problems end the command."""
    from alexnet_pipeline.shards.build import shard  # noqa: PLC0415
    from alexnet_pipeline.shards.inspect import inspect  # noqa: PLC0415
    from alexnet_pipeline.shards.verify import verify  # noqa: PLC0415

    shards = directory / "shards"
    asked: dict[str, Any] = {"methods": DEMO_METHODS, "shard_size": 100, "name": "sample", "restart": restart}
    with reporting(ctx) as report:
        summaries = shard(directory / "raw", shards, progress=report, **asked)
        verification = verify(shards, deep=True, progress=report)
    _say(ctx, [*set_lines(summaries), "", *verification_lines(verification), ""])
    result = {"datasets": summaries, "verification": verification}
    if verification.problems:
        if settings(ctx)["as_json"]:
            print_result(ctx, result, [])
        ctx.exit(PROBLEMS_FOUND)
    inspect(shards / "lanczos" / "train", limit=64, contact_sheet=directory / CONTACT_SHEET)
    return result


def _train(ctx: click.Context, directory: Path, *, restart: bool) -> dict[str, Any]:
    """Train a quarter-width network on the sample, evaluate it and draw the report."""
    from alexnet_pipeline.alexnet.evaluate import evaluate  # noqa: PLC0415
    from alexnet_pipeline.alexnet.report import report as draw_report  # noqa: PLC0415
    from alexnet_pipeline.alexnet.train import train  # noqa: PLC0415

    run, shards = directory / "run", directory / "shards" / "lanczos"
    if restart:
        shutil.rmtree(run, ignore_errors=True)
    command = f"alexnet-pipeline train {shards} --preset quarter --steps {DEMO_STEPS} --run-dir {run}"
    asked: dict[str, Any] = {"preset": "quarter", "steps": DEMO_STEPS, "resume": "auto", "command": command}
    with reporting(ctx) as report:
        done = train(shards, run_dir=run, progress=report, **asked)
        evaluation = evaluate(run, shards=shards / "val", crops=10, progress=report)
        draw_report(run, directory / RUN_PAGE, progress=report)
    _say(ctx, [*train_lines(done), *evaluation_lines(evaluation), ""])
    return {"training": done, "evaluation": evaluation}


def _compare(ctx: click.Context, directory: Path) -> dict[str, Any]:
    """Compare the methods on the sample's validation images."""
    from alexnet_pipeline.comparison.compare import compare  # noqa: PLC0415

    raw, page = directory / "raw", directory / COMPARISON_PAGE
    command = f"alexnet-pipeline compare {raw} --method {','.join(DEMO_METHODS)} --images {DEMO_IMAGES} -o {page}"
    with reporting(ctx) as report:
        comparison = compare(raw, DEMO_METHODS, images=DEMO_IMAGES, output=page, command=command, progress=report)
    _say(ctx, comparison_lines(comparison))
    return {"verdict": comparison.verdict}


def _say(ctx: click.Context, lines: Sequence[str]) -> None:
    """Print the results of a step; with --json, one document at the end holds them all."""
    if not settings(ctx)["as_json"]:
        print_result(ctx, None, lines)


COMMANDS = (sample_command, demo_command)
