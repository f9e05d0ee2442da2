"""This process among those of a run: its device, its towers, and the processes that hold copies of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from alexnet_pipeline.alexnet.exchange import TOWERS, Distributed, Exchange, Local, Whole
from alexnet_pipeline.alexnet.options import Device, Towers, TrainOptions
from alexnet_pipeline.errors import RefusedError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Process:
    """This process of a run.

    Attributes:
        towers: `one`, `local` or `distributed`.
        rank: of this process.
        world: number of processes; each decodes its part of every batch.
        exchange: how the towers meet.
        replicas: the processes that hold the same tower, where there are several; gradients are averaged over them.
    """

    towers: Towers
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
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def sum_over_replicas(self, values: Tensor) -> Tensor:
        """Add up a tensor over the networks."""
        if self.replicas:
            dist.all_reduce(values, group=self.replicas)
        return values

    def gather(self, value: Value) -> list[Value]:
        """The value of every process, in rank order; all processes call this together."""
        values = [value] * self.world
        if self.world > 1:
            dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all processes call this together."""
        return any(self.gather(flag))


@contextmanager
def join(towers: Towers, device: Device, timeout_s: float = TrainOptions.timeout_s) -> Iterator[Process]:
    """Choose this process's devices, and join the other processes where there are any.

    Args:
        towers: `auto` is distributed below torchrun, local with two GPUs, else one.
        device: `auto` is every GPU there is, else the CPU.
        timeout_s: a process that is silent for so long counts as dead.

    Raises:
        RefusedError: the arrangement is impossible here.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cuda" and not gpus:
        raise RefusedError("`device='cuda'`: PyTorch finds no GPU; run `doctor` to see what is installed")
    if towers == "auto":
        towers = "distributed" if world > 1 else "local" if gpus > 1 else "one"
    if towers == "distributed":
        yield from _join_others(world, gpus, timeout_s)
        return
    if world > 1:
        raise RefusedError(
            f"torchrun started {world} processes, but `towers='{towers}'` is for one; expected `towers='distributed'`"
        )
    main = torch.device("cuda:0" if gpus else "cpu")
    other = torch.device("cuda:1") if gpus > 1 else main
    yield Process(towers, 0, 1, Whole(main) if towers == "one" else Local((main, other)), None)


def _join_others(world: int, gpus: int, timeout_s: float) -> Iterator[Process]:
    if world % TOWERS or world < TOWERS:
        raise RefusedError(
            f"`towers='distributed'` needs an even number of processes, found {world}; start it as "
            "`torchrun --nproc-per-node 2 -m alexnet_pipeline train ...`"
        )
    local = int(os.environ.get("LOCAL_RANK", "0"))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if gpus and gpus < processes:
        raise RefusedError(
            f"found {gpus} GPUs for {processes} processes; start one process per GPU, or choose `device='cpu'`"
        )
    device = torch.device("cuda", local) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpus else "gloo", timeout=timedelta(seconds=timeout_s))
    try:
        mesh = init_device_mesh(device.type, (world // TOWERS, TOWERS), mesh_dim_names=("replica", "tower"))
        replicas = mesh.get_group("replica") if world > TOWERS else None
        yield Process("distributed", dist.get_rank(), world, Distributed(device, mesh.get_group("tower")), replicas)
    finally:
        dist.destroy_process_group()
