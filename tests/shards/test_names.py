"""Names of shards, and names that `verify` leaves alone."""

import pytest

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.names import is_companion, shard_prefix


def test_a_prefix_holds_the_method() -> None:
    """As its folder is named, so that shards of two methods never share a base name; version 1 lacked it."""
    options = SetOptions(method="opencv:area+cubic", name="set")
    assert shard_prefix(options, "val") == "set-opencv-area+cubic-val"
    assert shard_prefix(options, "val", 1) == "set-val"
    with pytest.raises(RefusedError, match="no method"):
        shard_prefix(SetOptions(method="unheard-of"), "val")


@pytest.mark.parametrize("name", ["imagenet-lanczos-train-000000.tar.idx", ".nv-meta", "dataset_infos.json", ".state"])
def test_companions_are_no_strays(name: str) -> None:
    """Other tools made them, or they are the state of a run."""
    assert is_companion(name)


@pytest.mark.parametrize("name", ["mine.tar", "notes.json", "mine.npy", "a-00001.tar", "x.idx", "a-000001.tar.gz", ""])
def test_what_is_none_is_the_users(name: str) -> None:
    """It is reported."""
    assert not is_companion(name)
