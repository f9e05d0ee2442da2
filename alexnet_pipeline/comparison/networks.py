"""A source and methods in, networks trained on each and tested on all out; a finished cell is not trained again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_pipeline import api
from alexnet_pipeline.alexnet.evaluate import evaluate
from alexnet_pipeline.alexnet.options import TrainOptions, Watcher
from alexnet_pipeline.alexnet.predict import predict
from alexnet_pipeline.alexnet.recipe import Recipe
from alexnet_pipeline.alexnet.train import train
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.comparison.records import ShiftCell, TrainedCell, Training
from alexnet_pipeline.comparison.accuracy import summarise
from alexnet_pipeline.errors import SIGNAL_EXIT, InterruptedRunError, RefusedError
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import Geometry, Reject, fingerprint
from alexnet_pipeline.shards.build import Reporter
from alexnet_pipeline.files import write_whole

SHARDS, RUNS, CELLS = "shards", "runs", "cells.json"
# Change this when the meaning of a cell changes, so that old ones are not taken for new.
CELLS_VERSION = 1
# One pixel of the 256-pixel picture.
SHIFT_PX = 1


@dataclass(frozen=True, slots=True)
class MatrixOptions:
    """How the networks are trained.

    Attributes:
        recipe: every number of the training.
        steps: of each network, None for the recipe's epochs.
        seeds: so many networks a method, from seed 0 on.
        size_px: target side of the shards.
        geometry: of the shards; all else is as `shard` does by itself, quality 95 among it.
        limit_images: only so many of each split, None for all.
        workers: processes that make shards and threads that decode; None for the cores.
        device: `auto`, `cpu` or `cuda`.
    """

    recipe: Recipe
    steps: int | None
    seeds: int
    size_px: int = 256
    geometry: Geometry = "center-crop"
    limit_images: int | None = None
    workers: int | None = None
    device: str = "auto"


def train_matrix(
    source: Path,
    methods: Sequence[str],
    work: Path,
    options: MatrixOptions,
    *,
    sharding: Reporter,
    training: Callable[[str], Watcher],
) -> tuple[Training, tuple[Reject, ...]]:
    """Shard by every method in one decoding pass, train on each, test on all.

    Args:
        source: raw pictures with train and val.
        methods: names.
        work: folder for shards and runs; the same call resumes there.
        options: how to train.
        sharding: told how sharding goes.
        training: given the name of each network, says who is told how its training goes.

    Returns:
        What training showed, and the pictures that did not become samples.

    Raises:
        RefusedError: the source has no validation split, or the folder holds a run with other options.
    """
    made = api.shard(
        source,
        work / SHARDS,
        methods=methods,
        split=("train", "val"),
        size=options.size_px,
        geometry=options.geometry,
        limit=options.limit_images,
        workers=options.workers,
        reporter=sharding,
    )
    folders = {method: work / SHARDS / find_method(method).directory for method in methods}
    tests = {method: open_shards(folder / "val") for method, folder in folders.items()}
    cells: list[TrainedCell] = []
    shifts: list[ShiftCell] = []
    wanted = [(method, seed) for seed in range(options.seeds) for method in methods]
    for number, (method, seed) in enumerate(wanted, 1):
        run = work / RUNS / find_method(method).directory / f"seed-{seed}"
        watcher = training(f"{method}, seed {seed} ({number} of {len(wanted)})")
        found = _network(run, folders[method], method, seed, tests, options, watcher)
        cells += found[0]
        shifts.append(found[1])
    train_set = open_shards(folders[methods[0]] / "train").manifest
    steps = options.steps or options.recipe.epochs * -(-train_set.total_images // options.recipe.batch_images)
    recipe = options.recipe
    summary = summarise(recipe.preset, steps, recipe.batch_images, train_set.total_images, cells, shifts)
    return summary, tuple(reject for summary in made for reject in summary.rejects)


def _network(
    run: Path,
    folder: Path,
    method: str,
    seed: int,
    tests: dict[str, ShardSet],
    options: MatrixOptions,
    watcher: Watcher,
) -> tuple[list[TrainedCell], ShiftCell]:
    """Train one network and test it on every method, or read what an earlier call found."""
    train_set = open_shards(folder / "train").manifest
    identity = fingerprint(
        CELLS_VERSION,
        dataclasses.asdict(options.recipe),
        options.steps,
        seed,
        train_set.digest,
        {name: shards.manifest.digest for name, shards in tests.items()},
    )
    kept = _read_cells(run / CELLS, identity)
    if kept:
        return kept
    val = folder / "val" if options.recipe.schedule == "plateau" else None
    how = TrainOptions(steps=options.steps, seed=seed, resume=True, device=options.device, threads=options.workers)
    try:
        train(folder / "train", val, run, options.recipe, how, watcher)
    except RefusedError as error:
        raise RefusedError(f"{run}: {error}".replace("--run-dir", "--work-dir")) from error
    except InterruptedRunError as error:
        number = error.exit_code - SIGNAL_EXIT
        raise InterruptedRunError(number, f"{run}: interrupted; the same command goes on from there") from error
    cells = list(_tested(run, method, seed, tests, options.device, watcher))
    shift = _shifted(run, method, seed, tests[method], options.device, watcher)
    record = {"identity": identity, "cells": [*map(dataclasses.asdict, cells)], "shift": dataclasses.asdict(shift)}
    write_whole(run / CELLS, (json.dumps(record, indent=1) + "\n").encode("ascii"))
    return cells, shift


def _tested(
    run: Path, method: str, seed: int, tests: dict[str, ShardSet], device: str, watcher: Watcher
) -> Iterator[TrainedCell]:
    for test, shards in tests.items():
        errors = evaluate([run], shards.folder, device=device, warn=watcher.warn).errors
        yield TrainedCell(method, test, seed, errors.total_images, errors.top1_error, errors.top5_error)


def _shifted(run: Path, method: str, seed: int, shards: ShardSet, device: str, watcher: Watcher) -> ShiftCell:
    """How often the best class stays when the centre crop moves by a pixel."""
    still, moved = (
        predict([run], shards, shift_px=shift_px, device=device, warn=watcher.warn).probabilities.argmax(1)
        for shift_px in (0, SHIFT_PX)
    )
    return ShiftCell(method, seed, len(still), float((still == moved).double().mean()))


def _read_cells(path: Path, identity: str) -> tuple[list[TrainedCell], ShiftCell] | None:
    """What is kept of this very network; a file of another one is not an error, its network is trained again."""
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        if record["identity"] != identity:
            return None
        return [TrainedCell(**cell) for cell in record["cells"]], ShiftCell(**record["shift"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError(f"{path} cannot be read ({error}); remove it, and its network is tested again") from error
