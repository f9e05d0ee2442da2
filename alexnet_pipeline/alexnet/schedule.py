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
    """The learning rate of weights at a step, counted from 0."""
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


def after_epoch(recipe: Recipe, plateau: PlateauState, error: float) -> PlateauState:
    """The state after an epoch's validation."""
    if plateau.best_error is None or error < plateau.best_error:
        return replace(plateau, best_error=error, waited_epochs=0)
    if plateau.waited_epochs + 1 < recipe.patience_epochs:
        return replace(plateau, waited_epochs=plateau.waited_epochs + 1)
    return replace(plateau, waited_epochs=0, drops=plateau.drops + 1)


def is_over(recipe: Recipe, plateau: PlateauState) -> bool:
    """Whether the plateau schedule has dropped as often as it may and stopped improving again."""
    return recipe.schedule == "plateau" and plateau.drops > recipe.drops
