"""Whatever is damaged in a finished data set is found and named."""

import dataclasses
import errno
import hashlib
import io
import os
import shutil
from pathlib import Path

import cv2
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
    [
        "imagenet-antialias-val-000001.tar",
        "imagenet-antialias-val-000001.idx",
        "mean.npy",
        "shardindex.json",
        "_info.json",
    ],
)
def test_missing_files_are_found(copy, name) -> None:
    """By name."""
    (copy / name).unlink()
    assert any(name in problem.path for problem in api.verify(copy).problems)


@pytest.mark.parametrize(
    "name",
    [
        "imagenet-antialias-val-000009.tar",
        "imagenet-val-000000.tar",
        "x.idx",
        ".part-imagenet-antialias-val-000001.tar",
        "notes.txt",
        "README.md",
        ".DS_Store",
        "manifest.json~",
        "LICENSE",
    ],
)
def test_extra_files_are_found(copy, name) -> None:
    """A shard that nobody planned would be trained on, and any other file is not of the data set."""
    (copy / name).write_bytes(b"x")
    assert [name in problem.path for problem in api.verify(copy).problems] == [True]


def test_an_extra_folder_is_found(copy) -> None:
    """Once, whatever it holds."""
    (copy / "more" / "deep").mkdir(parents=True)
    (copy / "more" / "deep" / "x.txt").write_bytes(b"x")
    assert [problem.path for problem in api.verify(copy).problems] == [str(copy / "more")]


def test_companions_of_other_tools_are_left_alone(copy) -> None:
    """Their indexes lie beside the shards, and are not of the data set."""
    for tar in copy.glob("*.tar"):
        tar.with_name(f"{tar.name}.idx").write_bytes(b"x")
    (copy / "dataset_infos.json").write_bytes(b"{}")
    (copy / ".nv-meta").mkdir()
    (copy / ".nv-meta" / "index.sqlite").write_bytes(b"x")
    (copy / ".state").mkdir(exist_ok=True)
    (copy / ".state" / "lock").write_bytes(b"")
    assert not api.verify(copy).problems


def test_names_that_are_not_the_formats_are_found(copy) -> None:
    """Where all files are as the manifest says, but webdataset would mix them up with another method's."""
    manifest = read_manifest(copy)
    tar, idx = manifest.shards[1].tar, manifest.shards[1].idx
    shards = list(manifest.shards)
    (copy / tar.name).rename(copy / "imagenet-val-000001.tar")
    shards[1] = dataclasses.replace(shards[1], tar=dataclasses.replace(tar, name="imagenet-val-000001.tar"), idx=idx)
    write_manifest(copy, dataclasses.replace(manifest, digest="", shards=tuple(shards)))
    (problem,) = api.verify(copy).problems
    assert "shard 1 is named imagenet-val-000001.tar, expected imagenet-antialias-val-000001.tar" in problem.text


def test_a_method_of_another_release_is_a_problem(copy) -> None:
    """Its names cannot be checked; this is said, and the rest is checked all the same."""
    manifest = read_manifest(copy)
    options = dataclasses.replace(manifest.options, method="unheard-of")
    write_manifest(copy, dataclasses.replace(manifest, digest="", options=options))
    (problem,) = api.verify(copy).problems
    assert "no method 'unheard-of'" in problem.text


def test_words_for_other_classes_are_found(copy) -> None:
    """There is one text for each class, or none at all."""
    write_manifest(copy, dataclasses.replace(read_manifest(copy), digest="", class_words=("tench", "goldfish")))
    (problem,) = api.verify(copy).problems
    assert "10 classes, but words for 2" in problem.text


@pytest.fixture
def method(sound, tmp_path) -> Path:
    """The folder of a method, with one split, that may be damaged."""
    return Path(shutil.copytree(sound.parent, tmp_path / "antialias"))


def test_the_index_of_all_splits_is_checked(method) -> None:
    """It must say what the manifests say; a split that is gone, or a count that is not right, would mislead timm."""
    index = method / "_info.json"
    assert not api.verify(method.parent).problems
    whole = index.read_bytes()
    for damage in (whole.replace(b'"num_samples": 20', b'"num_samples": 19'), b"", whole.replace(b"val/", b"")):
        index.write_bytes(damage)
        for place in (method.parent, method):
            (problem,) = api.verify(place).problems
            assert problem.path == str(index)
        assert not api.verify(method / "val").problems
    index.unlink()
    assert not api.verify(method).problems


def test_a_damaged_split_is_not_reported_twice(method) -> None:
    """The index of all splits cannot be checked without its manifest."""
    (method / "val" / "manifest.json").write_bytes(b"{}")
    (problem,) = api.verify(method).problems
    assert problem.path == str(method / "val")


def test_the_card_is_the_users_to_edit(method) -> None:
    """It is not checked."""
    (method / "README.md").write_text("# mine")
    assert not api.verify(method).problems
    (method / "README.md").unlink()
    assert not api.verify(method).problems


def test_cut_and_swapped_shards_are_found(copy) -> None:
    """Sizes and hashes are compared with the manifest's."""
    first, second = (copy / f"imagenet-antialias-val-00000{number}.tar" for number in (0, 1))
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
    fewer = {"classes": manifest.classes[:9], "class_words": manifest.class_words[:9], "class_totals_images": totals}
    write_manifest(copy, dataclasses.replace(manifest, digest="", **fewer))
    problems = api.verify(copy).problems
    assert len(problems) == 2  # the sample's last class has two images
    assert all("expected 0 to 8" in problem.text for problem in problems)


