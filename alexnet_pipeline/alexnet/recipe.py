"""A preset's name in, every number of a training run out, each with where it comes from.

Sources: "paper" is Krizhevsky, Sutskever, Hinton 2012; "source" is the code and run logs published in 2025 by the
Computer History Museum (computerhistory/AlexNet-Source-Code), where run 145 is the published network.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from alexnet_pipeline.alexnet.network import Activation, NetworkOptions, Norm, Pooling
from alexnet_pipeline.errors import RefusedError

Schedule = Literal["plateau", "steps", "geometric", "linear"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained. The defaults are the paper's.

    Attributes:
        preset: name of the preset that this began as.
        batch_images: images a step, over all processes (section 5: 128).
        epochs: passes over the training set (section 5: "roughly 90 cycles").
        learning_rate: initial, of weights (section 5: .01).
        bias_rate_factor: learning rate of biases over that of weights (the source: 2).
        momentum: section 5: .9.
        weight_decay: section 5: .0005.
        bias_decay: weight decay of biases (the paper: all parameters; the source: none).
        schedule: `plateau` divides by 10 when validation error stops improving (section 5); `steps` at fixed epochs;
            `geometric` falls by a constant factor an epoch, `linear` by a constant amount a step.
        drops_epochs: of `steps`; run 145 dropped by 10 at these.
        final_learning_rate: of `geometric`, in the last epoch.
        patience_epochs: of `plateau`: epochs without a new best validation error before a drop.
        drops: of `plateau`: drops before training ends early (section 5: "reduced three times prior to termination").
        lighting: deviation of the PCA lighting's alphas (section 4.1: .1).
        mean: what is subtracted: the mean `image` (paper and source), or the mean of each `channel`.
        crop_px: side of the crops, out of 256 (section 4.1: 224); None is the same share of the shards' size.
        width, norm, lrn_alpha, pool_before_activation, pooling, activation, cross_links, dropout,
        weight_deviations, biases: see `NetworkOptions`.
    """

    preset: str = "paper"
    batch_images: int = 128
    epochs: int = 90
    learning_rate: float = 0.01
    bias_rate_factor: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bias_decay: float = 5e-4
    schedule: Schedule = "plateau"
    drops_epochs: tuple[int, ...] = (25, 51, 79)
    final_learning_rate: float = 4e-5
    patience_epochs: int = 3
    drops: int = 3
    lighting: float = 0.1
    mean: Literal["channel", "image"] = "image"
    crop_px: int | None = None
    width: float = 1.0
    norm: Norm = "lrn"
    lrn_alpha: float = 5e-4
    pool_before_activation: bool = False
    pooling: Pooling = "overlapping"
    activation: Activation = "relu"
    cross_links: bool = True
    dropout: float = 0.5
    weight_deviations: tuple[float, ...] = (0.01,) * 8
    biases: tuple[float, ...] = (0, 1, 0, 1, 1, 1, 1, 0)

    def network(self, classes: int, crop_px: int) -> NetworkOptions:
        """The network of this recipe."""
        named = {field.name for field in dataclasses.fields(NetworkOptions)} - {"classes", "crop_px"}
        return NetworkOptions(classes=classes, crop_px=crop_px, **{name: getattr(self, name) for name in named})


PAPER = Recipe()
# Departures from it: no spatial normalisation after conv2's (its cnorm2), and biases' rate drops with the weights'.
# Run 145 of the source: layers.cfg and layer-params.cfg (weights .03 from conv3 to conv5, biases without decay at
# twice the rate, response normalisation with a fifth of the paper's alpha before pooling and ReLU at conv1).
SOURCE2012 = dataclasses.replace(
    PAPER,
    preset="source2012",
    epochs=91,
    bias_rate_factor=2.0,
    bias_decay=0.0,
    schedule="steps",
    lrn_alpha=1e-4,
    pool_before_activation=True,
    weight_deviations=(0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
)
# Simon, Rodner, Denzler 2016, "ImageNet pre-trained models with batch normalization" (cvjena/cnn-models, AlexNet):
# batch 256, learning rate .05 falling linearly to 0 over 64 epochs, no dropout; 39.99/18.11 % centre crop.
BATCHNORM = dataclasses.replace(
    PAPER,
    preset="batchnorm",
    norm="batch",
    batch_images=256,
    epochs=64,
    learning_rate=0.05,
    schedule="linear",
    dropout=0.0,
    biases=(0.0,) * 8,
)
# Ours, for CPUs, tests and small data sets: a quarter of every layer, batch normalisation because it learns from a
# few hundred images where the paper's initialisation needs tens of thousands of steps.
QUARTER = dataclasses.replace(
    BATCHNORM,
    preset="quarter",
    width=0.25,
    batch_images=32,
    epochs=20,
    learning_rate=0.02,
    mean="channel",
)
# The paper's crop is this share of the picture's side: 224 of 256.
CROP_SHARE = (7, 8)
PRESETS = {recipe.preset: recipe for recipe in (PAPER, SOURCE2012, BATCHNORM, QUARTER)}


def crop_px_of(recipe: Recipe, side_px: int) -> int:
    """Side of the crops of pictures of a side: the recipe's, or the paper's 224 of 256."""
    share, whole = CROP_SHARE
    return recipe.crop_px or side_px * share // whole


def find_recipe(preset: str, changes: dict[str, Any]) -> Recipe:
    """A preset with some of its numbers changed; None changes nothing.

    Raises:
        RefusedError: there is no such preset, or a number is impossible.
    """
    if preset not in PRESETS:
        raise RefusedError(f"preset {preset!r}: expected one of {', '.join(PRESETS)}")
    wanted = {name: value for name, value in changes.items() if value is not None}
    recipe = dataclasses.replace(PRESETS[preset], **wanted)
    for name in ("batch_images", "epochs", "learning_rate", "width"):
        if getattr(recipe, name) <= 0:
            raise RefusedError(f"{name} {getattr(recipe, name)} must be above 0")
    return recipe
