"""The files beside the splits of a method let timm and `datasets` read all of them, and follow every finished split."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from alexnet_pipeline import shard, verify
from alexnet_pipeline.dataset.manifest import Manifest, read_manifest
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.records import Encoding
from alexnet_pipeline.shards.card import CARD, MARK, card, describe, finished_splits, splits_index

SMALL = {"methods": "area", "size": 24, "shard_size": 16, "workers": 1, "progress": False}


@pytest.fixture(scope="module")
def made(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The method's folder of both splits of the sample."""
    out = tmp_path_factory.mktemp("made")
    shard(raw_folders, out, **SMALL)
    return out / "area"


def front_matter(text: bytes) -> dict:
    """The YAML of a card, as `datasets` reads it."""
    return yaml.safe_load(text.decode().split("---\n")[1])


def test_timm_finds_every_shard_below_one_root(made: Path) -> None:
    """timm joins the root and each file name, and trusts the counts."""
    splits = json.loads((made / "_info.json").read_text())["splits"]
    assert set(splits) == {"train", "val"}
    for split, entry in splits.items():
        assert entry["filenames"] == [f"{split}/{path.name}" for path in sorted((made / split).glob("*.tar"))]
        assert entry["name"] == f"imagenet-area-{split}"
        counts = []
        for name in entry["filenames"]:
            with tarfile.open(made / name) as archive:
                counts.append(len(archive.getnames()) // 3)
        assert entry["shard_lengths"] == counts
        assert entry["num_samples"] == sum(counts)
    assert splits["train"]["num_samples"] == 59


def test_the_card_says_how_to_read_each_split(made: Path) -> None:
    """By the names of splits that `datasets` expects, and with the class's name for each label."""
    found = front_matter((made / CARD).read_bytes())
    (config,) = found["configs"]
    assert config["data_files"] == [
        {"split": "train", "path": "train/*.tar"},
        {"split": "validation", "path": "val/*.tar"},
    ]
    features = {each["name"]: each for each in found["dataset_info"]["features"]}
    assert list(features) == ["cls", "jpg", "json", "__key__", "__url__"]
    names = features["cls"]["dtype"]["class_label"]["names"]
    assert names == {str(label): name for label, name in enumerate(read_manifest(made / "train").classes)}
    with tarfile.open(made / "train" / "imagenet-area-train-000000.tar") as archive:
        record = json.loads(archive.extractfile(next(m for m in archive if m.name.endswith(".json"))).read())
    assert {each["name"] for each in features["json"]["struct"]} == {*record, "remark"}


def test_the_body_says_what_the_set_is(made: Path) -> None:
    """Method, definition, geometry, size, counts, and classes with their words, escaped for Markdown."""
    splits = finished_splits(made)
    train = splits["train"]
    words = ("tench, Tinca tinca", "a|b <c>", *[""] * 8)
    text = card({**splits, "train": dataclasses.replace(train, class_words=words)}).decode()
    for part in (
        f"`area`, {train.definition}\n",
        "`center-crop`",
        train.geometry_definition,
        "24 px",
        "JPEG, quality 95, chroma subsampling 4:2:0",
        "| train | 59 | 4 |",
        "| val | 20 | 2 |",
        "| 0 | n90000001 | tench, Tinca tinca |\n",
        "| 1 | n90000002 | a\\|b \\<c\\> |\n",
    ):
        assert part in text


def test_odd_class_names_are_valid_yaml(made: Path) -> None:
    """Quotes, control characters, undecodable bytes, and what YAML would take for something else."""
    names = ('say "a"', "tab\there", "bad\udcff", "yes", "007", "ключ", "back\\slash", "---", "~", "#")
    train = dataclasses.replace(read_manifest(made / "train"), classes=names)
    found = front_matter(card({"train": train}))
    labels = found["dataset_info"]["features"][0]["dtype"]["class_label"]["names"]
    assert list(labels.values()) == [name.replace("\t", "\\t").replace("\udcff", "\\udcff") for name in names]


@pytest.mark.parametrize("change", [{"quality": 90}, {"size_px": 32}, {"encoding": "png"}, "classes"])
def test_a_split_of_another_kind_is_named_not_described(made: Path, change: dict | str) -> None:
    """Otherwise its labels would get the other's names, or its images another size."""
    splits = finished_splits(made)
    val = splits["val"]
    if change == "classes":
        splits["val"] = dataclasses.replace(val, classes=val.classes[::-1])
    else:
        splits["val"] = dataclasses.replace(val, options=dataclasses.replace(val.options, **change))
    text = card(splits)
    assert [each["split"] for each in front_matter(text)["configs"][0]["data_files"]] == ["train"]
    assert b"of another kind: `val/`." in text
    assert b"| val |" not in text


def test_other_limits_and_seeds_are_of_the_same_kind(made: Path) -> None:
    """They choose and order images, and change none."""
    splits = finished_splits(made)
    options = dataclasses.replace(splits["val"].options, seed=7, limit_images=20, name="other", shard_size_images=3)
    splits["val"] = dataclasses.replace(splits["val"], options=options)
    assert len(front_matter(card(splits))["configs"][0]["data_files"]) == 2


def test_a_split_without_images_is_not_configured(made: Path) -> None:
    """`datasets` fails where a pattern matches no file."""
    splits = finished_splits(made)
    empty = dataclasses.replace(splits["val"], shards=(), total_images=0)
    found = front_matter(card({**splits, "val": empty}))
    assert [each["split"] for each in found["configs"][0]["data_files"]] == ["train"]
    assert "configs" not in front_matter(card({"val": empty}))


def test_the_order_in_which_splits_finish_does_not_matter(made: Path, raw_folders: Path, tmp_path: Path) -> None:
    """The last one describes both, to the same bytes."""
    for split in ("val", "train"):
        shard(raw_folders, tmp_path, split=split, **SMALL)
    for name in ("_info.json", CARD):
        assert (tmp_path / "area" / name).read_bytes() == (made / name).read_bytes()


def test_siblings_that_are_unfinished_or_damaged_are_left_out(raw_folders: Path, tmp_path: Path) -> None:
    """The split that finishes is described without them."""
    shard(raw_folders, tmp_path, split="val", shard_range=(0, 1), **SMALL)
    shard(raw_folders, tmp_path, split="train", **SMALL)
    index = tmp_path / "area" / "_info.json"
    assert set(json.loads(index.read_text())["splits"]) == {"train"}
    shard(raw_folders, tmp_path, split="val", **SMALL)
    assert set(json.loads(index.read_text())["splits"]) == {"train", "val"}
    (tmp_path / "area" / "val" / "manifest.json").write_bytes(b"{}")
    shard(raw_folders, tmp_path, split="train", restart=True, **SMALL)
    assert set(json.loads(index.read_text())["splits"]) == {"train"}
    assert b"validation" not in (tmp_path / "area" / CARD).read_bytes()


def test_a_folder_that_is_not_named_after_its_split_is_left_out(made: Path, tmp_path: Path) -> None:
    """A copy under another split's name would be read as that split."""
    (tmp_path / "val").symlink_to(made / "train")
    (tmp_path / "train").symlink_to(made / "train")
    assert set(finished_splits(tmp_path)) == {"train"}


def test_the_users_own_card_is_left_alone(made: Path, tmp_path: Path) -> None:
    """One without our line, before or after an edit; one with it is rewritten."""
    splits = finished_splits(made)
    (tmp_path / CARD).write_text("# mine\n")
    describe(tmp_path, splits)
    assert (tmp_path / CARD).read_text() == "# mine\n"
    assert (tmp_path / "_info.json").read_bytes() == splits_index(splits)
    (tmp_path / CARD).write_text(f"---\n{MARK}\n---\nold\n")
    describe(tmp_path, splits)
    assert (tmp_path / CARD).read_bytes() == card(splits)


def test_a_card_that_cannot_be_written_is_one_line(made: Path, tmp_path: Path) -> None:
    """With its path, and before the manifest, so that the same command completes the set."""
    (tmp_path / CARD).mkdir()
    with pytest.raises(PipelineError, match=CARD):
        describe(tmp_path, finished_splits(made))


def test_a_set_is_finished_only_once_it_is_described(raw_folders: Path, tmp_path: Path) -> None:
    """A run that fails between leaves no manifest, and the same call completes it."""
    blocked = tmp_path / "area" / CARD
    blocked.mkdir(parents=True)
    with pytest.raises(PipelineError, match=CARD):
        shard(raw_folders, tmp_path, split="val", **SMALL)
    assert not list(tmp_path.rglob("manifest.json"))
    blocked.rmdir()
    shard(raw_folders, tmp_path, split="val", **SMALL)
    assert blocked.read_bytes() == card(finished_splits(tmp_path / "area"))
    assert not verify(tmp_path).problems


HOLD = """
import pathlib, sys, time
from alexnet_pipeline.files import locked
with locked(pathlib.Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_splits_that_finish_at_once_wait_for_each_other(raw_folders: Path, tmp_path: Path) -> None:
    """Each reads what the other has finished, so that the last one describes both."""
    lock = tmp_path / "area" / ".state" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE)
    assert holder.stdout.readline()
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), str(tmp_path)]
    command += ["--method", "area", "--split", "val", "--size", "24"]
    other = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list(tmp_path.rglob("mean.npy")):
        time.sleep(0.05)
        assert other.poll() is None
    time.sleep(0.5)
    assert not list(tmp_path.rglob("manifest.json"))
    holder.kill()
    holder.communicate()
    assert other.wait(60) == 0
    assert set(finished_splits(tmp_path / "area")) == {"val"}


def rows_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """The members of each sample by key, by Python's tarfile."""
    rows: dict[str, dict[str, bytes]] = {}
    for tar in sorted(folder.glob("*.tar")):
        with tarfile.open(tar) as archive:
            for member in archive:
                key, _, extension = member.name.partition(".")
                rows.setdefault(key, {})[extension] = archive.extractfile(member).read()
    return rows


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("encoding", "geometry"), [("jpg", "center-crop"), ("png", "pad"), ("raw", "squash"), ("raw", "shorter")]
)
def test_datasets_reads_every_row(
    raw_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: Encoding, geometry: str
) -> None:
    """`load_dataset` of the method's folder gives all rows with labels, class names, records and images."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets", reason="Hugging Face's `datasets` is not installed")
    image = pytest.importorskip("PIL.Image", reason="`datasets` needs Pillow")
    shard(raw_folders, tmp_path / "out", **SMALL, encoding=encoding, geometry=geometry)
    folder = tmp_path / "out" / "area"
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    for theirs, ours in (("train", "train"), ("validation", "val")):
        wanted, manifest = rows_of(folder / ours), read_manifest(folder / ours)
        found = loaded[theirs]
        assert found.features["cls"].names == list(manifest.classes)
        assert [row["__key__"] for row in found] == list(wanted)
        for row in found:
            members = wanted[row["__key__"]]
            assert row["cls"] == int(members["cls"])
            assert {**json.loads(members["json"]), "remark": None} == row["json"]
            if encoding == "raw":
                assert (np.array(row["npy"], np.uint8) == np.load(io.BytesIO(members["npy"]))).all()
            else:
                pixels = np.asarray(image.open(io.BytesIO(members[encoding])))
                assert (np.asarray(row[encoding]) == pixels).all()
            assert row["__url__"].startswith(os.fspath(folder / ours))


def test_the_card_of_a_manifest_that_is_not_known_whole(made: Path) -> None:
    """Version 1 had neither words nor remarks; its sets are described like others."""
    old: Manifest = dataclasses.replace(read_manifest(made / "val"), format_version=1)
    assert b"n90000001" in card({"val": old})
    names = json.loads(splits_index({"val": old}))["splits"]["val"]
    assert names["name"] == "imagenet-val"
