"""How the towers exchange activations: the one place where they meet.

The same layers run in three ways. `Whole`: one stack of layers holds both towers as groups, and nothing is left
to exchange. `Local`: two stacks in one process, each on its device. `Distributed`: one stack per process; a pair
of processes makes a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

TOWERS = 2


class Exchange(Protocol):
    """How towers meet.

    Attributes:
        groups: number of towers in one stack of layers.
        devices: of this process's stacks.
        towers: the first tower of each stack.
    """

    groups: int
    devices: tuple[torch.device, ...]
    towers: tuple[int, ...]

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """Join both towers' channels: (N, C, ...) of each stack to (N, 2 C, ...), once for each stack."""

    def rows(self, parts: list[Tensor]) -> Tensor:
        """Join a parameter of each stack to that of both towers, along the first axis, on the CPU."""

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """Join what the towers' processes decoded to the batch that both see; `full`: share_images in each."""


class Whole:
    """Both towers in one stack."""

    groups = TOWERS
    towers: tuple[int, ...] = (0,)

    def __init__(self, device: torch.device) -> None:
        self.devices: tuple[torch.device, ...] = (device,)

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """They are joined already."""
        return parts

    def rows(self, parts: list[Tensor]) -> Tensor:
        """They are joined already."""
        return parts[0].cpu()

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """This process decodes all images."""
        return images, labels


class Local:
    """A stack for each tower, both in this process."""

    groups = 1
    towers: tuple[int, ...] = (0, 1)

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self.devices = tuple(devices)

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """Copy the other device's channels, and join them."""
        return [torch.cat([part.to(device, non_blocking=True) for part in parts], 1) for device in self.devices]

    def rows(self, parts: list[Tensor]) -> Tensor:
        """One tower's rows, then the other's."""
        return torch.cat([part.cpu() for part in parts])

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """This process decodes all images."""
        return images, labels


class Distributed:
    """A stack for one tower; the other is in the other process of the group."""

    groups = 1

    def __init__(self, device: torch.device, group: dist.ProcessGroup) -> None:
        self.devices: tuple[torch.device, ...] = (device,)
        self.group = group
        self.towers: tuple[int, ...] = (dist.get_rank(group),)

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """All-gather along channels, differentiable."""
        gathered: Tensor = _Gather.apply(parts[0], self.group)  # type: ignore[no-untyped-call]
        return [gathered]

    def rows(self, parts: list[Tensor]) -> Tensor:
        """Gather them from both processes; each gets them all."""
        return torch.cat(_all(parts[0].contiguous(), self.group)).cpu()

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """Each process decodes a half; an epoch's last batch may be short, even empty, in either."""
        if full:
            return self._joined(images), self._joined(labels)
        missing = share_images - len(images)
        images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        labels = torch.cat([labels, labels.new_full((missing,), -1)])
        images, labels = self._joined(images), self._joined(labels)
        return images[labels >= 0], labels[labels >= 0]

    def _joined(self, part: Tensor) -> Tensor:
        return torch.cat(_all(part.contiguous(), self.group))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return torch.cat(_all(part.contiguous(), group), 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The sum of both processes' gradients of this process's part."""
        parts = [part.contiguous() for part in gradients[0].chunk(TOWERS, 1)]
        rank = dist.get_rank(ctx.group)
        if dist.get_backend(ctx.group) == "nccl":
            mine = torch.empty_like(parts[rank])
            dist.reduce_scatter(mine, parts, group=ctx.group)
            return mine, None
        whole = torch.stack(parts)  # gloo has no reduce-scatter of lists
        dist.all_reduce(whole, group=ctx.group)
        return whole[rank], None


def _all(part: Tensor, group: dist.ProcessGroup) -> list[Tensor]:
    """The same tensor of every process of the group."""
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, part, group)
    return parts
