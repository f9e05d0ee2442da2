"""torch's own random generators, which draw dropout: one for each device of each process, saved and given back.

Towers on one device share its generator, so their masks differ; those on two devices, or in two processes, differ by
their seeds. A generator's state means nothing to another kind of device: a run that goes on elsewhere draws other masks
from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.text import counted

# Seeds of runs are this far apart, with room between them for those of processes and stacks.
SEED_STRIDE = 1_000_003


@contextmanager
def seeded(process: Process, seed: int) -> Iterator[None]:
    """Seed the generators, differently in every process and on every device, and put their states back at the end."""
    generators = _generators(process)
    before = {name: generator.get_state() for name, generator in generators.items()}
    first = seed * SEED_STRIDE + process.rank
    torch.default_generator.manual_seed(first)
    for stack, generator in enumerate(_gpu_generators(process)):  # of several only where there is a single process
        generator.manual_seed(first + stack)
    try:
        yield
    finally:
        for name, generator in generators.items():
            generator.set_state(before[name])


def gather_random(process: Process) -> dict[str, Tensor]:
    """The generators of every process; all processes call this together."""
    own = {name: generator.get_state() for name, generator in _generators(process).items()}
    every = enumerate(process.gather(own))
    return {f"{name}-{rank}": state for rank, states in every for name, state in states.items()}


def set_random(process: Process, states: Mapping[str, Tensor]) -> str:
    """Inverse of `gather_random`, for this process; a generator that was not saved stays as it was seeded.

    Returns:
        What drew then and what draws now, like `CPU in 1 process, now 2 GPUs in 1 process`; empty if they are the same.
    """
    generators = _generators(process)
    for name, generator in generators.items():
        if f"{name}-{process.rank}" in states:
            generator.set_state(states[f"{name}-{process.rank}"])
    drawing = {f"{name}-{rank}" for rank in range(process.world) for name in generators}
    return "" if drawing == states.keys() else f"{_drawers(states)}, now {_drawers(drawing)}"


def _drawers(names: Collection[str]) -> str:
    gpus = sum(name.startswith("gpu") for name in names)
    return f"{counted(gpus, 'GPU') if gpus else 'CPU'} in {counted(len(names) - gpus, 'process')}"


def _generators(process: Process) -> dict[str, torch.Generator]:
    """That of the CPU, and that of each GPU."""
    gpus = {f"gpu{stack}": generator for stack, generator in enumerate(_gpu_generators(process))}
    return {"cpu": torch.default_generator, **gpus}


def _gpu_generators(process: Process) -> list[torch.Generator]:
    gpus = [device for device in dict.fromkeys(process.exchange.devices) if device.type == "cuda"]
    if gpus:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # there are no generators before
    return [torch.cuda.default_generators[device.index] for device in gpus]
