"""AlexNet as Krizhevsky, Sutskever and Hinton describe it (2012): two towers that map images to class scores.

Layer names are Krizhevsky's. Sizes of the paper: 224 -> 55 -> 27 -> 27 -> 13 -> 13 -> 13 -> 13 -> 6, where conv1's
last window overhangs the image by 3 pixels right and below, as in the 2012 source; zero there is the mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from alexnet_pipeline.alexnet.exchange import TOWERS, Exchange
from alexnet_pipeline.alexnet.normalize import LocalResponseNorm, SpatialResponseNorm
from alexnet_pipeline.alexnet.recipe import NetworkOptions
from alexnet_pipeline.errors import RefusedError

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
# Output channels of one tower, section 3.5 and figure 2; fc8's follow from the classes.
CHANNELS = {"conv1": 48, "conv2": 128, "conv3": 192, "conv4": 192, "conv5": 128, "fc6": 2048, "fc7": 2048}
CONV1_PX = 11
# Inputs of one output of each layer at full width and 224 pixels; the paper's deviations belong to these.
PAPER_FAN_IN = {
    "conv1": 363, "conv2": 1200, "conv3": 2304, "conv4": 1728, "conv5": 1728, "fc6": 9216, "fc7": 4096, "fc8": 4096,
}  # fmt: skip


class AlexNet(nn.Module):
    """The network, or the towers of it that this process holds.

    Args:
        options: what to build.
        exchange: how towers meet; the same weights give the same function in every way.
        seed: of the initial weights, which do not depend on the exchange.

    Raises:
        RefusedError: the crop is too small for five layers.
    """

    def __init__(self, options: NetworkOptions, exchange: Exchange, seed: int = 0) -> None:
        super().__init__()
        self.options = options
        self.exchange = exchange
        with torch.random.fork_rng(devices=[]):  # layers draw weights from torch's own generator, which stays as it was
            self.stacks = nn.ModuleList(_Stack(options, exchange.groups).to(device) for device in exchange.devices)
        self.load_grouped(initial_state(options, seed))

    def forward(self, images: Tensor) -> Tensor:
        """Class scores.

        Args:
            images: (N, 3, crop, crop), 0..255 minus the mean, never divided by a deviation.

        Returns:
            (N, classes), on the first stack's device; in distributed use every process has them.
        """
        parts = [images.to(device, non_blocking=True) for device in self.exchange.devices]
        for layer in LAYERS:
            if _sees_both(layer, self.options):
                parts = self.exchange.both(parts)
            parts = [stack(part, layer) for stack, part in zip(self.stacks, parts, strict=True)]
        return self.exchange.both(parts)[0][:, : self.options.classes]

    def local_state(self) -> dict[str, list[Tensor]]:
        """Parameters and statistics by name, one tensor for each stack of this process."""
        states = [stack.state_dict() for stack in self.stacks]
        return {name: [state[name] for state in states] for name in states[0]}

    def parameters_by_name(self) -> dict[str, list[nn.Parameter]]:
        """Parameters, one for each stack of this process."""
        stacks = [dict(stack.named_parameters()) for stack in self.stacks]
        return {name: [stack[name] for stack in stacks] for name in stacks[0]}

    def load_grouped(self, state: Mapping[str, Tensor]) -> None:
        """Load this process's part of the state of both towers."""
        for stack, tower in zip(self.stacks, self.exchange.towers, strict=True):
            stack.load_state_dict(take_towers(state, tower, self.exchange.groups))


def take_towers(state: Mapping[str, Tensor], first: int, count: int) -> dict[str, Tensor]:
    """The rows of some towers: every tensor is cut in two along its first axis."""
    return {
        name: value if is_shared(name) else torch.cat(value.chunk(TOWERS)[first : first + count])
        for name, value in state.items()
    }


def is_shared(name: str) -> bool:
    """Whether both towers hold the same tensor: statistics of the image, counters."""
    return name.startswith("input.") or name.endswith("num_batches_tracked")


