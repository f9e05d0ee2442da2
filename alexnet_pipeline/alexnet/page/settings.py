"""The configuration of a run: every number that had an effect, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from alexnet_pipeline.alexnet.recipe import NetworkOptions, Recipe
from alexnet_pipeline.options import parameters_of

# What a setting belongs to: it has no effect, and is left out, where that field has another value.
BELONGS_TO = {
    "lrn_alpha": ("norm", "lrn"),
    "spatial_norm": ("norm", "lrn"),
    "input_norm": ("norm", "batch"),
    "norm_after_activation": ("norm", "batch"),
    "drops_epochs": ("schedule", "steps"),
    "final_learning_rate": ("schedule", "geometric"),
    "patience_epochs": ("schedule", "plateau"),
    "drops": ("schedule", "plateau"),
}
# Of a recipe: what is in the network's settings, as it was there.
OF_THE_NETWORK = frozenset(field.name for field in dataclasses.fields(NetworkOptions))


class Setting(NamedTuple):
    """A field by the name of its parameter, its value, and its help where it is an option."""

    name: str
    value: str
    help: str


def recipe_settings(recipe: Recipe) -> list[Setting]:
    """How the network was trained; what it looks like is in `network_settings`."""
    return [setting for field, setting in _settings(recipe) if field not in OF_THE_NETWORK]


def network_settings(network: NetworkOptions) -> list[Setting]:
    """What the network looks like."""
    return [setting for _, setting in _settings(network)]


def record_settings(record: Any) -> list[Setting]:
    """The fields of another record."""
    return [setting for _, setting in _settings(record)]


def _settings(record: Any) -> Iterator[tuple[str, Setting]]:
    """The settings of a record that have an effect, each with its field."""
    kind: type = type(record)
    options = {parameter.field: (parameter.name, parameter.option.help) for parameter in parameters_of(kind)}
    for field in dataclasses.fields(record):
        owner, value = BELONGS_TO.get(field.name, ("", ""))
        if not owner or getattr(record, owner) == value:
            name, explanation = options.get(field.name, (field.name, ""))
            yield field.name, Setting(name.replace("_", " "), _text(getattr(record, field.name)), explanation)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
