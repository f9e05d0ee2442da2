"""The presets: every number of a training run, each with where it comes from.

Sources: "paper" is Krizhevsky, Sutskever, Hinton 2012; "source" is the code and run logs published in 2025 by the
Computer History Museum (computerhistory/AlexNet-Source-Code), where run 145 is the published network.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alexnet_pipeline.options import METADATA, make, option, parameters_of

Preset = Literal["paper", "source2012", "batchnorm", "modern", "quarter"]
Schedule = Literal["plateau", "steps", "geometric", "linear"]
Mean = Literal["image", "channel"]
Norm = Literal["lrn", "batch", "none"]
Pooling = Literal["overlapping", "plain", "max+average", "blur"]
Activation = Literal["relu", "tanh"]
# Smallest crop of which conv1's stride of 4 and three overlapping poolings leave a pixel. Plain pooling would do with
# less, but a comparison of the two should not change the stride, too.
STRIDE_4_LEAST_CROP_PX = 64


@dataclass(frozen=True)
class Architecture:
    """What a network of any number of classes looks like. The defaults are the paper's.

    Attributes:
        lrn_alpha: as torch means it: 5e-4 is the paper's 1e-4 times 5 neighbours, 1e-4 is what the source did.
        spatial_norm: normalise conv2 by its neighbours in space, too, as the source does.
        input_norm: batch normalisation of the images, too, where `norm` is `batch`.
        pool_before_activation: conv1 in the source's order: convolution, normalisation, pooling, activation.
        weight_deviations: of the initial weights, in layer order, at the paper's fan-in; those of a narrower layer
            grow so that signals keep their size.
        biases: initial, in layer order.
    """

    width: float = option(1.0, "Factor on every layer's number of channels.", above=0, most=16)
    conv_width: float = option(1.0, "Factor on the channels of conv1 to conv4, beside the width.", above=0, most=16)
    norm: Norm = option("lrn", "Normalisation: local response (lrn), batch, or none.")
    lrn_alpha: float = 5e-4
    spatial_norm: bool = False
    input_norm: bool = True
    norm_after_activation: bool = option(False, "Batch normalisation after the activation, or before it.")
    pool_before_activation: bool = False
    pooling: Pooling = option(
        "overlapping",
        "Max pooling by 3x3 windows (overlapping) or 2x2 windows (plain), the sum of max and average pooling by 3x3 "
        "windows (max+average), or max pooling with a low-pass filter before it is subsampled (blur).",
    )
    activation: Activation = option("relu", "Activation of every layer but the last.")
    cross_links: bool = option(True, "Connect the towers at conv3, fc6 and fc7, or only at fc8.")
    grouped: bool = option(
        True, "Keep the towers apart elsewhere, or connect them at every layer, which makes one tower of them."
    )
    dropout: float = option(0.5, "Share of the outputs of fc6 and fc7 that dropout zeroes.", least=0, below=1)
    weight_deviations: tuple[float, ...] = (0.01,) * 8
    biases: tuple[float, ...] = (0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True)
class NetworkOptions(Architecture):
    """All that decides a network's function; a checkpoint belongs to one of these.

    Attributes:
        classes: number of classes.
        crop_px: side of the input images.
        conv1_stride: pixels between conv1's windows.
    """

    classes: int = 1000
    crop_px: int = 224
    conv1_stride: int = 4


@dataclass(frozen=True)
class Recipe(Architecture):
    """How a network is trained. The defaults are the paper's.

    Attributes:
        preset: that this began as.
        batch_images: section 5: 128.
        epochs: section 5: "roughly 90 cycles".
        learning_rate: of weights; section 5: .01.
        bias_rate_factor: learning rate of biases over that of weights (the source: 2).
        bias_rate_falls: whether the biases' rate falls with that of the weights (the source: it stays).
        momentum: section 5: .9.
        weight_decay: section 5: .0005.
        bias_decay: weight decay of biases (the paper: of all parameters; the source: none).
        schedule: section 5: `plateau`.
        drops_epochs: of `steps`: where the rate falls by 10; run 145's.
        final_learning_rate: of `geometric`, in the last epoch.
        patience_epochs: of `plateau`: epochs without a new lowest validation error before a drop.
        drops: of `plateau`: drops before training ends early (section 5: "reduced three times prior to termination").
        warmup_epochs: neither the paper nor the source has a warm-up.
        lighting: section 4.1: .1.
        mean: the paper and the source: `image`.
        random_crops: section 4.1; otherwise training sees the centre.
        random_flips: section 4.1; otherwise no image is mirrored in training.
        crop_px: side of the crops; section 4.1: 224 of 256. None is the same share of whatever the images' side is.
        conv1_stride: section 3.5: 4. None is that, or 2 for crops of which 4 would leave nothing.
    """

    preset: Preset = "paper"
    batch_images: int = option(128, "Images per step, over all processes.", least=1, most=1 << 20, name="batch_size")
    epochs: int = option(90, "Passes over the training set.", least=1, most=1_000_000)
    learning_rate: float = option(0.01, "Initial learning rate.", above=0)
    bias_rate_factor: float = 1.0
    bias_rate_falls: bool = True
    label_smoothing: float = option(
        0.0, "Share of every label that is spread over all classes, in training.", least=0, below=1
    )
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bias_decay: float = 5e-4
    schedule: Schedule = option(
        "plateau",
        "How the learning rate falls: by 10 when the validation error stops improving (plateau), by 10 at fixed epochs "
        "(steps), by a constant factor per epoch (geometric), or by a constant amount per step (linear).",
    )
    drops_epochs: tuple[int, ...] = (25, 51, 79)
    final_learning_rate: float = 4e-5
    patience_epochs: int = 3
    drops: int = 3
    warmup_epochs: float = option(
        0.0,
        "Epochs, also parts of one, in which the learning rate grows from 0 to the schedule's.",
        least=0,
        most=1_000_000,
    )
    lighting: float = option(0.1, "Std. dev. of PCA lighting noise; 0 turns it off.", least=0)
    random_crops: bool = option(True, "Crop training images at random, or from the centre.")
    random_flips: bool = option(True, "Mirror half of the training images at random, or none.")
    mean: Mean = option("image", "What to subtract: the mean image, or the mean of each channel.")
    crop_px: int | None = None
    conv1_stride: int | None = option(
        None,
        "Stride of conv1.",
        least=1,
        most=16,
        default_text=f"4, or 2 for crops below {STRIDE_4_LEAST_CROP_PX} pixels",
    )

    def network(self, classes: int, crop_px: int) -> NetworkOptions:
        """The network of this recipe."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(Architecture)}
        stride = self.conv1_stride or (4 if crop_px >= STRIDE_4_LEAST_CROP_PX else 2)
        return NetworkOptions(**shared, classes=classes, crop_px=crop_px, conv1_stride=stride)


