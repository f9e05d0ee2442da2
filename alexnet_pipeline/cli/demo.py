"""The embedded sample: written by itself, or run through everything."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from alexnet_pipeline.cli.compare import comparison_lines
from alexnet_pipeline.cli.shard import PROBLEMS_FOUND, dataset_lines, verification_lines
from alexnet_pipeline.cli.train import evaluation_lines, need_train, train_lines
from alexnet_pipeline.cli.console import note, print_result, shard_reporter, size_text, training_reporter

DEMO_METHODS = ("nearest", "bilinear", "lanczos", "antialias")
# Of the demo's training: a minute and a half on two cores.
DEMO_STEPS = 300
# Of the demo's comparison.
DEMO_IMAGES = 60
RUN_PAGE, COMPARISON_PAGE, CONTACT_SHEET = "run.html", "comparison.html", "lanczos.png"


@click.command("sample")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["folders", "ilsvrc"]),
    default="folders",
    show_default=True,
    help="Class folders, or the three original files of ILSVRC2012.",
)
@click.option("--train-images", type=click.IntRange(10), default=600, show_default=True)
@click.option("--val-images", type=click.IntRange(10), default=100, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.pass_context
def sample_command(ctx: click.Context, /, directory: Path, **given: Any) -> None:
    """Write the embedded sample's raw images: generated, variable-size, ten classes.

    \b
    Example:
      alexnet-pipeline sample /tmp/raw
    """
    from alexnet_pipeline.synthetic.sample import write_sample  # noqa: PLC0415

    done = write_sample(directory, **given)
    line = f"{done.directory}: {done.train_images} train and {done.val_images} val images, {size_text(done.size_bytes)}"
    print_result(ctx, done, [line])


@click.command("demo")
@click.argument("directory", type=click.Path(path_type=Path), default="alexnet-demo")
@click.option("--restart", is_flag=True, help="Begin again instead of resuming.")
@click.pass_context
def demo_command(ctx: click.Context, directory: Path, restart: bool) -> None:
    """Run it all on the embedded sample: shard by four methods, verify, train, evaluate, compare.

    \b
    Example:
      alexnet-pipeline demo
    """
    from alexnet_pipeline.synthetic.sample import write_sample  # noqa: PLC0415

    need_train()
    raw = directory / "raw"
    if not raw.exists():
        note(ctx, f"generating the sample in {raw}")
        write_sample(raw)
    result = {**_shard(ctx, directory, restart=restart), **_train(ctx, directory, restart=restart)}
    result |= _compare(ctx, directory)
    pages = [directory / name for name in (RUN_PAGE, COMPARISON_PAGE, CONTACT_SHEET)]
    result["pages"] = [str(page) for page in pages]
    if ctx.find_root().params["as_json"]:
        print_result(ctx, result, [])
    _tell(ctx, ["", f"Look at {', '.join(map(str, pages[:-1]))} and {pages[-1]}"])


def _shard(ctx: click.Context, directory: Path, *, restart: bool) -> dict[str, Any]:
    """Shard and verify; ends the command where anything is wrong."""
    from alexnet_pipeline import api  # noqa: PLC0415
    from alexnet_pipeline.shards.inspect import write_contact_sheet  # noqa: PLC0415

    shards = directory / "shards"
    with shard_reporter(ctx) as reporter:
        summaries = api.shard(
            directory / "raw",
            shards,
            methods=DEMO_METHODS,
            shard_size=100,
            name="sample",
            restart=restart,
            reporter=reporter,
        )
    found = api.verify(shards, deep=True)
    _tell(ctx, [*dataset_lines(summaries), "", *verification_lines(found), ""])
    result = {"datasets": summaries, "verification": found}
    if found.problems:
        if ctx.find_root().params["as_json"]:
            print_result(ctx, result, [])
        ctx.exit(PROBLEMS_FOUND)
    write_contact_sheet(api.inspect(shards / "lanczos" / "train"), directory / CONTACT_SHEET)
    return result


def _train(ctx: click.Context, directory: Path, *, restart: bool) -> dict[str, Any]:
    """Train a quarter-width network on the sample, evaluate it and draw the report."""
    from alexnet_pipeline import training_api  # noqa: PLC0415

    run, shards = directory / "run", directory / "shards" / "lanczos"
    if restart:
        shutil.rmtree(run, ignore_errors=True)
    command = f"alexnet-pipeline train {shards} --preset quarter --steps {DEMO_STEPS} --run-dir {run}"
    with training_reporter(ctx) as reporter:
        done = training_api.train(
            shards, run_dir=run, preset="quarter", steps=DEMO_STEPS, resume="auto", command=command, watcher=reporter
        )
    found = training_api.evaluate([run], shards=shards / "val", crops=10)
    training_api.report(run, directory / RUN_PAGE)
    _tell(ctx, [*train_lines(done), *evaluation_lines(found), ""])
    return {"training": done, "evaluation": found}


def _compare(ctx: click.Context, directory: Path) -> dict[str, Any]:
    """Compare the methods on the sample's validation pictures."""
    from alexnet_pipeline.comparison.api import compare  # noqa: PLC0415

    raw, page = directory / "raw", directory / COMPARISON_PAGE
    command = f"alexnet-pipeline compare {raw} --methods {','.join(DEMO_METHODS)} --images {DEMO_IMAGES} -o {page}"
    found = compare(raw, DEMO_METHODS, images=DEMO_IMAGES, output=page, command=command)
    _tell(ctx, comparison_lines(found))
    return {"verdict": found.verdict}


def _tell(ctx: click.Context, lines: Sequence[str]) -> None:
    """Say how far the demo is; with --json one document at the end holds all."""
    if not ctx.find_root().params["as_json"]:
        print_result(ctx, None, lines)


COMMANDS = (sample_command, demo_command)
