"""Measure what response normalisation costs in a training step, and whether memory use stays constant.

    python tools/benchmark_train.py --precision bf16 --batch-size 32

The same network takes steps on generated batches with our response normalisation, with none, and with
`torch.nn.LocalResponseNorm`, in turn; then a small network takes 2,000 steps on shards of the embedded sample, and
its resident memory is sampled on the way.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

import alexnet_pipeline
from alexnet_pipeline.alexnet import network, normalize
from alexnet_pipeline.alexnet.bench import measure_training
from alexnet_pipeline.progress import Advance, Event

OURS, NONE, TORCH = "our response normalisation", "no normalisation", "torch.nn.LocalResponseNorm"
SMALL_STEPS, EVERY_STEPS = 2000, 250


def torch_norm(channels: int, alpha: float, groups: int = 1) -> nn.Module:
    """PyTorch's own layer, over all channels: grouping would not change its cost."""
    return nn.LocalResponseNorm(normalize.NEIGHBOURS, alpha, normalize.BETA, normalize.BIAS)


@contextmanager
def norm(name: str) -> Iterator[str]:
    """Give the option `norm` of a variant; for PyTorch's, replace the network's own class meanwhile."""
    if name == TORCH:
        with mock.patch.object(network, "LocalResponseNorm", torch_norm):
            yield "lrn"
    else:
        yield {OURS: "lrn", NONE: "none"}[name]


def step_times(preset: str, batch: int, precision: Any, steps: int, repeats: int) -> dict[str, list[float]]:
    """Median milliseconds of a step, by variant, one value per repetition."""
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name in (OURS, NONE, TORCH):
            with norm(name) as word:
                speed = measure_training(preset=preset, batch_size=batch, norm=word, steps=steps, precision=precision)
                times.setdefault(name, []).append(speed.step_ms)
    return times


def resident_mb() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_of_small_steps() -> list[tuple[int, float]]:
    """Take 2,000 small steps, and return (steps, resident MB) after every 250."""
    memory: list[tuple[int, float]] = []

    def read_memory(event: Event) -> None:
        if isinstance(event, Advance) and event.done % EVERY_STEPS == 0:  # the ends of epochs are reported, too
            memory.append((event.done, resident_mb()))

    with tempfile.TemporaryDirectory() as folder:
        raw, shards = Path(folder) / "raw", Path(folder) / "shards"
        alexnet_pipeline.sample(raw)
        alexnet_pipeline.shard(raw, shards, methods=["lanczos"], split=["train"], size=128)
        how: dict[str, Any] = {"preset": "quarter", "batch_size": 8, "width": 0.125, "steps": SMALL_STEPS}
        run = Path(folder) / "run"
        alexnet_pipeline.train(shards / "lanczos", run_dir=run, log_every=EVERY_STEPS, progress=read_memory, **how)
    return memory


def main() -> None:
    """Measure, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper", help="preset of the timed network")
    parser.add_argument("--batch-size", type=int, default=32, help="images per timed step")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="precision of timed steps")
    parser.add_argument("--steps", type=int, default=5, help="steps per repetition, after a warm-up")
    parser.add_argument("--repeats", type=int, default=3, help="number of repetitions")
    given = parser.parse_args()
    times = step_times(given.preset, given.batch_size, given.precision, given.steps, given.repeats)
    print(f"# benchmark_train, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"`python tools/benchmark_train.py --precision {given.precision} --batch-size {given.batch_size}`\n")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"{given.preset}, batch {given.batch_size}, {given.precision}, channels last\n")
    print("| step with | ms (median) | x none |\n|---|---|---|")
    for name, values in times.items():
        ratio = statistics.median(value / none for value, none in zip(values, times[NONE], strict=True))
        print(f"| {name} | {statistics.median(values):.0f} | {ratio:.2f} |")
    print(f"\nResident memory over {SMALL_STEPS:,} small steps:\n\n| step | MB |\n|---|---|")
    for step, megabytes in memory_of_small_steps():
        print(f"| {step:,} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()
