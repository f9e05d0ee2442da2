"""What torchrun set and what the machine has in, this process's place out: device, towers, data-parallel replica."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from alexnet_pipeline.alexnet.exchange import TOWERS, Distributed, Exchange, Local, Whole
from alexnet_pipeline.errors import RefusedError

Towers = Literal["auto", "one", "local", "distributed"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process stands.

    Attributes:
        towers: `one`, `local` or `distributed`.
        rank: of this process.
        world: number of processes; each decodes its part of every batch.
        exchange: how the towers meet.
        replicas: the processes that hold the same tower, where there are several; gradients are averaged over them.
    """

    towers: str
    rank: int
    world: int
    exchange: Exchange
    replicas: dist.ProcessGroup | None

    @property
    def device(self) -> torch.device:
        """Of this process's first stack."""
        return self.exchange.devices[0]

    @property
    def replica_count(self) -> int:
        """How many networks there are."""
        return dist.get_world_size(self.replicas) if self.replicas else 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def sum_over_replicas(self, values: Tensor) -> Tensor:
        """Add up a tensor over the networks."""
        if self.replicas:
            dist.all_reduce(values, group=self.replicas)
        return values

    def from_all(self, value: Tensor) -> list[Tensor]:
        """The same tensor of every process, in rank order."""
        if self.world == 1:
            return [value]
        parts = [torch.empty_like(value) for _ in range(self.world)]
        dist.all_gather(parts, value)
        return parts

    def any_process(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.world == 1:
            return flag
        value = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value)


@contextmanager
def take_place(towers: Towers, device: str, timeout_s: float) -> Iterator[Place]:
    """Find this process's place, joining the others where there are any.

    Args:
        towers: `auto` is distributed below torchrun, local with two GPUs, else one.
        device: `auto` is every GPU there is, else the CPU; `cpu` or `cuda`.
        timeout_s: a process that is silent for so long counts as dead.

    Raises:
        RefusedError: the arrangement is impossible here.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cuda" and not gpus:
        raise RefusedError("--device cuda: PyTorch finds no GPU; `alexnet-pipeline doctor` says what is installed")
    if towers == "auto":
        towers = "distributed" if world > 1 else "local" if gpus > 1 else "one"
    if towers == "distributed":
        yield from _join(world, gpus, timeout_s)
        return
    if world > 1:
        raise RefusedError(f"torchrun started {world} processes; --towers {towers} is for one, use distributed")
    main = torch.device("cuda:0" if gpus else "cpu")
    if towers == "one":
        yield Place("one", 0, 1, Whole(main), None)
    else:
        other = torch.device("cuda:1") if gpus > 1 else main
        yield Place("local", 0, 1, Local((main, other)), None)


def _join(world: int, gpus: int, timeout_s: float) -> Iterator[Place]:
    if world % TOWERS or world < TOWERS:
        raise RefusedError(
            f"--towers distributed needs an even number of processes, found {world}; start it as "
            "`torchrun --nproc-per-node 2 -m alexnet_pipeline train ...`"
        )
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if gpus and gpus < int(os.environ.get("LOCAL_WORLD_SIZE", "1")):
        raise RefusedError(f"{gpus} GPUs for more processes than that; start one process per GPU, or use --device cpu")
    device = torch.device("cuda", local) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpus else "gloo", timeout=timedelta(seconds=timeout_s))
    try:
        mesh = init_device_mesh(device.type, (world // TOWERS, TOWERS), mesh_dim_names=("replica", "tower"))
        replicas = mesh.get_group("replica") if world > TOWERS else None
        yield Place("distributed", dist.get_rank(), world, Distributed(device, mesh.get_group("tower")), replicas)
    finally:
        dist.destroy_process_group()
