"""Shards in, a trained network out: checkpoints and metrics in a run folder, resumable at any moment."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from alexnet_pipeline.alexnet.checkpoint import Checkpoint, load_newest, newest_path
from alexnet_pipeline.alexnet.options import TrainOptions, TrainSummary, Watcher
from alexnet_pipeline.alexnet.processes import Place, take_place
from alexnet_pipeline.alexnet.recipe import Recipe
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, check_tensorboard, locked
from alexnet_pipeline.alexnet.trainer import Trainer
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import RefusedError


def train(
    shards: Path, val: Path | None, run: Path, recipe: Recipe, options: TrainOptions, watcher: Watcher
) -> TrainSummary:
    """Train a network.

    Args:
        shards: folder of the training set.
        val: folder of the validation set, None for none.
        run: folder for checkpoints and metrics.
        recipe: every number of the training.
        options: how to run.
        watcher: told how it goes, in the first process only.

    Raises:
        RefusedError: the request cannot be carried out; nothing was changed.
        PipelineError: training failed, or the loss is no longer finite; the last checkpoint is untouched.
        InterruptedRunError: a signal ended it after a checkpoint.
    """
    if options.tensorboard:
        check_tensorboard()
    train_set = open_shards(shards)
    val_set = open_shards(val) if val else None
    _check_sets(train_set, val_set, recipe)
    with ExitStack() as stack:
        place = stack.enter_context(take_place(options.towers, options.device, options.timeout_s))
        if place.leads:
            stack.enter_context(locked(run))
        found = _begin(run, options, place, watcher)
        trainer = Trainer(train_set, val_set, run, recipe, options, place, watcher)
        stack.callback(trainer.close)
        if found:
            trainer.restore(found)
        stack.enter_context(trainer.stop)
        return trainer.run()


def _begin(run: Path, options: TrainOptions, place: Place, watcher: Watcher) -> Checkpoint | None:
    """The checkpoint to go on from, or None for a new run."""
    folder = run / CHECKPOINTS
    if options.resume:
        return load_newest(folder, watcher.warn if place.leads else lambda line: None)
    if newest_path(folder):
        raise RefusedError(f"{run} holds a run; go on with --resume auto, or choose another --run-dir")
    return None


def _check_sets(train_set: ShardSet, val_set: ShardSet | None, recipe: Recipe) -> None:
    if val_set and val_set.manifest.classes != train_set.manifest.classes:
        raise RefusedError(f"{val_set.folder} has other classes than {train_set.folder}; shard both from one source")
    if val_set and val_set.manifest.options.size_px != train_set.manifest.options.size_px:
        raise RefusedError(
            f"{val_set.folder} has pictures of {val_set.manifest.options.size_px} pixels, {train_set.folder} of "
            f"{train_set.manifest.options.size_px}; shard both with one --size"
        )
    if recipe.schedule == "plateau" and val_set is None:
        raise RefusedError("the plateau schedule follows the validation error: give --val, or choose --schedule steps")
