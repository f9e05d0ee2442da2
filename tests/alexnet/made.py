"""Small shards, a small run on them and its record, what tests ask of one, and the processes of a distributed one."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from alexnet_pipeline import shard
from alexnet_pipeline.alexnet.recipe import QUARTER
from alexnet_pipeline.alexnet.run_folder import RunRecord, ShardsRecord
from alexnet_pipeline.alexnet.train import TrainSummary, train
from alexnet_pipeline.dataset.manifest import read_manifest, write_manifest

SIZE = 80
SMALL = {"preset": "quarter", "width": 0.05, "batch_size": 12, "epochs": 10}
HOW = {"device": "cpu", "threads": 1, "log_every": 2, "towers": "one"}
# The same as flags, with more checkpoints.
FLAGS = ["--preset", "quarter", "--width", "0.05", "--batch-size", "12", "--epochs", "10", "--threads", "1"]
FLAGS += ["--checkpoint-every", "2", "--log-every", "2", "--device", "cpu"]

RECORD = RunRecord(
    command="alexnet-pipeline train",
    started="2026-01-01T00:00:00+00:00",
    recipe=QUARTER,
    network=QUARTER.network(2, 70),
    parameters=1234,
    train=ShardsRecord("/data/shards", "lanczos", "0" * 64, 100),
    val=None,
    towers="one",
    device="cpu",
    precision="fp32",
    seed=0,
    machine="x86_64, 2 threads",
    python="3.11",
    torch="2.11",
)


def small_shards(raw: Path, out: Path) -> Path:
    """Write train/ and val/ of raw folders as small images; the folder of the two."""
    shard(raw, out, methods=["area"], size=SIZE, shard_size=20, workers=1, progress=False)
    return out / "area"


def with_words(shards: Path, copy: Path, *words: str) -> Path:
    """A copy of a data set whose first classes have these words, and whose others have none."""
    shutil.copytree(shards, copy)
    manifest = read_manifest(copy)
    every = (*words, *[""] * (len(manifest.classes) - len(words)))
    write_manifest(copy, dataclasses.replace(manifest, digest="", class_words=every))
    return copy


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums of several threads differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(shards: Path, folder: Path, **options) -> TrainSummary:
    """Train a small network."""
    return train(shards, run_dir=folder, **{"progress": False, **SMALL, **HOW, **options})


def digest(folder: Path) -> str:
    """Of the newest weights and momentum."""
    newest = max((folder / "checkpoints").glob("step-*"))
    parts = ("weights.safetensors", "momentum.safetensors")
    return hashlib.sha256(b"".join((newest / name).read_bytes() for name in parts)).hexdigest()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The newest."""
    return load_file(max((folder / "checkpoints").glob("step-*")) / "weights.safetensors")


@contextmanager
def started(module: str, arguments: list[str], world: int = 2) -> Iterator[list[subprocess.Popen]]:
    """The processes that torchrun would start; none is left at the end.

    They meet at a store of this process, as they do at torchrun's: a port that is only looked up may be taken by
    another program until one of them binds it, seconds later.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "GLOO_SOCKET_IFNAME": "lo"}
    shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(world)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def run_forked(arguments: list[str], world: int) -> tuple[list[int], list[str]]:
    """The exit codes of a command's processes, by rank, and what they all wrote to stderr, in lines."""
    with started("tests.alexnet.forked_ranks", [str(world), *arguments], world=1) as (parent,):
        output, errors = parent.communicate(timeout=120)
    return json.loads(output.splitlines()[-1]), errors.decode().splitlines()


def await_checkpoint(folder: Path) -> None:
    """Until a run that other processes train has its first."""
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(folder.glob("checkpoints/step-*"))


def finished(processes: list[subprocess.Popen]) -> list[bytes]:
    """What each printed."""
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return [output for output, _ in outputs]
