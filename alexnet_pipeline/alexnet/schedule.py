"""The learning rate at each step, and when the plateau schedule ends training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alexnet_pipeline.alexnet.recipe import Recipe

# Section 5: "divide the learning rate by 10".
DROP = 10.0


@dataclass(frozen=True, slots=True)
class PlateauState:
    """What the plateau schedule remembers.

    Attributes:
        best_error: lowest validation top-1 error so far; None before the first validation.
        waited_epochs: epochs since then, or since the last drop.
        drops: number of times the rate was divided by 10.
    """

    best_error: float | None = None
    waited_epochs: int = 0
    drops: int = 0


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int, total_steps: int, plateau: PlateauState) -> float:
    """The learning rate of weights at a step, counted from 0: the schedule's, times the share that warm-up leaves."""
    scheduled = _scheduled(recipe, step, steps_per_epoch, total_steps, plateau)
    return scheduled * warmup_share(recipe, step, steps_per_epoch)


def warmup_share(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The share of its rate that a step takes, more than 0 and at most 1: n of N in the n-th of N steps of warm-up.

    Source: Goyal et al. 2017, "Accurate, large minibatch SGD", section 2.2 (gradual warm-up); 0 would be a lost step.
    """
    steps = recipe.warmup_epochs * steps_per_epoch
    return min(1.0, (step + 1) / steps) if steps else 1.0


def _scheduled(recipe: Recipe, step: int, steps_per_epoch: int, total_steps: int, plateau: PlateauState) -> float:
    epoch = step // steps_per_epoch
    if recipe.schedule == "plateau":
        return recipe.learning_rate / DROP**plateau.drops
    if recipe.schedule == "steps":
        return recipe.learning_rate / DROP ** sum(epoch >= drop for drop in recipe.drops_epochs)
    if recipe.schedule == "geometric":
        factor = recipe.final_learning_rate / recipe.learning_rate
        epochs = max(1, -(-total_steps // steps_per_epoch) - 1)
        return float(recipe.learning_rate * factor ** (min(epoch, epochs) / epochs))
    return recipe.learning_rate * (1 - step / total_steps)


def after_epoch(recipe: Recipe, plateau: PlateauState, error: float, epochs: int) -> PlateauState:
    """The state after the validation of an epoch, the `epochs`-th; nobody waits while the rate still grows."""
    if plateau.best_error is None or error < plateau.best_error:
        return replace(plateau, best_error=error, waited_epochs=0)
    if epochs < recipe.warmup_epochs:
        return plateau
    if plateau.waited_epochs + 1 < recipe.patience_epochs:
        return replace(plateau, waited_epochs=plateau.waited_epochs + 1)
    return replace(plateau, waited_epochs=0, drops=plateau.drops + 1)


def is_over(recipe: Recipe, plateau: PlateauState) -> bool:
    """Whether the plateau schedule has dropped as often as it may and stopped improving again."""
    return recipe.schedule == "plateau" and plateau.drops > recipe.drops
