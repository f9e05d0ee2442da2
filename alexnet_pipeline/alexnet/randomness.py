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
    devices = [device for device in process.exchange.devices if device.type == "cuda"]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed * SEED_STRIDE + process.rank)
        yield


def gather_random(process: Process) -> dict[str, Tensor]:
    """The generators of every process; all processes call this together."""
    own = {"cpu": torch.get_rng_state()}
    if process.device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(process.device)
    return {
        f"{kind}-{rank}": state.cpu()
        for kind, value in own.items()
        for rank, state in enumerate(process.gather(value.to(process.device)))
    }


def set_random(process: Process, states: dict[str, Tensor]) -> None:
    """Inverse of `gather_random`, for this process."""
    torch.set_rng_state(states[f"cpu-{process.rank}"])
    if process.device.type == "cuda":
        torch.cuda.set_rng_state(states[f"cuda-{process.rank}"], process.device)
