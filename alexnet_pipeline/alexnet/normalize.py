"""Krizhevsky's local response normalisation: of section 3.3, between channels; and the source's, between pixels.

PyTorch's own takes seven passes through memory and leaves autocast. Here the sum over neighbouring channels is one
1x1 convolution of the squares with a banded matrix, whose blocks keep towers apart; only the input is saved for
the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Section 3.3: k = 2, n = 5, beta = .75; alpha is the caller's.
NEIGHBOURS, BETA, BIAS = 5, 0.75, 2.0
# Of the source's second kind, between pixels.
SPATIAL_PX, SPATIAL_ALPHA = 5, 1e-3


class LocalResponseNorm(nn.Module):
    """b = a / (2 + alpha / 5 sum a^2)^.75 over the channel and two neighbours on each side, within its group.

    Args:
        channels: of the input, over all groups.
        alpha: as `torch.nn.LocalResponseNorm` means it, five times the paper's.
        groups: equal parts of the channels that do not see each other.
    """

    def __init__(self, channels: int, alpha: float, groups: int = 1) -> None:
        super().__init__()
        self._groups = groups
        part = torch.arange(channels // groups)
        near = (part[:, None] - part[None]).abs() <= NEIGHBOURS // 2
        band = near.double().repeat(groups, 1)[:, :, None, None] * (alpha / NEIGHBOURS)
        # Not part of a checkpoint: they follow from the arguments.
        self.register_buffer("_band", band, persistent=False)
        self.register_buffer("_bias", torch.full((channels,), BIAS, dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W), in the input's dtype."""
        band, bias = self._band.to(x.dtype), self._bias.to(x.dtype)
        result: Tensor = _Normalise.apply(x, band, bias, self._groups)  # type: ignore[no-untyped-call]
        return result


class SpatialResponseNorm(nn.Module):
    """b = a / (1 + .001 / 25 sum a^2)^.75 over the 5x5 pixels around each, within its channel; beyond edges is zero.

    Source: computerhistory/AlexNet-Source-Code, layers cnorm2a and cnorm2b of run 145.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        mean = functional.avg_pool2d(x * x, SPATIAL_PX, 1, SPATIAL_PX // 2)
        return x * (1 + SPATIAL_ALPHA * mean).pow(-BETA)


class _Normalise(torch.autograd.Function):
    """With d = 2 + alpha/5 sum x^2: y = x d^-.75, dx = g d^-.75 - 1.5 alpha/5 x sum(g x d^-1.75)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor, bias: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, band, bias)
        ctx.groups = groups
        with torch.autocast(x.device.type, enabled=False):
            root, fourth = _roots(x, band, bias, groups)
            return root.mul_(fourth).mul_(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        x, band, bias = ctx.saved_tensors
        (gradient,) = gradients
        with torch.autocast(x.device.type, enabled=False):
            root, fourth = _roots(x, band, bias, ctx.groups)
            scaled = fourth.mul_(root).mul_(gradient)  # g d^-.75
            inner = root.mul_(root).mul_(scaled).mul_(x)  # g x d^-1.75
            # The band is symmetric, so it is its own transpose.
            spread = functional.conv2d(inner, band, groups=ctx.groups)
            return scaled.addcmul_(spread, x, value=-2 * BETA), None, None, None


def _roots(x: Tensor, band: Tensor, bias: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """d^-.5 and d^-.25: two roots are cheaper than a power."""
    root = functional.conv2d(x * x, band, bias, groups=groups).rsqrt_()
    return root, root.sqrt()
