"""Whatever is damaged in a finished data set is found and named."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import alexnet_pipeline as api
from alexnet_pipeline.dataset.manifest import FileRecord, read_manifest, write_manifest
from alexnet_pipeline.errors import RefusedError


@pytest.fixture(scope="module")
def sound(raw_folders, tmp_path_factory) -> Path:
    """A small finished data set."""
    out = tmp_path_factory.mktemp("sound")
    api.shard(raw_folders, out, split=["val"], shard_size=7, size=64)
    return out / "antialias" / "val"


@pytest.fixture
def copy(sound, tmp_path) -> Path:
    """One that may be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "set"))


def test_a_sound_set_has_no_problems(sound) -> None:
    """Decoded, too."""
    found = api.verify(sound, deep=True)
    assert (found.problems, found.shards, found.images) == ((), 3, 20)


def test_every_flipped_bit_is_found(copy) -> None:
    """In tars, indexes, the mean image and the manifest; the file is named."""
    random = np.random.Generator(np.random.PCG64(0))
    for path in sorted(p for p in copy.iterdir() if p.is_file()):
        data = path.read_bytes()
        for position in random.integers(0, len(data), 12):
            damaged = bytearray(data)
            damaged[position] ^= 1 << int(random.integers(8))
            path.write_bytes(bytes(damaged))
            problems = api.verify(copy).problems
            assert problems, (path, position)
            assert any(path.name in problem.path + problem.text for problem in problems)
        path.write_bytes(data)
    assert not api.verify(copy).problems


@pytest.mark.parametrize(
    "name",
    ["imagenet-val-000001.tar", "imagenet-val-000001.idx", "mean.npy", "shardindex.json", "_info.json"],
)
def test_missing_files_are_found(copy, name) -> None:
    """By name."""
    (copy / name).unlink()
    assert any(name in problem.path for problem in api.verify(copy).problems)


@pytest.mark.parametrize("name", ["imagenet-val-000009.tar", "x.idx", ".part-imagenet-val-000001.tar"])
def test_extra_files_are_found(copy, name) -> None:
    """A shard that nobody planned would be trained on."""
    (copy / name).write_bytes(b"x")
    assert [name in problem.path for problem in api.verify(copy).problems] == [True]


def test_cut_and_swapped_shards_are_found(copy) -> None:
    """Sizes and hashes are compared with the manifest's."""
    first, second = copy / "imagenet-val-000000.tar", copy / "imagenet-val-000001.tar"
    data = first.read_bytes()
    first.write_bytes(data[:-512])
    assert api.verify(copy).problems
    first.write_bytes(second.read_bytes())
    assert api.verify(copy).problems


def test_an_unfinished_set_is_a_problem(copy) -> None:
    """No manifest, no data set."""
    (copy / "manifest.json").unlink()
    assert "no finished data set" in api.verify(copy).problems[0].text


def test_nothing_to_verify_is_refused(tmp_path) -> None:
    """An empty folder is not sound."""
    with pytest.raises(RefusedError, match="no shards"):
        api.verify(tmp_path)


def test_the_committed_sample_is_still_read() -> None:
    """Shards of an earlier release stay sound in this one."""
    found = api.verify(Path(__file__).parents[2] / "shards" / "sample", deep=True)
    assert not found.problems
    assert (found.shards, found.images) == (2, 11)


def test_labels_outside_the_classes_are_found(copy) -> None:
    """Also where every checksum fits."""
    manifest = read_manifest(copy)
    totals = (*manifest.class_totals_images[:8], sum(manifest.class_totals_images[8:]))
    write_manifest(
        copy, dataclasses.replace(manifest, digest="", classes=manifest.classes[:9], class_totals_images=totals)
    )
    problems = api.verify(copy).problems
    assert len(problems) == 2  # the sample's last class has two images
    assert all("expected 0 to 8" in problem.text for problem in problems)


def test_deep_decodes_every_image(copy) -> None:
    """A broken image under checksums that fit is found then, and only then; its tar is named."""
    manifest = read_manifest(copy)
    tar = copy / manifest.shards[0].tar.name
    data = bytearray(tar.read_bytes())
    start = data.index(b"\xff\xda") + 40  # behind the first image's header
    data[start : start + 60] = bytes(60)
    tar.write_bytes(bytes(data))
    record = FileRecord(tar.name, len(data), hashlib.sha256(data).hexdigest())
    first = dataclasses.replace(manifest.shards[0], tar=record)
    write_manifest(copy, dataclasses.replace(manifest, digest="", shards=(first, *manifest.shards[1:])))
    assert not api.verify(copy).problems
    (problem,) = api.verify(copy, deep=True).problems
    assert problem.path == str(tar)
    assert "does not decode" in problem.text
