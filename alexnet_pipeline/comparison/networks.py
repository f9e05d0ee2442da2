"""Trains networks on the shards of each method and tests each on those of all; a finished network is kept."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alexnet_pipeline.alexnet.evaluate import evaluate
from alexnet_pipeline.alexnet.network import sides_px
from alexnet_pipeline.alexnet.predict import predict
from alexnet_pipeline.alexnet.recipe import Preset, Recipe, crop_px_of, find_recipe
from alexnet_pipeline.alexnet.train import train
from alexnet_pipeline.comparison.accuracy import summarise
from alexnet_pipeline.comparison.options import CompareOptions, NetworkTraining
from alexnet_pipeline.comparison.records import Comparison, NetworkResults, ShiftCell, TrainedCell
from alexnet_pipeline.comparison.verdict import verdict_of
from alexnet_pipeline.dataset.cache import Stop
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import SIGNAL_EXIT, InterruptedRunError, RefusedError
from alexnet_pipeline.files import read_whole, write_whole
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.progress import Message, Report
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.records import fingerprint, from_json, to_json
from alexnet_pipeline.shards.build import shard
from alexnet_pipeline.storage.place import StrPath

SHARDS, RUNS, CELLS = "shards", "runs", "cells.json"
# Change this when the meaning of a cell changes, so that old ones are not taken for new ones.
CELLS_VERSION = 1
# By this much images are moved to see whether a network's prediction changes.
SHIFT_PX = 1
# Packages that decide the networks; DALI has one per version of CUDA.
PACKAGES = ("torch", "nvidia-dali-cuda130", "nvidia-dali-cuda120")


@dataclass(frozen=True, slots=True)
class KeptCells:
    """What is kept of a finished network; `identity` is a fingerprint of all that decides it and its tests."""

    identity: str
    cells: tuple[TrainedCell, ...]
    shift: ShiftCell


@dataclass(frozen=True, slots=True)
class _Task:
    """A network to be trained in a run folder, on a method's training set, and tested on every method's `tests`."""

    run: Path
    train_set: ShardSet
    tests: dict[str, ShardSet]
    method: str
    seed: int


def check_size(preset: Preset, size_px: int) -> None:
    """Make sure, before the work, that a preset's network can be trained on images of a side.

    Raises:
        RefusedError: they are too small.
    """
    recipe = find_recipe({"preset": preset})
    sides_px(recipe.network(1, crop_px_of(recipe, size_px)))


def add_networks(
    comparison: Comparison,
    source: StrPath,
    choices: CompareOptions,
    training: NetworkTraining,
    *,
    reading: SourceOptions,
    report: Report,
    stop: Stop | None = None,
) -> Iterator[Comparison]:
    """Add to a comparison what networks say that are trained on its methods' shards of `source`.

    All methods are sharded in one decoding pass. The same call resumes what it began in `training.work_dir`.

    Yields:
        The comparison with the networks so far, after each of them; the last one has all.

    Raises:
        RefusedError: the folder holds runs with other options.
        PipelineError: something failed.
        InterruptedRunError: training was stopped.
    """
    assert training.work_dir
    summaries = shard(
        source,
        training.work_dir / SHARDS,
        methods=choices.methods,
        split=("train", "val"),
        size=choices.size_px,
        geometry=choices.geometry,
        quality=choices.quality,
        limit=training.limit_images,
        workers=choices.workers,
        progress=report,
        **{name: value for name, value in vars(reading).items() if value is not None},
    )
    trainer = partial(
        train,
        threads=choices.workers,
        resume="auto",
        strict=True,
        progress=report,
        stop=stop,
        command=comparison.command,
    )
    rejects = {
        (reject.name, reject.reason): reject
        for reject in (*comparison.rejects, *(reject for summary in summaries for reject in summary.rejects))
    }
    installed = [each for package in PACKAGES for each in importlib.metadata.distributions(name=package)]
    versions = comparison.versions | {each.name: each.version for each in installed}
    for networks in _train_all(choices.methods, training, trainer, report):
        found = dataclasses.replace(comparison, training=networks, rejects=tuple(rejects.values()), versions=versions)
        yield dataclasses.replace(found, verdict=verdict_of(found))


def _train_all(
    methods: Sequence[str], training: NetworkTraining, trainer: Callable[..., object], report: Report
) -> Iterator[NetworkResults]:
    """Train and test a network for each method and seed, by a function that takes what differs between them."""
    assert training.work_dir
    recipe, runs = find_recipe({"preset": training.preset}), training.work_dir / RUNS
    folders = {method: find_method(method).directory for method in methods}
    train_sets, tests = (
        {method: open_shards(training.work_dir / SHARDS / folder / split) for method, folder in folders.items()}
        for split in ("train", "val")
    )
    tasks = [
        _Task(runs / folders[method] / f"seed-{seed}", train_sets[method], tests, method, seed)
        for seed in range(training.seeds)
        for method in methods
    ]
    images = len(train_sets[methods[0]])
    steps = training.steps or recipe.epochs * -(-images // recipe.batch_images)
    cells: list[TrainedCell] = []
    shifts: list[ShiftCell] = []
    for number, task in enumerate(tasks, 1):
        report(Message(f"network {number} of {len(tasks)}: {task.method}, seed {task.seed}"))
        kept = _network(task, recipe, training.steps, trainer, report)
        cells += kept.cells
        shifts.append(kept.shift)
        yield summarise(recipe.preset, steps, recipe.batch_images, images, cells, shifts, planned=len(tasks))


def _network(
    task: _Task, recipe: Recipe, steps: int | None, trainer: Callable[..., object], report: Report
) -> KeptCells:
    """Train a network and test it on the validation set of every method, or read what an earlier call kept of it."""
    identity = fingerprint(
        CELLS_VERSION,
        dataclasses.asdict(recipe),
        steps,
        task.seed,
        task.train_set.manifest.digest,
        {method: test.manifest.digest for method, test in task.tests.items()},
    )
    kept = _read_cells(task.run / CELLS)
    if kept is not None and kept.identity == identity:
        return kept
    val = task.tests[task.method].folder if recipe.schedule == "plateau" else None
    try:
        trainer(task.train_set.folder, run_dir=task.run, val=val, seed=task.seed, preset=recipe.preset, steps=steps)
    except RefusedError as error:
        raise RefusedError(f"{task.run}: {error}".replace("`run_dir`", "`work_dir`")) from error
    except InterruptedRunError as error:
        text = f"Interrupted while training on {task.method}, seed {task.seed}. Run the same command to resume."
        raise InterruptedRunError(error.exit_code - SIGNAL_EXIT, text) from error
    kept = KeptCells(identity, _test(task, report), _shift(task, report))
    write_whole(task.run / CELLS, to_json(kept, indent=1))
    return kept


def _test(task: _Task, report: Report) -> tuple[TrainedCell, ...]:
    """The errors of a network on the validation set of every method."""
    tested = [
        (method, evaluate([task.run], shards=test.folder, progress=report).errors)
        for method, test in task.tests.items()
    ]
    return tuple(
        TrainedCell(task.method, method, task.seed, errors.total_images, errors.top1_error, errors.top5_error)
        for method, errors in tested
    )


def _shift(task: _Task, report: Report) -> ShiftCell:
    """How often the most probable class stays the same when the centre crop moves by a pixel."""
    still, moved = (
        predict([task.run], task.tests[task.method], shift_px=shift_px, report=report).probabilities.argmax(1)
        for shift_px in (0, SHIFT_PX)
    )
    return ShiftCell(task.method, task.seed, len(still), float((still == moved).double().mean()))


def _read_cells(path: Path) -> KeptCells | None:
    try:
        return from_json(read_whole(path), KeptCells)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path} is damaged ({error}); remove it, and its network is tested again") from error
