"""Data sets of format version 1 are still read, proved and used."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from alexnet_pipeline import inspect, open_shards, shard, verify
from alexnet_pipeline.comparison.options import CompareOptions
from alexnet_pipeline.comparison.sets import compare_sets
from alexnet_pipeline.dataset.manifest import MANIFEST, read_manifest, write_manifest
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.records import SourceAccount

# The sample of an earlier release: eleven images of 64 pixels in two shards, one reject.
OLD = Path(__file__).parent / "format-1"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """One that may be damaged."""
    return Path(shutil.copytree(OLD, tmp_path / "set"))


def test_its_manifest_is_read_and_proved() -> None:
    """What it lacks has the value that it had then."""
    manifest = read_manifest(OLD)
    assert (manifest.format_version, manifest.total_images) == (1, 11)
    assert manifest.options.orientation == "apply"
    assert (manifest.class_words, manifest.source) == ((), SourceAccount())
    assert [shard.remarks for shard in manifest.shards] == [(), ()]
    assert len(manifest.rejects()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"total_images": 12},
        {"class_words": []},
        {"source": dataclasses.asdict(SourceAccount())},
        {"format_version": 2},
    ],
)
def test_a_changed_manifest_is_refused(copy: Path, change: dict) -> None:
    """Also one that has got a field of version 2, or claims to be of it."""
    whole = json.loads((copy / MANIFEST).read_bytes())
    (copy / MANIFEST).write_text(json.dumps({**whole, **change}, sort_keys=True, indent=1) + "\n")
    with pytest.raises(PipelineError, match="digest does not match"):
        read_manifest(copy)


def test_every_byte_of_its_manifest_is_proved(copy: Path) -> None:
    """A bit that flips in an option, a name or a number is found."""
    whole = (copy / MANIFEST).read_bytes()
    for position in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        (copy / MANIFEST).write_bytes(bytes(damaged))
        with pytest.raises(PipelineError):
            read_manifest(copy)


def test_written_again_it_has_the_same_bytes(copy: Path) -> None:
    """The text that is proved is the one that was written."""
    write_manifest(copy, dataclasses.replace(read_manifest(copy), digest=""))
    assert (copy / MANIFEST).read_bytes() == (OLD / MANIFEST).read_bytes()


def test_its_samples_are_opened_and_shown() -> None:
    """Records have no label and no remark; labels come from `.cls`."""
    shards = open_shards(OLD)
    records = [shards.read_record(position) for position in range(len(shards))]
    assert {(record.label, record.remark) for record in records} == {(-1, "")}
    labels = [shards.read_label(position) for position in range(len(shards))]
    assert [shards.manifest.classes[label] for label in labels] == [record.wnid for record in records]
    assert [view.label for view in inspect(OLD, limit=11)] == labels


def test_it_is_verified(copy: Path) -> None:
    """Its names are those of version 1, without the method."""
    assert not verify(copy, deep=True).problems
    manifest = read_manifest(copy)
    write_manifest(copy, dataclasses.replace(manifest, digest="", format_version=2))
    assert {"sample-lanczos-train-000000.tar" in problem.text for problem in verify(copy).problems} == {True, False}


def test_it_is_compared(copy: Path) -> None:
    """Key by key, as `compare --shards` does."""
    comparison = compare_sets(CompareOptions(shards=(OLD, copy), workers=1))[0]
    assert len(comparison.images) == 11
    assert "they hold the same images" in comparison.verdict[0]


def test_it_is_loaded_in_batches() -> None:
    """Every image once, with its label."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from alexnet_pipeline.batches.loader import Loader

    shards = open_shards(OLD)
    labels = [label for batch in Loader(shards, 4, crop_px=56, train=False) for label in batch[1].tolist()]
    assert labels == [shards.read_label(position) for position in range(11)]


def test_networks_are_trained_and_evaluated_on_it(raw_folders: Path, tmp_path: Path) -> None:
    """The committed set's images are too small for a network, so this one is a new set with an old manifest."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from alexnet_pipeline import evaluate
    from tests.alexnet.made import one_thread, run

    shard(raw_folders, tmp_path, methods="area", split="val", size=80, workers=1, progress=False)
    folder = tmp_path / "area" / "val"
    write_manifest(folder, dataclasses.replace(read_manifest(folder), digest="", format_version=1))
    with one_thread():
        run(folder, tmp_path / "run", epochs=1)
        found = evaluate(tmp_path / "run", shards=folder, device="cpu", progress=False)
    assert found.errors.total_images == 20
