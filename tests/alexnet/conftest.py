"""What tests of this room share: small shards, and a finished run on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alexnet.made import one_thread, run, small_shards


@pytest.fixture(scope="session")
def shards(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of the sample, small."""
    return small_shards(raw_folders, tmp_path_factory.mktemp("shards"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def uninterrupted(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 50 steps that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with one_thread():
        done = run(shards, folder, checkpoint_every=2)
    assert done.errors
    assert done.errors.total_images == 20
    return folder
