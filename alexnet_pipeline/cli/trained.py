"""The commands that use a trained network: each parses, makes one call and prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_pipeline.alexnet.options import CHECKPOINT_HELP, CHECKPOINT_METAVAR, PredictOptions
from alexnet_pipeline.cli.console import print_result, reporting, size_text, warn
from alexnet_pipeline.cli.options import PATH, Command, given, options_of
from alexnet_pipeline.cli.train import need_train
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.text import counted

if TYPE_CHECKING:
    from alexnet_pipeline.alexnet.photos import Prediction


@click.command("predict", cls=Command)
@click.argument("run", type=PATH)
@click.argument("photos", nargs=-1, required=True)
@options_of(PredictOptions)
@click.pass_context
def predict_command(ctx: click.Context, /, run: Path, photos: tuple[str, ...], **options: Any) -> None:
    """Name what PHOTOS (files or URLs) show, by a network of RUN.

    A photo may be of any size and format that `shard` takes: it is prepared as the training images were.

    \b
    Example:
      alexnet-pipeline predict runs/a photo.jpg
      alexnet-pipeline predict runs/a *.jpg --crops 10 --json

    Exit codes: 0 all photos were read, 1 some were not, 2 refused.
    """
    need_train()
    from alexnet_pipeline.alexnet.photos import predict  # noqa: PLC0415

    with reporting(ctx) as report:
        predictions = predict(run, photos, progress=report, **given(options))
    print_result(ctx, predictions, list(prediction_lines(predictions)))
    unread = [prediction for prediction in predictions if prediction.error]
    for prediction in unread:
        warn(f"{prediction.photo}: {prediction.error}")
    if unread:
        raise PipelineError(f"{len(unread)} of {counted(len(predictions), 'photo')} cannot be read")


@click.command("export", cls=Command)
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="File: NAME.onnx or NAME.safetensors.")
@click.option("--checkpoint", default="newest", metavar=CHECKPOINT_METAVAR, show_default=True, help=CHECKPOINT_HELP)
@click.pass_context
def export_command(ctx: click.Context, run: Path, output: Path, checkpoint: str) -> None:
    """Write a network of RUN to a file for other programs.

    NAME.onnx takes crops in 0..255 and gives probabilities; NAME.safetensors is a plain state dict.

    \b
    Example:
      alexnet-pipeline export runs/a -o net.onnx --checkpoint best
    """
    need_train()
    from alexnet_pipeline.alexnet.export import export  # noqa: PLC0415

    with reporting(ctx) as report:
        done = export(run, output, checkpoint=checkpoint, progress=report)
    line = f"{done.file}: {size_text(done.size_bytes)}, {counted(done.classes, 'class')}, step {done.step:,}"
    print_result(ctx, done, [line])


COMMANDS = (predict_command, export_command)


def prediction_lines(predictions: tuple[Prediction, ...]) -> Iterator[str]:
    """The classes of each photo, for the screen."""
    for prediction in predictions:
        if prediction.error:
            continue
        yield f"{prediction.photo}:"
        for found in prediction.classes:
            name = f"{found.name}  {found.words}" if found.words else found.name
            yield f"  {100 * found.probability:5.1f} %  {name}"
