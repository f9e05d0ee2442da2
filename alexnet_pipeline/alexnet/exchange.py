"""How the towers exchange activations: the one place where they meet.

The same layers run in three ways. `Whole`: one stack of layers holds both towers as groups, and nothing is left
to exchange; of several processes, each holds a network. `Local`: two stacks in one process, each on its device.
`Distributed`: one stack per process; a pair of processes makes a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from alexnet_pipeline.batches.crops import Crops

TOWERS = 2


class Exchange:
    """How towers meet; what is said here holds where all stacks are in this process.

    Attributes:
        devices: of this process's stacks.
        towers: the first tower of each stack.
        groups: number of towers in one stack of layers.
    """

    def __init__(self, devices: Sequence[torch.device], towers: tuple[int, ...], groups: int = 1) -> None:
        self.devices, self.towers, self.groups = tuple(devices), towers, groups

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """Join both towers' channels: (N, C, ...) of each stack to (N, 2 C, ...), once for each stack."""
        if len(parts) == 1:
            return parts
        return [torch.cat([part.to(device, non_blocking=True) for part in parts], 1) for device in self.devices]

    def rows(self, parts: list[Tensor]) -> Tensor:
        """Join a parameter of each stack to that of both towers, along the first axis, on the CPU."""
        return torch.cat([part.cpu() for part in parts])

    def batch(self, crops: Crops, share_images: int, *, full: bool) -> Crops:
        """Join what the towers' processes decoded to the batch that both see; `full`: share_images in each."""
        return crops


class Whole(Exchange):
    """Both towers in one stack."""

    def __init__(self, device: torch.device) -> None:
        super().__init__((device,), (0,), TOWERS)


class Local(Exchange):
    """A stack for each tower, both in this process."""

    def __init__(self, devices: Sequence[torch.device]) -> None:
        super().__init__(devices, (0, 1))


class Distributed(Exchange):
    """A stack for one tower; the other is in the other process of the group."""

    def __init__(self, device: torch.device, group: dist.ProcessGroup) -> None:
        super().__init__((device,), (dist.get_rank(group),))
        self.group = group

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """All-gather along channels, differentiable."""
        return [_Gather.apply(parts[0], self.group)]  # type: ignore[no-untyped-call]

    def rows(self, parts: list[Tensor]) -> Tensor:
        """Gather them from both processes; each gets them all."""
        return _gathered(parts[0], self.group).cpu()

    def batch(self, crops: Crops, share_images: int, *, full: bool) -> Crops:
        """Each process decodes a half; an epoch's last batch may be short, even empty, in either.

        Bytes travel, a quarter of what normalised images would be.
        """
        labels = crops.labels
        missing = 0 if full else share_images - len(labels)
        labels = _gathered(functional.pad(labels, (0, missing), value=-1), self.group)

        def joined(part: Tensor) -> Tensor:
            filled = torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) if missing else part
            whole = _gathered(filled, self.group)
            return whole if full else whole[labels >= 0]

        pixels, flips, offsets = joined(crops.pixels), joined(crops.flips), joined(crops.offsets)
        return Crops(pixels, flips, offsets, labels if full else labels[labels >= 0])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return _gathered(part, group, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The sum of both processes' gradients of this process's part."""
        parts = [part.contiguous() for part in gradients[0].chunk(TOWERS, 1)]
        mine = torch.empty_like(parts[0])
        dist.reduce_scatter(mine, parts, group=ctx.group)
        return mine, None


def _gathered(part: Tensor, group: dist.ProcessGroup, axis: int = 0) -> Tensor:
    """The same tensor of every process of the group, joined along an axis."""
    part = part.contiguous()
    parts = [torch.empty_like(part) for _ in range(TOWERS)]
    dist.all_gather(parts, part, group)
    return torch.cat(parts, axis)