def _edited(folder: Path, **changes: object) -> list[str]:
    """The problems of a set whose manifest was changed and sealed again, without decoding."""
    write_manifest(folder, dataclasses.replace(read_manifest(folder), digest="", **changes))
    return [problem.text for problem in api.verify(folder).problems]


def test_wrong_class_totals_are_found(copy) -> None:
    """Where their sum stays the same, and a digest that was made again fits."""
    first, second, *others = read_manifest(copy).class_totals_images
    problems = _edited(copy, class_totals_images=(first + 1, second - 1, *others))
    assert len(problems) == 2
    assert all("images of class" in text for text in problems)


def test_another_order_of_classes_is_found(copy) -> None:
    """The record of a sample says its class."""
    names = read_manifest(copy).classes
    problems = _edited(copy, classes=(names[1], names[0], *names[2:]))
    assert problems
    assert all("by its record, but has label" in text for text in problems)


def test_a_wrong_number_of_enlarged_images_is_found(copy) -> None:
    """Each record says whether its image was."""
    (problem,) = _edited(copy, upsampled_images=7)
    assert "says 7 enlarged images" in problem


def test_a_key_in_two_shards_is_found(copy) -> None:
    """A shard that is there twice under two names, with checksums that fit."""
    manifest = read_manifest(copy)
    shards = list(manifest.shards)
    for suffix in (".tar", ".idx"):
        shutil.copy(*(copy / f"imagenet-antialias-val-00000{number}{suffix}" for number in (0, 1)))
    shards[1] = dataclasses.replace(
        shards[0],
        index=1,
        tar=dataclasses.replace(shards[0].tar, name=shards[1].tar.name),
        idx=dataclasses.replace(shards[0].idx, name=shards[1].idx.name),
    )
    problems = _edited(copy, shards=tuple(shards))
    assert sum("occurs 2 times" in text for text in problems) == shards[0].samples_images


@pytest.mark.parametrize("encoding", ["jpg", "png"])
def test_deep_finds_statistics_that_are_not_the_tars(raw_folders, tmp_path, encoding) -> None:
    """Mean, covariance, its PCA, and the mean image, under checksums that fit."""
    api.shard(raw_folders, tmp_path, split=["val"], size=64, encoding=encoding)
    folder = tmp_path / "antialias" / "val"
    sound = read_manifest(folder)
    stats = sound.statistics
    doubled = tuple(tuple(4 * value for value in row) for row in stats.covariance)
    longer = tuple(2 * value for value in stats.pca_deviations)
    for wrong, words in (
        (dataclasses.replace(stats, mean=(0.0, 0.0, 0.0)), "for the mean of the pixels"),
        (dataclasses.replace(stats, covariance=doubled, pca_deviations=longer), "for deviations of the pixels"),
        (dataclasses.replace(stats, pca_deviations=longer), "PCA"),
    ):
        assert not _edited(folder, statistics=wrong)
        (problem,) = api.verify(folder, deep=True).problems
        assert words in problem.text
    image = io.BytesIO()
    np.save(image, np.full((64, 64, 3), 7, np.float32))
    (folder / "mean.npy").write_bytes(image.getvalue())
    files = [FileRecord.of(file.name, (folder / file.name).read_bytes()) for file in sound.files]
    assert not _edited(folder, statistics=stats, files=tuple(files))
    (problem,) = api.verify(folder, deep=True).problems
    assert problem.path == str(folder / "mean.npy")


def test_noise_is_no_wrong_statistic(tmp_path) -> None:
    """JPEG takes half of the variance of such colours away."""
    folder = tmp_path / "raw" / "noise"
    folder.mkdir(parents=True)
    random = np.random.Generator(np.random.PCG64(0))
    for number in range(4):
        pixels = random.integers(0, 2, (64, 64, 3), np.uint8) * 255
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    api.shard(folder.parent, tmp_path / "out", size=64, methods=["nearest"], quality=50)
    assert not api.verify(tmp_path / "out", deep=True).problems


def test_a_linked_folder_is_looked_into(method) -> None:
    """Links to other disks are common; a link to a folder above does not go on for ever."""
    elsewhere = method.parent / "elsewhere"
    (method / "val").rename(elsewhere)
    (method / "val").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(method)
    found = api.verify(method)
    assert found.images == 20
    assert [problem.path for problem in found.problems] == [str(method / "val" / "loop")]


def test_what_cannot_be_looked_at_is_a_problem(method, monkeypatch) -> None:
    """Here as if permissions were missing, which root would not notice."""
    scan = os.scandir

    def denied(folder):
        if Path(folder).name == "val":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", denied)
    (problem,) = api.verify(method).problems
    assert problem.path == str(method / "val")
    assert "was not checked" in problem.text


def test_files_beside_data_sets_are_named(method) -> None:
    """Once each, whatever a folder holds; what hides belongs to other tools."""
    (method.parent / "notes.txt").write_text("x")
    (method / "imagenet-val.zip").write_bytes(b"x")
    (method / "more" / "deep").mkdir(parents=True)
    (method / "more" / "deep" / "x.txt").write_text("x")
    (method / ".cache").mkdir()
    problems = api.verify(method.parent).problems
    assert {Path(problem.path).name for problem in problems} == {"notes.txt", "imagenet-val.zip", "more"}


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
