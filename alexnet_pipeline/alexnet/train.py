"""Training: the entry and the loop. Checkpoints and metrics go to a run folder, from which a run can be resumed."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alexnet_pipeline.alexnet.checkpoint import Checkpoint, best_checkpoint, load_newest, newest_path
from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.evaluate import measure
from alexnet_pipeline.alexnet.identity import continued
from alexnet_pipeline.alexnet.metrics import StepSums, ValidationLine
from alexnet_pipeline.alexnet.options import NO_VAL, TrainOptions
from alexnet_pipeline.alexnet.pretrained import read_weights, take_weights
from alexnet_pipeline.alexnet.processes import Process, join
from alexnet_pipeline.alexnet.randomness import seeded
from alexnet_pipeline.alexnet.recipe import RecipeChanges, find_recipe
from alexnet_pipeline.alexnet.run import Run, check_schedule, open_splits, prepare
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, LOCK, first_weights, write_run
from alexnet_pipeline.alexnet.schedule import after_epoch, is_over
from alexnet_pipeline.alexnet.state import TrainState, begin, check_finite, restore, save
from alexnet_pipeline.alexnet.step import joined, take_step
from alexnet_pipeline.alexnet.trackers import check_trackers, start_trackers
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.dataset.cache import Stop
from alexnet_pipeline.errors import InterruptedRunError, RefusedError
from alexnet_pipeline.files import locked
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.progress import Advance, Message, Progress, Report, Stage, reporting, silent
from alexnet_pipeline.storage.place import StrPath, locate
from alexnet_pipeline.text import counted

# Several processes agree on stopping after so many steps, because each agreement waits for the device.
AGREE_STEPS = 10
# Progress is reported this often where steps are shorter, and after each step where they are not.
TELL_S = 1.0
# The preset that trains in minutes without a GPU.
FOR_CPUS = "quarter"


@dataclass(frozen=True, slots=True, repr=False)
class TrainSummary:
    """What a run reached.

    Attributes:
        run: folder.
        steps: taken, those before resuming included.
        images: seen, likewise.
        loss: mean over the last logged steps; None where no step was taken.
        errors: on the validation set at the end; None without one.
        checkpoint: folder of the last one.
        best_checkpoint: folder of the one with the lowest top-1 error on the validation set; None without one.
        best_errors: its errors.
    """

    run: str
    steps: int
    images: int
    loss: float | None
    errors: ErrorRates | None
    checkpoint: str
    best_checkpoint: str | None = None
    best_errors: ErrorRates | None = None

    def __repr__(self) -> str:
        errors = f", val {self.errors}" if self.errors else ""
        steps, images = counted(self.steps, "step"), counted(self.images, "image")
        return f"TrainSummary({self.run}: {steps}, {images}{errors})"


@takes_options(RecipeChanges, TrainOptions)
def train(
    shards: StrPath,
    *,
    run_dir: Path | str,
    progress: Progress = True,
    stop: Stop | None = None,
    command: str = "",
    strict: bool = False,
    **options: Any,
) -> TrainSummary:
    """Train AlexNet.

    Args:
        shards: a data set, or a method's folder with train/ and val/; a path, or a URL together with `cache`.
        run_dir: folder for checkpoints, metrics.jsonl and run.json.
        **options: see `RecipeChanges` and `TrainOptions`.
        progress: True shows a bar, False nothing; or a function that gets events.
        stop: asked between steps, and while shards are fetched; training ends with a checkpoint once it returns the
            number of a signal, not 0.
        command: that a person would repeat, for the report.
        strict: whether to refuse another rate or length than that of a run that is resumed.

    Raises:
        RefusedError: the request cannot be carried out; nothing was changed.
        PipelineError: training failed, or the loss is no longer finite; the last checkpoint is untouched.
        InterruptedRunError: `stop` ended it, after a checkpoint, or while shards were fetched.
    """
    recipe, chosen, folder = find_recipe(options), make(TrainOptions, options), Path(run_dir)
    check_trackers(chosen)
    stop = stop or (lambda: 0)
    with ExitStack() as stack:
        report = stack.enter_context(reporting(progress))
        # Not only the first process reports: of those of a machine, any one may be the one that fetches.
        train_set, val_set = open_splits(locate(shards), recipe, chosen, report, stop)
        process = stack.enter_context(join(chosen.towers, chosen.device, chosen.timeout_s))
        report = report if process.leads else silent

        def claim() -> Checkpoint | None:
            if process.leads:
                busy = f"another run is writing {folder}; wait for it, or choose another `run_dir`"
                stack.enter_context(locked(folder / LOCK, busy))
            return _find_checkpoint(folder, chosen, report)

        checkpoint = process.agree(claim)
        _check_shared(folder, checkpoint, process)
        if checkpoint and not strict:
            recipe = continued(recipe, checkpoint.state.identity, options.keys())
            if not {"steps", "epochs"} & options.keys():
                chosen = replace(chosen, steps=checkpoint.state.identity.total_steps)
            if "grad_accum_steps" not in options:
                chosen = replace(chosen, grad_accum_steps=checkpoint.state.identity.grad_accum_steps)
            check_schedule(recipe, validated=val_set is not None)
        if checkpoint:
            chosen = replace(chosen, init_from=first_weights(folder))
            if chosen.precision == "auto":  # as the run began, though on another device
                chosen = replace(chosen, precision=checkpoint.state.identity.precision)
        stack.enter_context(seeded(process, chosen.seed))
        run = stack.enter_context(prepare(folder, train_set, val_set, recipe, chosen, process, report))
        if checkpoint:
            state = restore(run, checkpoint, strict=strict)
        else:
            state = begin(run)
            if chosen.init_from:
                take_weights(run, read_weights(chosen.init_from, report))
        if run.metrics:  # not before: a refused resume leaves the run as it was
            record = run.record(command)
            trackers, told = start_trackers(folder, chosen, record)
            run.metrics.track(trackers)
            write_run(folder, record, run.loader.mean)
            for line in told:
                report(Message(line))
        return _train(run, state, stop)


def _find_checkpoint(folder: Path, options: TrainOptions, report: Report) -> Checkpoint | None:
    """The checkpoint to resume from, None for a new run."""
    if options.resume == "auto":
        return load_newest(folder / CHECKPOINTS, report)
    if newest_path(folder / CHECKPOINTS):
        raise RefusedError(f"{folder} holds a run; resume it with `resume='auto'`, or choose another `run_dir`")
    return None


def _check_shared(folder: Path, checkpoint: Checkpoint | None, process: Process) -> None:
    """Make sure that all processes begin at the same checkpoint."""
    found = process.gather((checkpoint.state.step, checkpoint.digest) if checkpoint else (0, ""))
    if len(set(found)) > 1:
        steps = ", ".join(f"{step:,}" for step, _ in found)
        raise RefusedError(
            f"{folder} holds other checkpoints for other processes (of the steps {steps}, by rank); `run_dir` must be "
            "a folder that all machines share"
        )


def _train(run: Run, state: TrainState, stop: Stop) -> TrainSummary:
    total = run.identity.total_steps
    run.report(Stage("train", total=total, done=state.step, unit="steps"))
    epochs = total / len(run.loader)
    steps = f"{counted(total, 'step')} ({epochs:.3g} {'epoch' if epochs == 1 else 'epochs'})"
    run.report(Message(_data_text(run.loader)))
    run.report(Message(f"training {steps} of preset {run.recipe.preset} on {_devices_text(run)}"))
    if run.process.device.type == "cpu" and run.recipe.preset != FOR_CPUS:
        run.report(Message(f"no GPU: this takes long for more than a trial; `preset` {FOR_CPUS} is made for CPUs"))
    if run.val is None:
        why = "`val` is none" if run.options.val == NO_VAL else "found no validation set; name one with `val`"
        run.report(Message(f"no validation while training: {why}"))
    while state.step < total and not is_over(run.recipe, state.plateau):
        state = _epoch(run, state, stop)
    if run.val and state.validated_step != state.step:
        state = _validate(run, state)
    if state.saved_step != state.step:
        state = save(run, state)
    if run.process.any(stop() != 0):  # asked for after the last step
        raise InterruptedRunError(stop() or signal.SIGTERM, "interrupted after the last step; training is complete")
    best = best_checkpoint(run.folder / CHECKPOINTS) if run.process.leads else None
    return TrainSummary(
        run=str(run.folder),
        steps=state.step,
        images=state.images,
        loss=state.loss,
        errors=state.errors,
        checkpoint=str(newest_path(run.folder / CHECKPOINTS)),
        best_checkpoint=str(best[0]) if best else None,
        best_errors=best[1] if best else None,
    )


def _epoch(run: Run, state: TrainState, stop: Stop) -> TrainState:
    """The rest of an epoch: its steps, then a validation and a checkpoint."""
    every = run.options.checkpoint_every_steps
    state = replace(state, sums=StepSums.begin(run.process.device))
    # A checkpoint that was made after an epoch's last step has its validation still to come.
    batches = run.loader.crops() if run.loader.state().step < len(run.loader) else iter(())
    asked_s = time.perf_counter()
    for crops in batches:
        images, labels = joined(run, crops, full=run.is_full(state.step))
        state = take_step(run, state, images, labels, time.perf_counter() - asked_s)
        if state.step % run.options.log_every_steps == 0:
            state = _log(run, state)
        elif run.process.leads and time.perf_counter() - state.sums.told_s >= TELL_S:
            state = _tell(run, state, *state.sums.here(run.process))
        if run.process.world == 1 or state.step % AGREE_STEPS == 0:
            _heed(run, state, stop)
        if every and state.step % every == 0:
            state = save(run, state)
        if state.step == run.identity.total_steps:
            break
        asked_s = time.perf_counter()
    state = _log(run, state)
    if state.step % len(run.loader):
        return state
    run.loader.end_epoch()
    if run.val:
        state = _validate(run, state)
        assert state.errors
        epochs = state.step // len(run.loader)
        state = replace(state, plateau=after_epoch(run.recipe, state.plateau, state.errors.top1_error, epochs))
    return save(run, state)


def _validate(run: Run, state: TrainState) -> TrainState:
    assert run.val is not None
    run.process.take_from_first(run.model.buffers())  # the statistics of batch norm, as a checkpoint has them
    images = len(run.val.shards)

    def tell(done: int) -> None:
        run.report(Advance(state.step, f"validating, {done:,} of {counted(images, 'image')}"))

    errors = measure(run.model, run.val, run.process, run.validate, tell)
    if run.metrics:
        run.metrics.append(ValidationLine(state.step, state.images, state.step / len(run.loader), errors))
    run.report(Message(f"val: step {state.step:,}, {errors}"))
    return replace(state, errors=errors, validated_step=state.step, saved_step=-1)


def _log(run: Run, state: TrainState) -> TrainState:
    """Write a line for the steps since the last one, and report it."""
    if not state.sums.steps:
        return state
    line = state.sums.line(
        run.process,
        step=state.step,
        images=state.images,
        epoch=state.step / len(run.loader),
        learning_rate=state.learning_rate,
    )
    check_finite(run.process, state.step, line.loss)
    if run.metrics:
        run.metrics.append(line)
    state = _tell(run, state, line.loss, line.images_per_s, line.data_wait)
    return replace(state, loss=line.loss, sums=StepSums.begin(run.process.device))


def _tell(run: Run, state: TrainState, loss: float, images_per_s: float, data_wait: float) -> TrainState:
    """Report progress."""
    pace = f"{images_per_s:,.0f} images/s, data wait {100 * data_wait:.0f} %"
    run.report(Advance(state.step, f"loss {loss:.3f}, {pace}"))
    return replace(state, sums=replace(state.sums, told_s=time.perf_counter()))


def _heed(run: Run, state: TrainState, stop: Stop) -> None:
    """End training with a checkpoint where any process is asked to stop."""
    if not run.process.any(stop() != 0):
        return
    save(run, state)
    raise InterruptedRunError(
        stop() or signal.SIGTERM,
        f"interrupted at step {state.step:,} of {run.identity.total_steps:,}; `resume='auto'` continues from there",
    )


def _data_text(loader: Loader) -> str:
    """Like `shards/lanczos/train: 599 images in 10 classes, lanczos, 256 px, crops of 224 px`."""
    manifest = loader.shards.manifest
    images, classes = counted(len(loader.shards), "image"), counted(len(manifest.classes), "class")
    options, crop_px = manifest.options, loader.state().crop_px
    return (
        f"{loader.shards.origin}: {images} in {classes}, {options.method}, {options.size_px} px, crops of {crop_px} px"
    )


def _devices_text(run: Run) -> str:
    """Like `CPU (one device)`."""
    process = run.process
    arrangement = {
        "one": f"{process.world} processes, each with the whole network" if process.world > 1 else "one device",
        "local": "two devices" if len({*process.exchange.devices}) > 1 else "two towers on one device",
        "distributed": f"{process.world} processes",
    }
    return f"{'GPU' if process.device.type == 'cuda' else 'CPU'} ({arrangement[process.towers]})"
