"""Statistics of neighbours are joined, and whatever happens meanwhile, their sum is that of all shards."""

import math
import shutil
import threading

import numpy as np
import pytest

from alexnet_pipeline import shard
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.shards import build
from alexnet_pipeline.shards.kept_sums import GROUP_SHARDS, KeptSums, SumsJoiner
from alexnet_pipeline.shards.names import STATE
from alexnet_pipeline.shards.statistics import Sums


def sums_of(index: int) -> Sums:
    sums = Sums.zero((2, 2, 3), 3)
    sums.add(np.full((2, 2, 3), index, np.uint8), index % 3, upsampled=False)
    return sums


@pytest.fixture
def kept(tmp_path) -> KeptSums:
    """Those of 40 shards."""
    (tmp_path / STATE).mkdir()
    found = KeptSums(tmp_path)
    for index in range(40):
        found.put(index, sums_of(index))
    return found


def assert_whole(kept: KeptSums) -> None:
    total = kept.total(range(40))
    assert int(total.channels[0]) == 4 * sum(range(40))
    assert total.labels.tolist() == [14, 13, 13]
    assert kept.shards() == set(range(40))


def test_a_joined_group_is_one_file(kept, tmp_path) -> None:
    """Of any of its shards."""
    kept.join(range(16, 32))
    kept.join([0, 1, 3, 15])
    assert {"sums-000016-ffff.npz", "sums-000000-800b.npz", "sums-000002.npz"} <= kept.files().keys()
    assert len(list((tmp_path / STATE).iterdir())) == 40 - 15 - 3
    assert_whole(kept)


def test_arrays_are_parsed_in_one_thread(kept, monkeypatch) -> None:
    """Several break each other's parsing in some versions of Python, which once ended a run; reading takes several."""
    parsers, parse = set(), Sums.from_bytes

    def recorded(data: bytes) -> Sums:
        parsers.add(threading.get_ident())
        return parse(data)

    monkeypatch.setattr(Sums, "from_bytes", recorded)
    assert_whole(kept)
    assert parsers == {threading.get_ident()}


def test_a_run_that_was_killed_while_joining_counts_nothing_twice(kept, tmp_path) -> None:
    """The files that it would have removed are still there."""
    shutil.copytree(tmp_path / STATE, tmp_path / "before")
    kept.join(range(16, 32))
    for path in (tmp_path / "before").iterdir():
        shutil.copy(path, tmp_path / STATE)
    assert_whole(kept)


def test_forgetting_a_shard_forgets_its_neighbours(kept) -> None:
    """They have to be written again; what is missing is never left out of the sum in silence."""
    kept.join(range(16, 32))
    assert kept.forget({3, 20}) == {3, *range(16, 32)}
    assert kept.shards() == set(range(40)) - {3, *range(16, 32)}
    with pytest.raises(PipelineError, match="statistics of 17 shards are missing"):
        kept.total(range(40))


def test_groups_are_joined_as_soon_as_a_run_has_them(kept) -> None:
    """In any order; shards with rejects stay alone, and a run joins only what it writes."""
    joiner = SumsJoiner(kept, (8, 36), missing=set(range(10, 36)), single={8, 9})
    for index in np.random.default_rng(0).permutation(range(10, 36)).tolist():
        joiner.add(index, joined=index != 20)
    joined = {name for name, members in kept.files().items() if len(members) > 1}
    assert joined == {"sums-000000-ff00.npz", "sums-000016-ffef.npz", "sums-000032-000f.npz"}
    assert_whole(kept)
    kept.drop()
    assert not kept.files()


def test_statistics_take_one_file_for_a_group(raw_folders, tmp_path, monkeypatch) -> None:
    """14,000 shards would else take 11 GB; and the sums in the manifest are those of single files."""
    shard(raw_folders, tmp_path / "whole", split=["train"], shard_size=30, size=32, progress=False)
    most = []
    finish = build.finish
    monkeypatch.setattr(
        build, "finish", lambda state, plan: (most.append(len(state.sums.files())), finish(state, plan))[1]
    )
    shard(raw_folders, tmp_path / "many", split=["train"], shard_size=1, size=32, progress=False)
    rejects = 1
    assert most == [math.ceil(60 / GROUP_SHARDS) + rejects]
    many, whole = (read_manifest(tmp_path / name / "antialias" / "train") for name in ("many", "whole"))
    assert many.statistics == whole.statistics
    assert not list((tmp_path / "many").rglob("sums-*"))


def test_a_shard_written_anew_takes_its_neighbours_along(raw_folders, tmp_path) -> None:
    """An image that changed after its group was joined: the set is as if it had been so from the beginning."""
    source = tmp_path / "raw"
    shutil.copytree(raw_folders / "train", source)
    how = {"shard_size": 1, "size": 16, "progress": False}
    shard(source, tmp_path / "out", shard_range=(0, 40), **how)
    for victim in sorted(source.glob("*/*"))[:8]:
        victim.write_bytes(next((raw_folders / "val").glob("*/*")).read_bytes())
    shard(source, tmp_path / "out", **how)
    shard(source, tmp_path / "fresh", **how)
    out, fresh = (read_manifest(tmp_path / name / "antialias" / "train") for name in ("out", "fresh"))
    assert out == fresh
