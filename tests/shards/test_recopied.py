"""A source that was copied again is compared: the same content is kept, other content is written anew."""

import os
import shutil

import pytest

from alexnet_pipeline import shard
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Message
from tests.storage.server import contents, files, upload

HOW = {"methods": ["nearest", "bilinear"], "size": 32, "shard_size": 8, "split": ["train"]}


def run(source, out, **options) -> list[str]:
    """Run, and return the messages."""
    events: list = []
    shard(source, out, progress=events.append, **{**HOW, **options})
    return [event.text for event in events if isinstance(event, Message)]


def copied_again(source) -> None:
    for path in source.rglob("*"):
        os.utime(path, ns=(5, 5))


@pytest.fixture
def source(raw_folders, tmp_path):
    """A copy of the sample."""
    return shutil.copytree(raw_folders, tmp_path / "raw")


@pytest.mark.parametrize("span", [(0, 7), None])
def test_the_same_content_is_kept(source, tmp_path, span) -> None:
    """Of a set that is finished or is not, also where an image was rejected; a later run does not compare again."""
    run(source, tmp_path / "out", **({"shard_range": span} if span else {}))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tar")}
    copied_again(source)
    count = 7 if span else 8
    messages = run(source, tmp_path / "out", rescan=True)
    assert f"train: inputs of {count} shards have other times than when they were read" in messages
    assert f"train: {count} of them have the same content, 0 do not" in messages
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not any("other times" in message for message in run(source, tmp_path / "out", rescan=True))
    run(source, tmp_path / "fresh")
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_an_image_that_is_rejected_for_another_reason_is_other_content(source, tmp_path) -> None:
    """Of a finished set it is refused, as any other change is."""
    run(source, tmp_path / "out")
    (reject,) = read_manifest(tmp_path / "out" / "nearest" / "train").rejects()
    (source / "train" / reject.name).write_bytes(b"no image at all")
    with pytest.raises(RefusedError, match="inputs of 1 of its shards were modified since"):
        run(source, tmp_path / "out", rescan=True)


def test_other_content_is_written_anew(source, raw_folders, tmp_path) -> None:
    """Only its shard, and for every method."""
    run(source, tmp_path / "out", shard_range=(0, 8))
    copied_again(source)
    victim = next((source / "train").glob("*/*"))
    victim.write_bytes(next((raw_folders / "val").glob("*/*")).read_bytes())
    assert any("do not" in message for message in run(source, tmp_path / "out"))
    run(source, tmp_path / "fresh")
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_objects_that_were_uploaded_again_are_kept(raw_folders, bucket, tmp_path) -> None:
    """A store that counts versions gives them other ETags; here other bytes came and went."""
    upload(raw_folders, bucket / "raw")
    run(bucket / "raw", bucket / "out", shard_range=(0, 3))
    before = contents(bucket / "out")
    for name, _ in list((bucket / "raw").walk()):
        data = (bucket / "raw" / name).read_whole(1 << 30)
        (bucket / "raw" / name).put(b"other", create=False)
        (bucket / "raw" / name).put(data, create=False)
    run(bucket / "raw", bucket / "out", rescan=True)
    after = contents(bucket / "out")
    assert before.items() <= after.items()
