"""Presets are found, changed and checked, each option declared once."""

import dataclasses

import pytest

from alexnet_pipeline.alexnet.recipe import (
    PAPER,
    PRESETS,
    QUARTER,
    SOURCE2012,
    NetworkOptions,
    Recipe,
    RecipeChanges,
    crop_px_of,
    find_recipe,
)
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.records import from_json, to_json


def test_none_changes_nothing() -> None:
    """Whatever the preset."""
    unset = {parameter.name: None for parameter in parameters_of(RecipeChanges) if parameter.name != "preset"}
    for name, recipe in PRESETS.items():
        assert find_recipe({**unset, "preset": name}) == recipe
    assert find_recipe({}) == PAPER


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"batch_size": 7}, "batch_images", 7),
        ({"epochs": 3}, "epochs", 3),
        ({"learning_rate": 0.5}, "learning_rate", 0.5),
        ({"schedule": "geometric"}, "schedule", "geometric"),
        ({"lighting": 0}, "lighting", 0.0),
        ({"mean": "image"}, "mean", "image"),
        ({"width": 2}, "width", 2.0),
        ({"norm": "none"}, "norm", "none"),
        ({"pooling": "plain"}, "pooling", "plain"),
        ({"activation": "tanh"}, "activation", "tanh"),
        ({"cross_links": False}, "cross_links", False),
        ({"dropout": 0.25}, "dropout", 0.25),
    ],
)
def test_a_change_changes_its_number_only(change: dict, field: str, value: object) -> None:
    """And keeps the rest of the preset."""
    assert find_recipe({"preset": "quarter", **change}) == dataclasses.replace(QUARTER, **{field: value})


def test_every_option_of_a_recipe_is_offered() -> None:
    """The preset first, then all that are declared."""
    names = [parameter.name for parameter in parameters_of(RecipeChanges)]
    assert names[:2] == ["preset", "batch_size"]
    assert set(names) == {"preset"} | {parameter.name for parameter in parameters_of(Recipe)}
    assert all(parameter.optional for parameter in parameters_of(RecipeChanges) if parameter.name != "preset")


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "caffe"},
        {"batch_size": 0},
        {"epochs": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": 0},
        {"lighting": -1},
        {"width": 0},
        {"width": 1e9},
        {"dropout": 1},
        {"norm": "layer"},
        {"cross_links": "yes"},
    ],
)
def test_impossible_values_are_refused(wrong: dict) -> None:
    """By the parameter's name."""
    with pytest.raises(RefusedError, match=f"`{next(iter(wrong))}`"):
        find_recipe(wrong)


def test_a_network_follows_from_its_recipe() -> None:
    """Every number of the architecture, and the classes and crop that are given."""
    network = SOURCE2012.network(20, 67)
    assert (network.classes, network.crop_px) == (20, 67)
    for field in dataclasses.fields(NetworkOptions):
        if field.name not in {"classes", "crop_px", "conv1_stride"}:
            assert getattr(network, field.name) == getattr(SOURCE2012, field.name)


def test_recipes_survive_json() -> None:
    """A resumed run is compared with what was written."""
    for recipe in PRESETS.values():
        assert from_json(to_json(recipe), Recipe) == recipe


def test_crops_are_the_papers_share() -> None:
    """224 of 256, unless the recipe says otherwise."""
    assert crop_px_of(PAPER, 256) == 224
    assert crop_px_of(PAPER, 80) == 70
    assert crop_px_of(dataclasses.replace(PAPER, crop_px=227), 256) == 227
