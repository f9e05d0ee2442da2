"""A folder above a data set stands for it where there is no choice."""

from pathlib import Path

import pytest

import alexnet_pipeline as api
from alexnet_pipeline.dataset.choose import choose_set
from alexnet_pipeline.errors import RefusedError


@pytest.fixture
def out(raw_folders: Path, tmp_path: Path) -> Path:
    """A method's training and validation set."""
    api.shard(raw_folders, tmp_path / "out", methods=["nearest"], size=64, limit=20, progress=False)
    return tmp_path / "out"


def test_a_set_its_method_and_the_only_methods_folder_stand_for_it(out: Path) -> None:
    """The first split that is there is taken."""
    for folder in (out, out / "nearest"):
        assert choose_set(folder, "train", "val") == out / "nearest" / "train"
        assert choose_set(folder, "val", "train") == out / "nearest" / "val"
        assert choose_set(folder, "test", "val") == out / "nearest" / "val"
    assert choose_set(out / "nearest" / "train", "val") == out / "nearest" / "train"


def test_several_methods_are_named(out: Path, raw_folders: Path) -> None:
    """Which one a network is trained on is not ours to choose."""
    api.shard(raw_folders, out, methods=["lanczos"], size=64, limit=20, progress=False)
    with pytest.raises(RefusedError, match=rf"several methods \(lanczos, nearest\); name one, like {out / 'lanczos'}$"):
        choose_set(out, "train")


def test_what_holds_none_is_left_to_be_refused(tmp_path: Path) -> None:
    """By what opens it."""
    assert choose_set(tmp_path, "train") == tmp_path
    assert choose_set(tmp_path / "absent", "train") == tmp_path / "absent"


def test_commands_take_the_folder_that_shard_wrote(out: Path) -> None:
    """`inspect` the training set of it."""
    samples = api.inspect(out, limit=3)
    assert len(samples) == 3
    assert samples.title == "imagenet train, nearest, 64 px: the first 3 of 19 samples"