def initial_state(options: NetworkOptions, seed: int) -> dict[str, Tensor]:
    """State of both towers: zero-mean Gaussian weights, constant biases (section 5)."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        state = _Stack(options, TOWERS).state_dict()
    random = torch.Generator().manual_seed(seed)
    for layer, deviation, bias in zip(LAYERS, options.weight_deviations, options.biases, strict=True):
        weight = state[f"{layer}.weight"]
        scaled = deviation * math.sqrt(PAPER_FAN_IN[layer] / weight[0].numel())
        weight.normal_(0, scaled, generator=random)
        state[f"{layer}.bias"].fill_(bias)
    return state


class _Stack(nn.Module):
    """The layers of `groups` towers, side by side on the channel axis."""

    def __init__(self, options: NetworkOptions, groups: int) -> None:
        super().__init__()
        self._options = options
        self._groups = groups
        side_px = sides_px(options)
        self._overhang_px = (side_px["conv1"] - 1) * options.conv1_stride + CONV1_PX - options.crop_px
        out = {layer: _channels(options, layer) * groups for layer in LAYERS}
        self.conv1 = nn.Conv2d(3, out["conv1"], CONV1_PX, options.conv1_stride)
        self.conv2 = self._convolution("conv2", "conv1", 5)
        self.conv3 = self._convolution("conv3", "conv2", 3)
        self.conv4 = self._convolution("conv4", "conv3", 3)
        self.conv5 = self._convolution("conv5", "conv4", 3)
        self.fc6 = self._linear("fc6", "conv5", side_px["conv5"] ** 2)
        self.fc7 = self._linear("fc7", "fc6", 1)
        self.fc8 = self._linear("fc8", "fc7", 1)
        if options.norm == "batch":
            if options.input_norm:
                self.input = nn.BatchNorm2d(3, affine=False)
            for layer in LAYERS[:-1]:
                kind = nn.BatchNorm2d if layer.startswith("conv") else nn.BatchNorm1d
                self.add_module(f"{layer}_norm", kind(out[layer]))
        elif options.norm == "lrn":
            for layer in ("conv1", "conv2"):
                norm: nn.Module = LocalResponseNorm(out[layer], options.lrn_alpha, groups)
                spatial = options.spatial_norm and layer == "conv2"
                self.add_module(f"{layer}_norm", nn.Sequential(norm, SpatialResponseNorm()) if spatial else norm)

    def forward(self, x: Tensor, layer: str) -> Tensor:
        """One layer with its activation, normalisation, pooling and dropout."""
        options = self._options
        if layer == "conv1":
            # On a CPU, statistics of three channels cost half as much where the channels lie apart.
            x = _batch_norm(self.input, x.contiguous()) if hasattr(self, "input") else x
            x = functional.pad(x, (0, self._overhang_px, 0, self._overhang_px))
        elif layer == "fc6":
            x = x.flatten(1)
        x = self.get_submodule(layer)(x)
        if layer == "fc8":
            return x
        if layer == "conv1" and options.pool_before_activation:
            return self._activate(self._pool(self._normalise(layer, x)))
        if options.norm == "batch" and not options.norm_after_activation:
            x = self._activate(self._normalise(layer, x))
        else:
            x = self._normalise(layer, self._activate(x))
        if layer in {"conv1", "conv2", "conv5"}:
            return self._pool(x)
        return functional.dropout(x, options.dropout, self.training) if layer in {"fc6", "fc7"} else x

    def _normalise(self, layer: str, x: Tensor) -> Tensor:
        norm = getattr(self, f"{layer}_norm", nn.Identity())
        if self._options.norm == "lrn" and x.dtype == torch.float16:  # which ends at 65,504, the square of 256
            return cast(Tensor, norm(x.float()).half())
        return _batch_norm(norm, x) if self._options.norm == "batch" else cast(Tensor, norm(x))

    def _activate(self, x: Tensor) -> Tensor:
        return functional.relu(x) if self._options.activation == "relu" else torch.tanh(x)

    def _pool(self, x: Tensor) -> Tensor:
        pooling = self._options.pooling
        if pooling == "blur":
            return _blur_pool(x)
        pooled = functional.max_pool2d(x, 2 if pooling == "plain" else 3, 2)
        return pooled + functional.avg_pool2d(x, 3, 2) if pooling == "max+average" else pooled

    def _shape(self, layer: str, before: str) -> tuple[int, int, int]:
        """(input channels, output channels, groups) of a layer."""
        both = _sees_both(layer, self._options)
        channels = _channels(self._options, before) * (TOWERS if both else self._groups)
        return channels, _channels(self._options, layer) * self._groups, 1 if both else self._groups

    def _convolution(self, layer: str, before: str, side_px: int) -> nn.Conv2d:
        channels, out, groups = self._shape(layer, before)
        return nn.Conv2d(channels, out, side_px, padding=side_px // 2, groups=groups)

    def _linear(self, layer: str, before: str, area_px: int) -> nn.Linear:
        channels, out, groups = self._shape(layer, before)
        return _GroupedLinear(channels * area_px, out, groups)


def _blur_pool(x: Tensor) -> Tensor:
    """Max pooling by 3x3 windows at every pixel, then the binomial filter (1, 2, 1) / 4 at every other one.

    Two averages of two pixels make the filter. Source: Zhang 2019, "Making convolutional networks shift-invariant
    again"; edges are repeated rather than mirrored, because the last layer of a small crop has a single pixel.
    """
    x = functional.pad(functional.max_pool2d(x, 3, 1), (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(functional.avg_pool2d(x, 2, 1), 2, 2)


def _batch_norm(norm: Any, x: Tensor) -> Tensor:
    """A single image, as an epoch may end with, has no statistics: the running ones normalise it.

    So too where its pixels had some, so that no layer learns from an image that others do not.
    """
    if not norm.training or len(x) > 1:
        return cast(Tensor, norm(x))
    return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


class _GroupedLinear(nn.Linear):
    """A linear layer in which each group sees only its own part of the input; weights (out, in / groups)."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__(inputs // groups, outputs)
        self._groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) to (N, out)."""
        if self._groups == 1:
            return super().forward(x)
        pieces = zip(
            x.chunk(self._groups, 1), self.weight.chunk(self._groups), self.bias.chunk(self._groups), strict=True
        )
        return torch.cat([functional.linear(*piece) for piece in pieces], 1)


def _channels(options: NetworkOptions, layer: str) -> int:
    """Outputs of one tower's layer; an odd number of classes leaves one score of fc8 unused."""
    if layer == "fc8":
        return -(-options.classes // TOWERS)
    width = options.width * (options.conv_width if layer in {"conv1", "conv2", "conv3", "conv4"} else 1)
    return max(4, round(CHANNELS[layer] * width))


def _sees_both(layer: str, options: NetworkOptions) -> bool:
    linked = layer == "fc8" or (options.cross_links and layer in {"conv3", "fc6", "fc7"})
    return linked or (not options.grouped and layer != "conv1")


def sides_px(options: NetworkOptions) -> dict[str, int]:
    """Side of conv1's output, and of conv5's after its pooling.

    Raises:
        RefusedError: nothing would be left of the crop.
    """
    sides = _sides_of(options, options.crop_px)
    if sides["conv5"] < 1:
        least = next(crop_px for crop_px in itertools.count(CONV1_PX) if _sides_of(options, crop_px)["conv5"] > 0)
        raise RefusedError(
            f"crops of {options.crop_px} pixels are too small for a network whose conv1 has a stride of "
            f"{options.conv1_stride}; expected {least} pixels or more, or a smaller `conv1_stride`"
        )
    return sides


def _sides_of(options: NetworkOptions, crop_px: int) -> dict[str, int]:
    window = 2 if options.pooling == "plain" else 3
    conv1 = side = 1 + -(-(crop_px - CONV1_PX) // options.conv1_stride)
    for _ in range(3):
        side = (side - window) // 2 + 1
    return {"conv1": conv1, "conv5": side}
