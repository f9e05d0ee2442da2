"""What tests of this room share: small shards, and a finished run on them."""

from pathlib import Path

import pytest
import torch

from alexnet_pipeline import shard
from tests.alexnet.made import SIZE, run


@pytest.fixture(scope="session")
def shards(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of the sample, small."""
    out = tmp_path_factory.mktemp("shards")
    shard(raw_folders, out, methods=["area"], size=SIZE, shard_size=20, workers=1, progress=False)
    return out / "area"


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums of several threads differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def uninterrupted(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 50 steps that nothing disturbed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run(shards, folder, checkpoint_every=2)
    torch.set_num_threads(before)
    assert done.errors
    assert done.errors.total_images == 20
    return folder
