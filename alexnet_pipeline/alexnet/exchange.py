"""Each tower's activations in, what both have out: the one place where towers meet.

The same layers run in three ways. `whole`: one stack of layers holds both towers as groups, and nothing is left
to exchange. `local`: two stacks in one process, each on its device. `distributed`: one stack a process; a pair
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
        groups: towers that one stack of layers holds.
        devices: one per stack of this process.
        towers: per stack, the first tower that it holds.
    """

    groups: int
    devices: tuple[torch.device, ...]
    towers: tuple[int, ...]

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """(N, C, ...) of each stack in, (N, 2 C, ...) of both towers out, once for each stack."""

    def rows(self, parts: list[Tensor]) -> Tensor:
        """A weight's rows of each stack in, those of both towers out, on the CPU."""

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """What this process decoded in, the batch that both towers see out; `full` means share_images in each."""


class Whole:
    """Both towers in one stack."""

    groups = TOWERS
    towers: tuple[int, ...] = (0,)

    def __init__(self, device: torch.device) -> None:
        self.devices: tuple[torch.device, ...] = (device,)

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """They lie beside each other already."""
        return parts

    def rows(self, parts: list[Tensor]) -> Tensor:
        """All are here."""
        return parts[0].cpu()

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """This process decodes all."""
        return images, labels


class Local:
    """A stack for each tower, both in this process."""

    groups = 1
    towers: tuple[int, ...] = (0, 1)

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self.devices = tuple(devices)

    def both(self, parts: list[Tensor]) -> list[Tensor]:
        """Copy what the other device has, and lay both side by side."""
        return [torch.cat([part.to(device, non_blocking=True) for part in parts], 1) for device in self.devices]

    def rows(self, parts: list[Tensor]) -> Tensor:
        """One tower's below the other's."""
        return torch.cat([part.cpu() for part in parts])

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """This process decodes all."""
        return images, labels


class Distributed:
    """A stack for one tower; the other is in another process of the group."""

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
        """Gathered from both processes; each has them all."""
        return torch.cat(_all(parts[0].contiguous(), self.group)).cpu()

    def batch(self, images: Tensor, labels: Tensor, share_images: int, *, full: bool) -> tuple[Tensor, Tensor]:
        """Each process decodes a half; the last of an epoch may be short, even empty, in either."""
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
        """What either process wants of my part, added up."""
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
