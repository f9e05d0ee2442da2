"""Plans are compared by what determines the shards, and a restart removes only what a run wrote."""

import dataclasses
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alexnet_pipeline.dataset.manifest import FileRecord, ShardRecord
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.records import Ignored, SetOptions, SourceAccount, to_json
from alexnet_pipeline.shards.journal import PLAN, JournalEntry, SetPlan, SetState

PLANNED = SetPlan(
    format_version=2,
    split="val",
    options=SetOptions(),
    definition="k(x)",
    geometry_definition="crop",
    versions={"numpy": "2"},
    classes=("n01440764", "n01443537"),
    images=20,
    shards=2,
    input="0" * 64,
    source_rejects=(),
).sealed()


def test_what_describes_the_source_does_not_count() -> None:
    """The same images in another layout have the same plan, and a README beside them does not forbid to resume."""
    account = SourceAccount("class folders", "n01440764/", 20, (Ignored("README.md", "not an image", 1),))
    described = dataclasses.replace(PLANNED, source=account, class_words=("tench, Tinca tinca", "goldfish")).sealed()
    assert described == PLANNED
    assert described.fingerprint == PLANNED.fingerprint
    assert dataclasses.replace(PLANNED, classes=PLANNED.classes[::-1]).sealed().fingerprint != PLANNED.fingerprint


def test_a_recorded_plan_is_read_with_its_source(tmp_path: Path) -> None:
    """`merge` writes it into the manifest."""
    plan = dataclasses.replace(PLANNED, source=SourceAccount("folders", "x"), class_words=("tench", ""))
    state = SetState(tmp_path)
    assert not state.started
    state.begin(plan)
    begun = state.begun()
    assert begun is not None
    assert (begun.source, begun.class_words) == (plan.source, plan.class_words)
    assert state.started


def test_clearing_removes_what_was_written_and_nothing_else(tmp_path: Path) -> None:
    """The planned shards and those of the journal, whole and partial; other tools' files and the user's stay."""
    ours = ["manifest.json", "_info.json", "shardindex.json", "mean.npy", ".part-imagenet-antialias-val-000001.tar"]
    ours += ["imagenet-antialias-val-000000.tar", "imagenet-antialias-val-000000.idx", "imagenet-val-000007.tar"]
    theirs = ["imagenet-antialias-val-000000.tar.idx", "dataset_infos.json", "notes.json", "mine.npy", "mine.tar"]
    theirs += ["imagenet-antialias-val-000002.tar", "photos-000000.tar", ".part-photos-000000.tar"]
    for name in (*ours, *theirs):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".nv-meta").mkdir()
    (tmp_path / ".nv-meta" / "index.json").write_bytes(b"x")
    state = SetState(tmp_path)
    state.begin(PLANNED)  # of two shards
    state.commit(_entry(1, "imagenet-val-000007.tar", b"x"))
    state.clear()
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, ".nv-meta", ".state"}
    assert (tmp_path / ".nv-meta" / "index.json").exists()
    assert not (tmp_path / ".state" / PLAN).exists()


def test_a_record_counts_only_if_it_is_whole_and_its_files_are_there(tmp_path: Path) -> None:
    """A crash may have cut it off, or a copy may lack the tar; a store's list may lack its name."""
    state = SetState(tmp_path)
    state.begin(PLANNED)
    (tmp_path / "a.tar").write_bytes(b"x")
    state.commit(_entry(0, "a.tar", b"x"))
    state.commit(_entry(1, "b.tar", b"y"))
    assert set(state.journal()) == {0}
    (tmp_path / "b.tar").write_bytes(b"y")
    assert set(state.journal(expected=2)) == {0, 1}
    record = tmp_path / ".state" / "done" / "000001.json"
    record.write_bytes(record.read_bytes()[:-9])
    assert set(state.journal()) == {0}
    state.uncommit(0, "a")
    assert not state.journal()


def test_many_may_begin_at_once(tmp_path: Path) -> None:
    """With one plan; another one is refused, and no partial file stays."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: SetState(tmp_path).begin(PLANNED), range(64)))
    assert [path.name for path in (tmp_path / ".state").iterdir()] == [PLAN]
    other = dataclasses.replace(PLANNED, images=3).sealed()
    state = SetState(tmp_path)
    with pytest.raises(RefusedError, match="begun with other settings a moment ago"):
        state.begin(other)
    assert state.begun() == PLANNED
    state.begin(other, again=True)
    assert state.begun() == other


def test_of_two_journals_the_one_that_describes_the_tar_counts(tmp_path: Path) -> None:
    """Ranges that overlapped, written on machines whose clocks differ: only the content tells which came last."""
    state = SetState(tmp_path)
    state.begin(PLANNED)
    for name, content in (("a.tar", b"first"), ("b.tar", b"other")):
        (tmp_path / name).write_bytes(content)
    for first, content in ((0, b"first"), (1, b"other")):
        path = tmp_path / ".state" / f"journal-{first:06d}-000002.jsonl"
        path.write_bytes(to_json(_entry(1, "a.tar", content)) + b'{"cut off')
    names = sorted((tmp_path / ".state").glob("journal-*"))
    for newest in (0, 1):
        for at, path in enumerate(names):
            os.utime(path, (at == newest, at == newest))
        for content in (b"first", b"other"):
            (tmp_path / "a.tar").write_bytes(content)
            tar = state.journal()[1].shard.tar
            assert tar is not None
            assert tar.sha256 == hashlib.sha256(content).hexdigest()
    (tmp_path / "a.tar").write_bytes(b"third")
    assert not state.journal()


def _entry(index: int, name: str, content: bytes) -> JournalEntry:
    return JournalEntry(ShardRecord(index, FileRecord.of(name, content), None, "", 1, "k", ()), "stamp")
