"""Shards are the same wherever source and output lie, and runs in a store are resumed, merged and refused alike."""

import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from alexnet_pipeline import inspect, merge, open_shards, shard, verify
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.raw.fetch import _requests
from alexnet_pipeline.records import RawImage
from alexnet_pipeline.storage import reading
from alexnet_pipeline.storage.remote import RemotePath
from tests.storage.server import contents, files, upload

HOW = {"methods": ["bilinear", "nearest"], "size": 32, "shard_size": 16, "workers": 2, "progress": False}
# Kills of a run that takes 2 s to 3 s, of which its processes take .6 s to begin.
KILLS, KILLED_AFTER_S = 30, (0.6, 2.4)
# Exit code: complete with rejects, because one image of the sample is truncated.
TRUNCATED_ONE = 3


@pytest.fixture(scope="module")
def expected(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run from disk to disk writes."""
    out = tmp_path_factory.mktemp("expected")
    shard(raw_folders, out, **HOW)
    return files(out)


def without_source(found: dict[str, bytes]) -> dict[str, bytes]:
    """Manifests and cards tell of the source, so that those of two layouts differ."""
    return {name: data for name, data in found.items() if not name.endswith(("manifest.json", "README.md"))}


def test_the_output_is_the_disks(raw_folders: Path, expected: dict[str, bytes], bucket: RemotePath) -> None:
    """Byte for byte, the manifest too; and a second run has nothing to do."""
    out = bucket / "shards"
    shard(raw_folders, str(out), **HOW)
    assert contents(out) == expected
    found = verify(str(out), deep=True)
    assert (found.problems, found.images) == ((), sum(each.images for each in shard(raw_folders, str(out), **HOW)))
    assert [sample.key for sample in inspect(f"{out}/bilinear/train", limit=3)]
    assert inspect(f"{out}/bilinear/train/imagenet-bilinear-train-000000.tar", limit=1)[0].image.shape == (32, 32, 3)


def test_the_source_may_lie_in_a_store(raw_folders: Path, expected: dict[str, bytes], bucket: RemotePath) -> None:
    """As class folders."""
    upload(raw_folders, bucket / "raw")
    shard(f"{bucket}/raw", f"{bucket}/shards", **HOW)
    assert contents(bucket / "shards") == expected


def test_tars_are_read_in_place(raw_tars: Path, expected: dict[str, bytes], bucket: RemotePath, tmp_path: Path) -> None:
    """Tars in a tar, with the devkit beside them; nothing is unpacked or fetched whole."""
    upload(raw_tars, bucket / "raw")
    shard(f"{bucket}/raw", tmp_path, **HOW)
    assert without_source(files(tmp_path)) == without_source(expected)


def test_a_zip_is_read_in_place(
    raw_folders: Path, expected: dict[str, bytes], bucket: RemotePath, tmp_path: Path
) -> None:
    """Inflated and stored members alike."""
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for number, path in enumerate(sorted(raw_folders.rglob("*"))):
            kind = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.write(path, path.relative_to(raw_folders), kind)
    shard(str(upload(tmp_path / "raw.zip", bucket / "raw.zip")), tmp_path / "out", **HOW)
    assert without_source(files(tmp_path / "out")) == without_source(expected)


def test_shards_in_a_store_are_a_source(raw_folders: Path, bucket: RemotePath, tmp_path: Path) -> None:
    """WebDataset tars, by their headers."""
    shard(raw_folders, f"{bucket}/one", **{**HOW, "methods": ["nearest"]})
    shard(f"{bucket}/one/nearest", tmp_path / "far", **{**HOW, "methods": ["nearest"]})
    for name, data in contents(bucket / "one").items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(data)
    shard(tmp_path / "copy" / "nearest", tmp_path / "near", **{**HOW, "methods": ["nearest"]})
    assert without_source(files(tmp_path / "far")) == without_source(files(tmp_path / "near"))


def test_ranges_are_merged(raw_folders: Path, expected: dict[str, bytes], bucket: RemotePath) -> None:
    """Also two that overlap, whose shards are the same."""
    out = bucket / "shards"
    for split, ranges in (("train", [(0, 2), (1, 4)]), ("val", [(0, 2)])):
        for each in ranges:
            shard(raw_folders, str(out), **HOW, split=[split], shard_range=each)
    with pytest.raises(RefusedError, match="no run was started here"):
        merge(str(bucket / "none"))
    merge(str(out))
    assert without_source(contents(out)) == without_source(expected)


def test_killed_at_any_time_and_resumed(raw_folders: Path, expected: dict[str, bytes], bucket: RemotePath) -> None:
    """SIGKILL to all its processes, 30 times at random; no lock is left behind. A run that gets through is compared."""
    flags = ["--method", "bilinear,nearest", "--size", "32", "--shard-size", "16", "--workers", "2"]
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), *flags]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dice, outs = random.Random(30), [bucket / "shards-0"]
    for _ in range(KILLS):
        process = subprocess.Popen([*command, str(outs[-1])], start_new_session=True, **quiet)
        try:
            process.wait(dice.uniform(*KILLED_AFTER_S))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            assert process.returncode == TRUNCATED_ONE
            outs.append(bucket / f"shards-{len(outs)}")
    assert subprocess.run([*command, str(outs[-1])], check=False, **quiet).returncode == TRUNCATED_ONE
    for out in outs:
        assert contents(out) == expected


def test_other_settings_are_refused(raw_folders: Path, bucket: RemotePath) -> None:
    """And `restart` removes what was written, but nothing else."""
    out, how = bucket / "shards", {**HOW, "methods": ["nearest"]}
    shard(raw_folders, str(out), **how)
    before = contents(out)
    with pytest.raises(RefusedError, match="other settings"):
        shard(raw_folders, str(out), **{**how, "size": 48})
    assert contents(out) == before
    (out / "nearest/train/mine.txt").put(b"mine", create=True)
    shard(raw_folders, str(out), **{**how, "size": 48}, restart=True)
    assert open_shards(f"{out}/nearest/train").manifest.options.size_px == 48
    assert reading.read_whole(out / "nearest/train/mine.txt") == b"mine"


def test_damage_is_found_and_indexes_are_rebuilt(raw_folders: Path, bucket: RemotePath) -> None:
    """A changed tar, a lost index."""
    out = bucket / "shards"
    shard(raw_folders, str(out), **{**HOW, "methods": ["nearest"]})
    tar = out / "nearest/train/imagenet-nearest-train-000001.tar"
    data = bytearray(reading.read_whole(tar))
    data[2000] ^= 1
    tar.put(bytes(data), create=False)
    assert [problem.path for problem in verify(str(out)).problems] == [str(tar)]
    (out / "nearest/train/imagenet-nearest-train-000000.idx").delete()
    assert len(verify(str(out)).problems) == 2


def test_an_image_that_changed_ends_the_run(raw_folders: Path, bucket: RemotePath, tmp_path: Path) -> None:
    """Between listing and reading, as an image of another ETag."""
    copy = tmp_path / "raw"
    shutil.copytree(raw_folders / "val", copy)
    upload(copy, bucket / "raw")
    from alexnet_pipeline.raw.read import Reader
    from alexnet_pipeline.raw.source import open_source

    listing = open_source(bucket / "raw").read().listings[0]
    images = [listing.image(position) for position in range(len(listing))]
    with Reader(images) as reader:
        assert reader.read(0)
    RemotePath.of_url(images[1].path).put(b"another", create=False)
    with Reader(images) as reader:
        assert reader.read(0)
        with pytest.raises(PipelineError, match="changed after the source was listed"):
            reader.read(1)


def test_the_output_is_not_taken_for_input(raw_folders: Path, bucket: RemotePath) -> None:
    """An output below the source is refused, or left out of the source."""
    upload(raw_folders / "val", bucket / "raw")
    out = f"{bucket}/raw/shards"
    with pytest.raises(RefusedError, match="lies in the source"):
        shard(f"{bucket}/raw", out, **HOW)
    first = shard(f"{bucket}/raw", out, **HOW, allow=["output-inside-source"])
    assert first == shard(f"{bucket}/raw", out, **HOW, allow=["output-inside-source"])


@pytest.mark.parametrize(
    ("source", "out", "words"),
    [
        ("s3://nobody-has-this/x", "out", "cannot list s3://nobody-has-this/x: no such bucket"),
        ("{bucket}/nothing", "out", "no objects with this prefix"),
        ("{raw}", "s3://nobody-has-this/out", "no such bucket"),
        ("{raw}", "ftp://host/out", "ftp:// is not supported"),
    ],
)
def test_what_cannot_be_reached_is_one_line(
    raw_folders: Path, bucket: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, out: str, words
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=words) as found:
        shard(source.format(bucket=bucket, raw=raw_folders), out, **HOW)
    assert "\n" not in str(found.value)


def test_without_credentials_it_says_so(raw_folders: Path, bucket: RemotePath, monkeypatch) -> None:
    """And does not wait for a machine in a cloud."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), f"{bucket}/shards"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot read" in done.stderr


def test_neighbours_are_fetched_at_once() -> None:
    """Ranges of one object with a small gap between them, up to a size."""
    image = RawImage("k", 0, "c", "c/k", "s3://b/a", 0, 0, 0)
    from dataclasses import replace

    spans = [(0, 100), (600, 100), (1 << 20, 10), ((1 << 20) + 10, 8 << 20), (50, 10)]
    images = [replace(image, offset=offset, size_bytes=size) for offset, size in spans]
    images.append(replace(image, path="s3://b/b", offset=60, size_bytes=5))
    found = [(each.path[-1], each.start, each.end, each.positions) for each in _requests(images, range(6))]
    large = (1 << 20) + 10
    assert found == [
        ("a", 0, 700, [0, 1]),
        ("a", 1 << 20, large, [2]),
        ("a", large, large + (8 << 20), [3]),
        ("a", 50, 60, [4]),
        ("b", 60, 65, [5]),
    ]
