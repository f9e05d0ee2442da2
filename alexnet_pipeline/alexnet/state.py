"""The state of a training run: what changes from step to step, how it is saved, and how it is restored."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from alexnet_pipeline.alexnet.checkpoint import Checkpoint, SavedState, Validation, find_not_finite, save_checkpoint
from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.identity import check_identity
from alexnet_pipeline.alexnet.metrics import ChangeLine, StepSums
from alexnet_pipeline.alexnet.network import is_shared
from alexnet_pipeline.alexnet.optimizer import load_momentum, momentum
from alexnet_pipeline.alexnet.precision import FIRST_SCALE, LossScale
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.randomness import gather_random, set_random
from alexnet_pipeline.alexnet.run import Run
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS
from alexnet_pipeline.alexnet.schedule import PlateauState, warmup_share
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.progress import Message


@dataclass(frozen=True, slots=True)
class TrainState:
    """All of a run that changes, but for what network, optimizer and loaders hold.

    Attributes:
        step: steps taken.
        images: images seen.
        learning_rate: of the last step.
        plateau: state of the plateau schedule.
        sums: over the steps since the last line of the log.
        loss: of that line.
        errors: of the last validation.
        validated_step: of the last validation.
        saved_step: of the last checkpoint; -1 where that does not hold the last validation, too.
        loss_scale: of fp16.
    """

    step: int
    images: int
    learning_rate: float
    plateau: PlateauState
    sums: StepSums
    loss: float | None = None
    errors: ErrorRates | None = None
    validated_step: int = -1
    saved_step: int = -1
    loss_scale: LossScale = FIRST_SCALE


def begin(run: Run) -> TrainState:
    """The state before the first step."""
    return TrainState(0, 0, run.recipe.learning_rate, PlateauState(), StepSums.begin(run.process.device))


def restore(run: Run, checkpoint: Checkpoint, *, strict: bool = False) -> TrainState:
    """The state of a checkpoint; network, optimizer, loader and random generators are put back as they were.

    Raises:
        RefusedError: the checkpoint was made with other settings.
    """
    saved, process = checkpoint.state, run.process
    changed = check_identity(saved.identity, saved.step, run.identity, strict=strict)
    run.model.load_grouped(checkpoint.weights)
    warmed = warmup_share(run.recipe, saved.step - 1, len(run.loader))
    load_momentum(run.model, run.optimizer, checkpoint.momentum, saved.learning_rate, warmed)
    run.loader.load_state(saved.loader)
    moved = set_random(process, checkpoint.random)
    if moved:
        run.report(
            Message(f"resumed on other devices ({moved}): rounding and dropout differ from those of an unmoved run")
        )
    if changed:
        run.report(Message(f"from step {saved.step:,} on with {'; '.join(changed)}"))
        if run.metrics:
            run.metrics.append(ChangeLine(saved.step, changed))
    sums = StepSums.begin(process.device)
    # Another schedule's errors, which may be of another validation set, decided nothing and decide nothing now.
    plateau = saved.plateau if saved.identity.recipe.schedule == run.recipe.schedule else PlateauState()
    state = TrainState(
        *(saved.step, saved.images, saved.learning_rate, plateau, sums),
        saved_step=saved.step,
        loss_scale=saved.loss_scale,
    )
    if saved.validation and run.val and saved.validation.shards == run.val.shards.manifest.digest:
        return replace(state, errors=saved.validation.errors, validated_step=saved.step)
    return state


def save(run: Run, state: TrainState) -> TrainState:
    """Make a checkpoint; all processes call this together.

    Raises:
        PipelineError: loss, weights or momentum are not finite, or the checkpoint cannot be written.
    """
    if state.sums.steps:
        check_finite(run.process, state.step, state.sums.means(run.process)[0])
    process, validation = run.process, None
    if run.val and state.errors and state.validated_step == state.step:
        validation = Validation(state.errors, run.val.shards.manifest.digest)
    checkpoint = Checkpoint(
        weights={
            name: parts[0].cpu() if is_shared(name) else process.exchange.rows(parts)
            for name, parts in run.model.local_state().items()
        },
        momentum=momentum(run.model, run.optimizer),
        random=gather_random(process),
        state=SavedState(
            step=state.step,
            images=state.images,
            learning_rate=state.learning_rate,
            plateau=state.plateau,
            loader=run.loader.state(),
            size_px=run.loader.shards.manifest.options.size_px,
            identity=run.identity,
            validation=validation,
            loss_scale=state.loss_scale,
        ),
    )
    name = find_not_finite(checkpoint)
    if process.any(bool(name)):
        raise process.alike(
            PipelineError(
                f"weights or momentum are no longer finite at step {state.step:,}{f' ({name})' if name else ''}; the "
                "last checkpoint is untouched; train with a lower `learning_rate`"
            )
        )
    if process.leads:
        save_checkpoint(run.folder / CHECKPOINTS, checkpoint, run.options.keep_checkpoints)
    return replace(state, saved_step=state.step)


def check_finite(process: Process, step: int, loss: float) -> None:
    """Make sure that training has not diverged; every process has the same loss.

    Raises:
        PipelineError: the loss is not finite.
    """
    if not math.isfinite(loss):
        raise process.alike(
            PipelineError(
                f"the loss is {loss} at step {step:,}; the last checkpoint is untouched; train with a lower "
                "`learning_rate`, or look at the data"
            )
        )
