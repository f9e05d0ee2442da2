"""torch's own random generators, which draw dropout: saved for all processes, and given back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from alexnet_pipeline.alexnet.processes import Process

# Seeds of processes are this far apart, so that no two runs' processes share one.
SEED_STRIDE = 1_000_003


@contextmanager
def seeded(process: Process, seed: int) -> Iterator[None]:
    """Seed torch's generators, differently in every process, and put their states back at the end."""
    with torch.random.fork_rng(devices=_gpus(process)):
        torch.manual_seed(seed * SEED_STRIDE + process.rank)
        yield


def gather_random(process: Process) -> dict[str, Tensor]:
    """The generators of every process; all processes call this together."""
    own = {name: generator.get_state() for name, generator in _generators(process).items()}
    every = enumerate(process.gather(own))
    return {f"{name}-{rank}": state for rank, states in every for name, state in states.items()}


def set_random(process: Process, states: dict[str, Tensor]) -> None:
    """Inverse of `gather_random`, for this process; a generator that was not saved stays as it is."""
    for name, generator in _generators(process).items():
        if f"{name}-{process.rank}" in states:
            generator.set_state(states[f"{name}-{process.rank}"])


def _generators(process: Process) -> dict[str, torch.Generator]:
    """That of the CPU, and that of each stack's GPU."""
    gpus = [torch.cuda.default_generators[device.index] for device in _gpus(process)]
    return {"cpu": torch.default_generator, **{f"gpu{stack}": generator for stack, generator in enumerate(gpus)}}


def _gpus(process: Process) -> list[torch.device]:
    return [device for device in process.exchange.devices if device.type == "cuda"]
