"""What a resumed run must have in common with its checkpoint, and what it may have changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

from alexnet_pipeline.alexnet.options import Precision
from alexnet_pipeline.alexnet.recipe import NetworkOptions, Recipe
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import parameters_of

# Settings that a resumed run may have others of, which its log then says: those of its rate and length, and how many
# images are taken at a time, which batch normalisation notices as it does the number of processes.
CHANGEABLE = frozenset(
    {"learning_rate", "schedule", "drops_epochs", "final_learning_rate", "patience_epochs", "drops", "warmup_epochs"}
    | {"epochs", "total_steps", "grad_accum_steps"}
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a resumed run must have in common with its checkpoint.

    Attributes:
        recipe: every number of the training.
        network: that is trained.
        seed: of the run.
        total_steps: of the whole run.
        precision: of the arithmetic.
        classes: class names, in label order.
        training_set: digest of its manifest.
        validation_set: likewise, which counts where its errors decide the rate; empty without one, and in a checkpoint
            of a version that did not record it.
        grad_accum_steps: micro-batches of a step.
    """

    recipe: Recipe
    network: NetworkOptions
    seed: int
    total_steps: int
    precision: Precision
    classes: tuple[str, ...]
    training_set: str
    validation_set: str = ""
    grad_accum_steps: int = 1


def check_identity(saved: Identity, step: int, mine: Identity, *, strict: bool = False) -> tuple[str, ...]:
    """Make sure that a checkpoint is of this very run; or, unless `strict`, of one with another rate and length.

    Args:
        saved: the checkpoint's.
        step: of the checkpoint.
        mine: of the run that is to continue from there.
        strict: whether to refuse another rate or length, too.

    Returns:
        What differs, like `learning_rate: 0.01, now 0.001`.

    Raises:
        RefusedError: it was made with other settings; the message says which.
    """
    then, now = _settings(saved), _settings(mine)
    plateau = saved.recipe.schedule == mine.recipe.schedule == "plateau"
    if not (plateau and then["validation_set"]):
        del then["validation_set"], now["validation_set"]
    changed = {name: f"{name}: {then[name]!s:.60}, now {now[name]!s:.60}" for name in now if then[name] != now[name]}
    refused = [text for name, text in changed.items() if strict or name not in CHANGEABLE]
    if refused:
        raise RefusedError(
            f"the checkpoint of step {step} was made with other settings ({'; '.join(refused)}); repeat those "
            "settings, or choose another `run_dir`"
        )
    if mine.total_steps < step:
        raise RefusedError(
            f"the run has taken {step:,} steps, more than the {mine.total_steps:,} that are asked for; choose "
            "more `steps` or `epochs`, or another `run_dir`"
        )
    return tuple(changed.values())


def continued(recipe: Recipe, saved: Identity, given: Collection[str]) -> Recipe:
    """A recipe with the rate and length of a checkpoint's, but for the parameters that are given now."""
    fields = {parameter.field: parameter.name for parameter in parameters_of(Recipe)}
    kept = [field.name for field in dataclasses.fields(Recipe) if fields.get(field.name, field.name) in CHANGEABLE]
    return dataclasses.replace(
        recipe, **{name: getattr(saved.recipe, name) for name in kept if fields.get(name, name) not in given}
    )


def _settings(identity: Identity) -> dict[str, object]:
    """All that counts, flat, by the names of parameters where there are any."""
    names = {parameter.field: parameter.name for parameter in parameters_of(Recipe)}
    plain = dataclasses.asdict(identity)
    parts = {**plain.pop("recipe"), **plain.pop("network"), **plain}
    return {names.get(field, field): value for field, value in parts.items()}
