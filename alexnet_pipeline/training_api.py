"""The commands of training as functions: the same words as the command line, records in and out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from alexnet_pipeline.alexnet import report as report_page
from alexnet_pipeline.alexnet import train as training
from alexnet_pipeline.alexnet.evaluate import Evaluation, record_evaluation
from alexnet_pipeline.alexnet.evaluate import evaluate as evaluate_runs
from alexnet_pipeline.alexnet.network import Activation, Norm, Pooling
from alexnet_pipeline.alexnet.options import Precision, TrainOptions, TrainSummary, Watcher
from alexnet_pipeline.alexnet.predict import Crops
from alexnet_pipeline.alexnet.processes import Towers
from alexnet_pipeline.alexnet.recipe import Recipe, Schedule, find_recipe

LOG = logging.getLogger(__name__)

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class SilentWatcher:
    """Tells nobody."""

    def begin(self, steps: int, done: int, where: str) -> None:
        """Ignore."""

    def step(self, line: dict[str, Any]) -> None:
        """Ignore."""

    def evaluated(self, line: dict[str, Any]) -> None:
        """Ignore."""

    def warn(self, line: str) -> None:
        """Ignore."""


def train(
    shards: StrPath,
    *,
    run_dir: StrPath,
    val: StrPath | None = None,
    preset: str = "paper",
    batch_size: int | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    schedule: Schedule | None = None,
    lighting: float | None = None,
    mean: Literal["image", "channel"] | None = None,
    width: float | None = None,
    norm: Norm | None = None,
    pooling: Pooling | None = None,
    activation: Activation | None = None,
    cross_links: bool | None = None,
    dropout: float | None = None,
    towers: Towers = "auto",
    device: str = "auto",
    precision: Precision = "auto",
    compile: bool = False,
    steps: int | None = None,
    seed: int = 0,
    resume: Literal["auto", "never"] = "never",
    checkpoint_every: int | None = None,
    keep_checkpoints: int = 3,
    log_every: int = 20,
    tensorboard: bool = False,
    threads: int | None = None,
    timeout: float = 600,
    command: str = "",
    watcher: Watcher | None = None,
) -> TrainSummary:
    """Train AlexNet.

    Args:
        shards: a data set, or a method's folder with train/ and val/.
        run_dir: gets checkpoints, metrics.jsonl and run.json.
        val: validation shards; default SHARDS/val where SHARDS holds splits.
        preset: `paper`, `source2012`, `batchnorm` or `quarter`; the arguments from `batch_size` to `dropout` change
            its numbers, see `alexnet.recipe.Recipe`.
        resume: `auto` goes on from the newest checkpoint.
        towers, device, precision, compile, steps, seed, checkpoint_every, keep_checkpoints, log_every,
            tensorboard, threads, timeout, command: see `alexnet.options.TrainOptions`.
        watcher: is told how it goes.

    Raises:
        RefusedError: the request cannot be carried out; nothing was changed.
        PipelineError: training failed; the last checkpoint is untouched.
    """
    recipe = recipe_of(
        preset,
        batch_size=batch_size,
        epochs=epochs,
        learning_rate=learning_rate,
        schedule=schedule,
        lighting=lighting,
        mean=mean,
        width=width,
        norm=norm,
        pooling=pooling,
        activation=activation,
        cross_links=cross_links,
        dropout=dropout,
    )
    options = TrainOptions(
        towers=towers,
        device=device,
        precision=precision,
        compile=compile,
        steps=steps,
        seed=seed,
        resume=resume == "auto",
        checkpoint_every_steps=checkpoint_every,
        keep_checkpoints=keep_checkpoints,
        log_every_steps=log_every,
        tensorboard=tensorboard,
        threads=threads,
        timeout_s=timeout,
        command=command,
    )
    train_folder, val_folder = splits_of(Path(shards), Path(val) if val is not None else None)
    return training.train(train_folder, val_folder, Path(run_dir), recipe, options, watcher or SilentWatcher())


def recipe_of(preset: str, *, batch_size: int | None = None, **changes: Any) -> Recipe:
    """A preset's numbers with some of them changed, by the command line's words; None changes nothing."""
    return find_recipe(preset, {"batch_images": batch_size, **changes})


def splits_of(shards: Path, val: Path | None) -> tuple[Path, Path | None]:
    """The folders of training and validation sets that a person means by one."""
    if not (shards / "train" / "manifest.json").exists():
        return shards, val
    beside = shards / "val"
    return shards / "train", val or (beside if (beside / "manifest.json").exists() else None)


def evaluate(
    runs: Sequence[StrPath],
    *,
    shards: StrPath,
    crops: Crops = 1,
    device: str = "auto",
    predictions: StrPath | None = None,
    warn: Callable[[str], None] = LOG.warning,
) -> Evaluation:
    """Count the errors of a run's newest network; of several runs, of the mean of their probabilities.

    A single run keeps what was found, for its report. See `alexnet.evaluate.evaluate`.
    """
    folders = [Path(run) for run in runs]
    where = Path(predictions) if predictions is not None else None
    found = evaluate_runs(folders, Path(shards), crops=crops, device=device, predictions=where, warn=warn)
    if len(folders) == 1:
        record_evaluation(folders[0], found)
    return found


def report(run: StrPath, output: StrPath | None = None, *, warn: Callable[[str], None] = LOG.warning) -> Path:
    """Draw a run in one HTML file that needs no network; default RUN/report.html."""
    folder = Path(run)
    return report_page.write_report(folder, Path(output) if output is not None else folder / "report.html", warn)
