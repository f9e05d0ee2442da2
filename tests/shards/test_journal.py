"""Plans are compared by what determines the shards, and a restart removes only what a run wrote."""

import dataclasses
from pathlib import Path

from alexnet_pipeline.records import Ignored, SetOptions, SourceAccount
from alexnet_pipeline.shards.journal import PLAN, SetPlan, SetState

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
    """Files of this version and of version 1, whole and partial; other tools' files and the user's stay."""
    ours = [
        "manifest.json",
        "_info.json",
        "shardindex.json",
        "mean.npy",
        "a-lanczos-val-000000.tar",
        "a-val-000001.idx",
    ]
    ours += [".part-a-lanczos-val-000002.tar"]
    theirs = ["a-lanczos-val-000000.tar.idx", "dataset_infos.json", "notes.json", "mine.npy", "mine.tar"]
    for name in (*ours, *theirs):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".nv-meta").mkdir()
    (tmp_path / ".nv-meta" / "index.json").write_bytes(b"x")
    state = SetState(tmp_path)
    state.begin(PLANNED)
    state.clear()
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, ".nv-meta", ".state"}
    assert (tmp_path / ".nv-meta" / "index.json").exists()
    assert not (tmp_path / ".state" / PLAN).exists()
