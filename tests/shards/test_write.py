"""What a decoder remarks reaches the sample, its shard's record and the manifest."""

import dataclasses
import json
import os
import tarfile
from pathlib import Path

import pytest

from alexnet_pipeline.dataset.open import SampleRecord
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.records import Orientation, RawImage, Remark, SetOptions, from_json, to_json
from alexnet_pipeline.shards.journal import JournalEntry, SetState
from alexnet_pipeline.shards.plan import ShardJob, Target
from alexnet_pipeline.shards.write import write_job

TEXT = "corrupt EXIF, ignoré"


def job(raw: Path, out: Path, options: SetOptions) -> ShardJob:
    """One shard of three images."""
    images = []
    for path in sorted((raw / "val").glob("*/*"))[:3]:
        size, version = path.stat().st_size, path.stat().st_mtime_ns
        name = f"{path.parent.name}/{path.name}"
        images.append(RawImage(path.stem, 7, path.parent.name, name, os.fspath(path), 0, size, version))
    SetState(out).sums.path(0).parent.mkdir(parents=True)
    return ShardJob("val", 0, tuple(images), (Target(out, options),), classes=10)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Let the decoder remark on the second image; the options that it was asked with."""
    found: list[dict] = []
    decode = codec.decode_remarked

    def decode_remarked(data: bytes, *, max_pixels: int, orientation: Orientation) -> codec.Decoded:
        found.append({"max_pixels": max_pixels, "orientation": orientation})
        pixels = decode(data, max_pixels=max_pixels, orientation=orientation).pixels
        return codec.Decoded(pixels, TEXT if len(found) == 2 else "")

    monkeypatch.setattr(codec, "decode_remarked", decode_remarked)
    return found


def test_a_remark_is_kept_with_its_image(raw_folders: Path, tmp_path: Path, asked: list[dict]) -> None:
    """In the sample's record, and by name in the shard's; other samples have no such field."""
    planned = job(raw_folders, tmp_path, SetOptions(method="area", size_px=16))
    (entry,) = write_job(planned, lambda position: None)
    assert entry.shard.remarks == (Remark(planned.images[1].name, TEXT),)
    assert from_json(to_json(entry), JournalEntry) == entry
    with tarfile.open(tmp_path / "imagenet-area-val-000000.tar") as archive:
        records = [archive.extractfile(member).read() for member in archive if member.name.endswith(".json")]
    assert [from_json(record, SampleRecord).remark for record in records] == ["", TEXT, ""]
    assert [from_json(record, SampleRecord).label for record in records] == [7, 7, 7]
    assert ["remark" in json.loads(record) for record in records] == [False, True, False]
    for record in records:
        assert record.isascii()
        assert list(json.loads(record)) == sorted(json.loads(record))


def test_the_decoder_is_asked_with_the_sets_options(raw_folders: Path, tmp_path: Path, asked: list[dict]) -> None:
    """The cap on pixels, and what to do with EXIF orientation."""
    options = SetOptions(method="area", size_px=16, max_pixels=5_000_000, orientation="ignore")
    write_job(job(raw_folders, tmp_path, options), lambda position: None)
    assert asked == [{"max_pixels": 5_000_000, "orientation": "ignore"}] * 3


def test_a_rejected_image_has_no_remark(raw_folders: Path, tmp_path: Path) -> None:
    """It is a reject, and nothing else."""
    planned = job(raw_folders, tmp_path, SetOptions(method="area", size_px=16))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    place = {"path": os.fspath(broken), "size_bytes": 8, "version": broken.stat().st_mtime_ns}
    first = dataclasses.replace(planned.images[0], **place)
    (entry,) = write_job(dataclasses.replace(planned, images=(first,)), lambda position: None)
    assert (len(entry.shard.rejects), entry.shard.remarks, entry.shard.tar) == (1, (), None)


def test_too_little_memory_ends_the_run(raw_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the machine's fault, so that no image is rejected for it, and the same command resumes."""
    from alexnet_pipeline.errors import PipelineError
    from alexnet_pipeline.shards.workers import _answer

    def failing(data: bytes, **options: object) -> codec.Decoded:
        raise MemoryError

    monkeypatch.setattr(codec, "decode_remarked", failing)
    answer = _answer(0, job(raw_folders, tmp_path, SetOptions(method="area", size_px=16)), [0])
    assert isinstance(answer, PipelineError)
    assert "ran out of memory in shard 0 of val" in str(answer)
    assert not list(tmp_path.glob("*.tar"))