PAPER = Recipe()
# Run 145 of the source, layers-145.cfg and layer-params-145.cfg: weights .03 from conv3 to conv5; biases without decay
# and at twice the rate, which stays; response normalisation with a fifth of the paper's alpha, before pooling and ReLU
# at conv1, and between pixels, too, at conv2. One departure: from epoch 67 on, run 145 trained conv1 at a thousandth of
# the rate, later not at all, and without lighting.
SOURCE2012 = dataclasses.replace(
    PAPER,
    preset="source2012",
    epochs=91,
    bias_rate_factor=2.0,
    bias_rate_falls=False,
    bias_decay=0.0,
    schedule="steps",
    lrn_alpha=1e-4,
    spatial_norm=True,
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
# The best that we found for the same eight layers, on ten classes of ImageNet (tools/results/2026-11-27-presets.md):
# batch normalisation before the activation, smoothed labels and a little dropout. What others measured on all of
# ImageNet with a higher number of steps (batch normalisation after the activation, pooling by max + average: Mishkin,
# Sergievskiy, Matas 2017) was no better there; both are options.
MODERN = dataclasses.replace(BATCHNORM, preset="modern", label_smoothing=0.1, dropout=0.2)
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
PRESETS: dict[str, Recipe] = {recipe.preset: recipe for recipe in (PAPER, SOURCE2012, BATCHNORM, MODERN, QUARTER)}


def _changes() -> type:
    """A record of the preset and of the recipe's options, each of which may be None: the preset's number stays."""
    hints = typing.get_type_hints(Recipe)
    inherited = {field.name for field in dataclasses.fields(Architecture)}
    preset = option("paper", "Preset of all numbers; quarter is for CPUs. The options below change single numbers.")
    fields: list[Any] = [("preset", Preset, preset)]
    for parameter in sorted(parameters_of(Recipe), key=lambda parameter: parameter.field in inherited):
        about = dataclasses.replace(parameter.option, default_text="the preset's")
        unset = dataclasses.field(default=None, metadata={METADATA: about})
        fields.append((parameter.field, hints[parameter.field] | None, unset))
    return dataclasses.make_dataclass("RecipeChanges", fields, frozen=True)


# The options that choose a recipe, for command lines and signatures; `find_recipe` reads their values.
RecipeChanges: type[Any] = _changes()


def find_recipe(options: Mapping[str, Any]) -> Recipe:
    """The recipe that options ask for.

    Args:
        options: values by the names of parameters; None keeps the preset's number, other options are passed over.

    Raises:
        RefusedError: there is no such preset, or a value is out of bounds.
    """
    preset = str(make(RecipeChanges, options).preset)
    changes = {name: value for name, value in options.items() if value is not None}
    return make(Recipe, changes, base=PRESETS[preset])


def crop_px_of(recipe: Recipe, side_px: int) -> int:
    """Side of the crops of images of a side: the recipe's, or the paper's 224 of 256."""
    return recipe.crop_px or side_px * 224 // 256
