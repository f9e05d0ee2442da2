"""What a copy lost is rebuilt from sound tars; tars are never changed."""

import shutil
from pathlib import Path

import pytest

import alexnet_pipeline as api
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.errors import RefusedError

NAME = "imagenet-antialias-val-00000"


@pytest.fixture(scope="module", params=["jpg", "png"])
def sound(request, raw_folders, tmp_path_factory) -> Path:
    """A small finished data set, in a folder of its method."""
    out = tmp_path_factory.mktemp("sound")
    api.shard(raw_folders, out, split=["val"], shard_size=7, size=64, encoding=request.param)
    return out / "antialias"


@pytest.fixture
def method(sound, tmp_path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "antialias"))


def _files(folder: Path, *, but: str = "") -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".state" not in path.parts and path.name != but
    }


@pytest.mark.parametrize("name", [f"{NAME}1.idx", "shardindex.json", "_info.json"])
@pytest.mark.parametrize("damage", [None, b"x"])
def test_indexes_are_rebuilt_to_the_byte(sound, method, name, damage) -> None:
    """They follow from the tars and the manifest; `verify` says how, and nothing else is written."""
    path = method / "val" / name
    path.unlink() if damage is None else path.write_bytes(damage)
    (problem,) = api.verify(method).problems
    assert problem.text.endswith("; `reindex` rebuilds it from sound tars")
    done = api.reindex(method)
    assert (done.rebuilt, done.problems) == ((str(path),), ())
    assert _files(method) == _files(sound)


def test_the_index_of_all_splits_is_rebuilt(sound, method) -> None:
    """In the method's folder."""
    (method / "_info.json").write_bytes(b"x")
    assert api.reindex(method).rebuilt == (str(method / "_info.json"),)
    assert _files(method) == _files(sound)


def test_a_lost_mean_image_is_rebuilt(sound, method) -> None:
    """To the byte from PNG; from JPEG it is another one, which the manifest then names."""
    (method / "val" / "mean.npy").unlink()
    assert not api.reindex(method).problems
    assert not api.verify(method, deep=True).problems
    lossless = read_manifest(sound / "val").options.encoding == "png"
    assert (_files(method) == _files(sound)) == lossless


@pytest.mark.parametrize("damage", [None, b"{}"])
def test_a_lost_manifest_is_rebuilt(sound, method, damage) -> None:
    """From plan and journal, also where an index and all statistics are gone; with another mean image from JPEG."""
    path = method / "val" / "manifest.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    (method / "val" / f"{NAME}0.idx").unlink()
    (method / "val" / "mean.npy").unlink()
    assert not api.reindex(method).problems
    assert not api.verify(method, deep=True).problems
    assert read_manifest(method / "val").shards == read_manifest(sound / "val").shards
    if read_manifest(sound / "val").options.encoding == "png":
        assert _files(method) == _files(sound)


def test_without_a_plan_only_indexes_are_rebuilt(sound, method) -> None:
    """Nothing says how the images were made, and nothing is guessed."""
    shutil.rmtree(method / "val" / ".state")
    (method / "val" / "manifest.json").unlink()
    (method / "val" / f"{NAME}2.idx").unlink()
    done = api.reindex(method)
    assert done.rebuilt == (str(method / "val" / f"{NAME}2.idx"),)
    assert "plan.json" in done.problems[0].text
    assert _files(method, but="manifest.json") == _files(sound, but="manifest.json")


def test_a_damaged_tar_is_a_problem(method) -> None:
    """Its index is not made from it, and a manifest is not rebuilt without its shard."""
    tar = method / "val" / f"{NAME}1.tar"
    data = tar.read_bytes()
    tar.write_bytes(data[:1000] + b"!" + data[1001:])
    (method / "val" / f"{NAME}1.idx").unlink()
    done = api.reindex(method)
    assert not done.rebuilt
    assert done.problems[0].path == str(tar)
    tar.write_bytes(data[:512])
    (method / "val" / "manifest.json").unlink()
    (problem,) = api.reindex(method).problems
    assert "1 of 3 shards are missing, the first is 1" in problem.text


def test_nothing_to_rebuild(sound, tmp_path) -> None:
    """A sound set stays as it is; a folder without shards is refused."""
    before = _files(sound)
    assert api.reindex(sound).rebuilt == ()
    assert _files(sound) == before
    with pytest.raises(RefusedError, match="no shards"):
        api.reindex(tmp_path)
