"""What a run would do is told before it is done."""

import pytest

import alexnet_pipeline
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.shards import estimate


def test_time_and_size_follow_from_a_probe(raw_folders, tmp_path, monkeypatch) -> None:
    """By images, workers and methods; nothing is written."""
    monkeypatch.setattr(estimate, "_probe", lambda images, chosen: (0.5, {"area": 1000.0, "nearest": 2000.0}))
    alone = alexnet_pipeline.estimate(raw_folders, tmp_path / "out", methods=["area", "nearest"], workers=1)
    four = alexnet_pipeline.estimate(raw_folders, tmp_path / "out", methods=["area", "nearest"], workers=4)
    assert (alone.seconds, four.seconds) == (40.0, 10.0)
    assert alone.methods == {"area": 80_000, "nearest": 160_000}
    assert [(split.split, split.images, split.shards) for split in alone.splits] == [("train", 60, 1), ("val", 20, 1)]
    assert not (tmp_path / "out").exists()


def test_the_probe_measures_what_is_written(raw_folders, tmp_path) -> None:
    """The estimate of the size is near the size; a broken image does not stop it."""
    planned = alexnet_pipeline.estimate(raw_folders, tmp_path / "out", methods="area")
    made = alexnet_pipeline.shard(raw_folders, tmp_path / "out", methods="area")
    assert planned.methods["area"] == pytest.approx(sum(each.size_bytes for each in made), rel=0.2)


def test_what_shard_refuses_is_refused(raw_folders) -> None:
    """Before any work."""
    with pytest.raises(RefusedError, match="no split 'test'"):
        alexnet_pipeline.estimate(raw_folders, "out", split="test")
