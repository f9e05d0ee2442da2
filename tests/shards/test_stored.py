"""The listing of a source is kept beside the output: the same as a fresh one, and used only while the source is."""

import os
import shutil
from pathlib import Path

import pytest

from alexnet_pipeline import shard
from alexnet_pipeline.errors import ChangedInputError
from alexnet_pipeline.progress import Message
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards import sets, stored
from alexnet_pipeline.shards.sets import plan_source
from alexnet_pipeline.storage.remote import RemotePath
from tests.storage.server import upload

HOW = {"size": 16, "shard_size": 8, "workers": 1}


def run(source: Path, out: Path, **options) -> list[str]:
    """Run, and return the messages."""
    events: list = []
    shard(source, out, progress=events.append, **{**HOW, **options})
    return [event.text for event in events if isinstance(event, Message)]


def used(messages: list[str]) -> bool:
    """Whether a kept listing was used."""
    return any(message.startswith("as listed on") for message in messages)


@pytest.mark.parametrize("layout", ["folders", "tars"])
def test_it_is_what_was_listed(raw_folders, raw_tars, tmp_path, layout) -> None:
    """Every image, the order, stamps, rejects, words and the account."""
    source = {"folders": raw_folders, "tars": raw_tars}[layout]
    options = SetOptions(shard_size_images=7, seed=3)
    fresh = plan_source(source, tmp_path, options, (), SourceOptions())
    place = stored.place_of(tmp_path, source, SourceOptions(), (), options)
    stored.save(place, fresh)
    kept = plan_source(source, tmp_path, options, (), SourceOptions())
    assert kept.listed and not fresh.listed
    assert kept.contents.account == fresh.contents.account
    assert (kept.words, kept.watched) == (fresh.words, fresh.watched)
    for mine, theirs in zip(kept.plans, fresh.plans, strict=True):
        assert (mine.digest, mine.stamps, mine.shards) == (theirs.digest, theirs.stamps, theirs.shards)
        assert mine.listing.rejects == theirs.listing.rejects
        assert [mine.images(i) for i in range(mine.shards)] == [theirs.images(i) for i in range(theirs.shards)]


def test_names_that_are_not_utf8_survive(raw_folders, tmp_path) -> None:
    """As bytes."""
    source = tmp_path / os.fsdecode(b"raw-\xff") / "cat"
    source.mkdir(parents=True)
    for path in list((raw_folders / "val").glob("*/*"))[:3]:
        shutil.copy(path, source / os.fsdecode(b"\xfe" + path.name.encode()))
    run(source.parent, tmp_path / "out", shard_range=(0, 1))
    assert used(run(source.parent, tmp_path / "out"))


def test_a_second_run_does_not_list_again(raw_folders, tmp_path, monkeypatch) -> None:
    """Neither a resumed nor a finished one; one with another order or split does."""
    run(raw_folders, tmp_path, shard_range=(0, 1))

    def refuse(*arguments) -> None:
        raise AssertionError("the source is listed again")

    with monkeypatch.context() as patched:
        patched.setattr(sets, "open_source", refuse)
        for options in ({"part": (1, 2)}, {}, {}):
            assert used(run(raw_folders, tmp_path, **options))
        for options in ({"seed": 1}, {"split": ["val"]}, {"rescan": True}):
            with pytest.raises(AssertionError, match="listed again"):
                run(raw_folders, tmp_path, **options)


def add(source: Path) -> None:
    shutil.copy(next(source.glob("*/*")), next(source.iterdir()) / "new.JPEG")


def remove(source: Path) -> None:
    next(source.glob("*/*")).unlink()


def replace(source: Path) -> None:
    (first, second) = sorted(source.glob("*/*"))[:2]
    first.write_bytes(second.read_bytes())


def touch(source: Path) -> None:
    os.utime(next(source.glob("*/*")), ns=(1, 1))


def add_class(source: Path) -> None:
    shutil.copytree(next(source.iterdir()), source / "zebra")


def add_notes(source: Path) -> None:
    (source / "notes.txt").write_text("new")


@pytest.mark.parametrize("change", [add, remove, replace, touch, add_class, add_notes])
def test_a_changed_source_is_listed_again(raw_folders, tmp_path, monkeypatch, change) -> None:
    """Whatever was changed, as long as the set is not finished."""
    source = tmp_path / "raw"
    shutil.copytree(raw_folders / "val", source)
    run(source, tmp_path / "out", shard_range=(0, 1))
    change(source)
    listed = []
    monkeypatch.setattr(sets, "open_source", lambda *arguments: listed.append(1) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(source, tmp_path / "out")
    assert listed


def test_a_changed_table_is_read_again(raw_folders, tmp_path) -> None:
    """A list of classes lies outside the source."""
    classes = tmp_path / "classes.txt"
    names = sorted(path.name for path in (raw_folders / "val").iterdir())
    classes.write_text("\n".join(names))
    run(raw_folders / "val", tmp_path / "out", classes=classes, plan_only=True)
    assert used(run(raw_folders / "val", tmp_path / "out", classes=classes, plan_only=True))
    classes.write_text("\n".join(names) + "\n")
    os.utime(classes, ns=(1, 1))
    assert not used(run(raw_folders / "val", tmp_path / "out", classes=classes, plan_only=True))


def test_a_replaced_tar_is_listed_again(raw_tars, tmp_path) -> None:
    """Archives are watched, also by runs of finished sets."""
    source = tmp_path / "raw"
    shutil.copytree(raw_tars, source)
    run(source, tmp_path / "out", split=["val"])
    assert used(run(source, tmp_path / "out", split=["val"]))
    tar = next(source.glob("*val*.tar"))
    os.utime(tar, ns=(1, 1))
    assert not used(run(source, tmp_path / "out", split=["val"]))


def test_only_the_images_of_a_part_are_asked_for(raw_folders, tmp_path) -> None:
    """An array job does not ask for the other jobs' files."""
    source = tmp_path / "raw"
    shutil.copytree(raw_folders / "val", source)
    run(source, tmp_path / "out", plan_only=True)
    options = SetOptions(size_px=16, shard_size_images=8)
    (plan,) = plan_source(source, tmp_path / "out", options, (), SourceOptions()).plans
    os.utime(plan.images(2)[0].path, ns=(1, 1))
    assert stored.images_unchanged(plan, (0, 2))
    assert not stored.images_unchanged(plan, (2, 3))


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_listing_is_made_anew(raw_folders, tmp_path, damage) -> None:
    """Also one that a crash cut off."""
    run(raw_folders, tmp_path, plan_only=True)
    (place,) = (tmp_path / ".state").glob("listing-*.npz")
    whole = place.read_bytes()
    place.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert not used(run(raw_folders, tmp_path, plan_only=True))
    assert used(run(raw_folders, tmp_path, plan_only=True))


def test_a_listing_that_a_store_belies_is_dropped(raw_folders, bucket: RemotePath, tmp_path) -> None:
    """Nobody is told of an object that was replaced before it is read; the next run lists again."""
    upload(raw_folders / "val", bucket / "raw")
    run(bucket / "raw", tmp_path, plan_only=True)
    image = next(raw_folders.glob("val/*/*")).relative_to(raw_folders / "val").as_posix()
    (bucket / "raw" / image).put(next(raw_folders.glob("train/*/*")).read_bytes(), create=False)
    with pytest.raises(ChangedInputError, match="changed after the source was listed"):
        run(bucket / "raw", tmp_path)
    messages = run(bucket / "raw", tmp_path)
    assert not used(messages)
    assert used(run(bucket / "raw", tmp_path))
