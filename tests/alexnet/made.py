"""A small run, and what tests ask of one."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from alexnet_pipeline.alexnet.train import TrainSummary, train

SIZE = 80
SMALL = {"preset": "quarter", "width": 0.05, "batch_size": 12, "epochs": 10}
HOW = {"device": "cpu", "threads": 1, "log_every": 2, "towers": "one"}
# The same as flags, with more checkpoints.
FLAGS = ["--preset", "quarter", "--width", "0.05", "--batch-size", "12", "--epochs", "10", "--threads", "1"]
FLAGS += ["--checkpoint-every", "2", "--log-every", "2", "--device", "cpu"]


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
