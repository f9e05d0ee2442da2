"""This process among those of a run: its device, its towers, and the processes that hold copies of them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from alexnet_pipeline.alexnet.exchange import TOWERS, Distributed, Exchange, Local, Whole
from alexnet_pipeline.alexnet.options import Device, Towers, TrainOptions
from alexnet_pipeline.cores import core_count
from alexnet_pipeline.errors import PipelineError, RefusedError

Value = TypeVar("Value")

# What gloo and NCCL say when another process is gone or silent. "store" or "timed out" alone do not count: they also
# stand in paths, and in what a GPU says of its own kernels.
LOST = re.compile(r"\bgloo\b|\bnccl|pair closure|connection (closed|reset)|broken pipe", re.IGNORECASE)
# Key in the store of the processes by which one says that it tells why the run ends, and the time that it has for that.
FAILED, TOLD_S = "alexnet-pipeline-failed", 1.0


@dataclass(frozen=True, slots=True)
class Process:
    """This process of a run.

    Attributes:
        towers: `one`, `local` or `distributed`.
        rank: of this process.
        world: number of processes; each decodes its part of every batch.
        exchange: how the towers meet.
        replicas: the processes that hold the same tower, or each the whole network, where there are several; gradients
            are averaged over them.
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

    def threads(self) -> int:
        """The cores for this process, of those that the processes of this machine share."""
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.world > 1 else 1
        return max(1, core_count() // here)

    def sum_over_replicas(self, values: Tensor) -> Tensor:
        """Add up a tensor over the networks."""
        if self.replicas:
            dist.all_reduce(values, group=self.replicas)
        return values

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give the tensors of the first network to all others."""
        if self.replicas:
            for tensor in tensors:
                dist.broadcast(tensor, group=self.replicas, group_src=0)

    def gather(self, value: Value) -> list[Value]:
        """The value of every process, in rank order; all processes call this together."""
        values = [value] * self.world
        if self.world > 1:
            dist.all_gather_object(values, value)
        return values

    def agree(self, work: Callable[[], Value]) -> Value:
        """Do something in every process; if it fails in one, it fails in all, and one of them tells.

        Raises:
            PipelineError: the first one of any process.
        """
        error: PipelineError | None = None
        try:
            value = work()
        except PipelineError as raised:
            error = raised
        failures = [(rank, each) for rank, each in enumerate(self.gather(error)) if each is not None]
        if failures:
            rank, first = failures[0]
            first.told_elsewhere = rank != self.rank
            raise first
        return value

    def alike(self, error: PipelineError) -> PipelineError:
        """An error that every process raises; the first one tells."""
        error.told_elsewhere = not self.leads
        return error

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all processes call this together."""
        return any(self.gather(flag))


def alone(device: Device) -> Process:
    """This process with the whole network, for work that it does not share.

    Args:
        device: `auto` is a GPU where there is one, else the CPU.

    Raises:
        RefusedError: there is no GPU though one is asked for, or torchrun started several processes.
    """
    if _world() > 1:
        raise RefusedError(f"torchrun started {_world()} processes, but only training shares its work; start one")
    return Process("one", 0, 1, Whole(torch.device("cuda:0" if _gpu_count(device) else "cpu")), None)


@contextmanager
def join(towers: Towers, device: Device, timeout_s: float = TrainOptions.timeout_s) -> Iterator[Process]:
    """Choose this process's devices, and join the other processes where there are any.

    Args:
        towers: `auto` is distributed below torchrun if it started an even number of processes, local with two GPUs,
            else one.
        device: `auto` is every GPU there is, else the CPU.
        timeout_s: a process that is silent for so long counts as dead.

    Raises:
        RefusedError: the arrangement is impossible here.
    """
    world, gpus = _world(), _gpu_count(device)
    if towers == "auto" and world > 1:
        towers = "one" if world % TOWERS else "distributed"
    elif towers == "auto":
        towers = "local" if gpus > 1 else "one"
    if towers == "distributed" and (world % TOWERS or world < TOWERS):
        raise RefusedError(
            f"`towers='distributed'` needs an even number of processes, found {world}; start it as "
            "`torchrun --nproc-per-node 2 -m alexnet_pipeline train ...`, or choose `towers='one'`"
        )
    if towers == "local" and world > 1:
        raise RefusedError(
            f"torchrun started {world} processes, but `towers='local'` is for one; expected `towers='distributed'` or "
            "`towers='one'`"
        )
    if world > 1:
        yield from _join_others(towers, world, gpus, timeout_s)
    elif towers == "one":
        yield alone(device)
    else:
        main = torch.device("cuda:0" if gpus else "cpu")
        yield Process(towers, 0, 1, Local((main, torch.device("cuda:1") if gpus > 1 else main)), None)


def _world() -> int:
    """How many processes torchrun started on all machines, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _gpu_count(device: Device) -> int:
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cuda" and not gpus:
        raise RefusedError("`device='cuda'`: PyTorch finds no GPU; run `doctor` to see what is installed")
    return gpus


def _join_others(towers: Towers, world: int, gpus: int, timeout_s: float) -> Iterator[Process]:
    local = int(os.environ.get("LOCAL_RANK", "0"))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if gpus and gpus < processes:
        raise RefusedError(
            f"found {gpus} GPUs for {processes} processes; start one process per GPU, or choose `device='cpu'`"
        )
    device = torch.device("cuda", local) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    timeout = timedelta(seconds=timeout_s)
    try:
        dist.init_process_group("nccl" if gpus else "gloo", timeout=timeout)
        if towers == "one":
            yield Process(towers, dist.get_rank(), world, Whole(device), dist.group.WORLD)
        else:
            ranks = range(world)
            pair = _group_of([ranks[first : first + TOWERS] for first in range(0, world, TOWERS)], timeout)
            replicas = _group_of([ranks[tower::TOWERS] for tower in range(TOWERS)], timeout) if world > TOWERS else None
            yield Process(towers, dist.get_rank(), world, Distributed(device, pair), replicas)
    except Exception as error:
        lost = _lost_contact(error)
        if lost:
            raise lost from error
        _tell_others()
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _lost_contact(error: Exception) -> PipelineError | None:
    """What to raise in the place of an error by which another process shows that it ended; None if it is another."""
    text = str(error)
    if not isinstance(error, RuntimeError) or not (isinstance(error, dist.DistError) or LOST.search(text)):
        return None
    reason = text.partition("\n")[0][:200]
    found = PipelineError(
        f"another process of the run ended or is silent ({reason}); its own message says why; "
        "`resume='auto'` continues from the last checkpoint"
    )
    time.sleep(TOLD_S)
    with suppress(Exception):  # the store may be gone, too
        found.told_elsewhere = bool(dist.distributed_c10d._get_default_store().check([FAILED]))
    return found


def _tell_others() -> None:
    """Let the other processes know that this one shows why the run ended."""
    with suppress(Exception):  # the store may be gone
        dist.distributed_c10d._get_default_store().set(FAILED, "1")


def _group_of(groups: Sequence[Sequence[int]], timeout: timedelta) -> dist.ProcessGroup:
    """Make groups of ranks, in every process alike, and give the one of this process.

    A device mesh would make them, too, but with a timeout of its own.
    """
    made = {ranks: dist.new_group(list(ranks), timeout=timeout) for ranks in map(tuple, groups)}
    mine: dist.ProcessGroup = next(group for ranks, group in made.items() if dist.get_rank() in ranks)
    return mine
