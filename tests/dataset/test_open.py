"""A finished data set, opened: every sample's image, label, key and record, and what does not belong is refused."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from alexnet_pipeline import open_shards, shard
from alexnet_pipeline.dataset.manifest import MANIFEST, FileRecord, read_manifest, write_manifest
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.pixels.codec import decode_sample, encode
from alexnet_pipeline.records import SetOptions


@pytest.fixture(scope="module")
def made(raw_folders, tmp_path_factory):
    """A small data set in three shards, as arrays."""
    out = tmp_path_factory.mktemp("made")
    shard(raw_folders, out, split="val", size=24, shard_size=8, encoding="raw", methods="area")
    return out / "area" / "val"


@pytest.fixture
def copy(made, tmp_path):
    """One that may be damaged."""
    folder = tmp_path / "set"
    folder.mkdir()
    for path in made.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_every_sample_is_what_its_tar_holds(made) -> None:
    """By Python's tarfile, in the same order."""
    shards = open_shards(str(made))
    members = {}
    for tar in sorted(made.glob("*.tar")):
        with tarfile.open(tar) as archive:
            members |= {member.name: archive.extractfile(member).read() for member in archive}
    keys = list(shards.keys())
    assert keys == list(dict.fromkeys(name.partition(".")[0] for name in members))
    assert len(keys) == len(shards) == 20
    for position, key in enumerate(keys):
        assert shards.read_image(position) == members[f"{key}.npy"]
        assert shards.read_label(position) == int(members[f"{key}.cls"])
        record = dataclasses.asdict(shards.read_record(position))
        assert record == {**json.loads(members[f"{key}.json"]), "remark": ""}
        assert record["label"] == int(members[f"{key}.cls"])
    assert shards.mean_image().shape == (24, 24, 3)
    images = [decode_sample(shards.read_image(position), "raw") for position in range(20)]
    np.testing.assert_allclose(shards.statistics().mean, np.mean(images, (0, 1, 2)))


def reseal(folder, **changes) -> None:
    """Write the manifest with changes, and with a digest that fits."""
    manifest = dataclasses.replace(read_manifest(folder), digest="", **changes)
    write_manifest(folder, manifest)


def test_files_that_are_not_the_manifests_are_refused(copy) -> None:
    """Another index, a shorter tar, another shard's tar, another mean image; each names its file."""
    first, second = sorted(copy.glob("*.tar"))[:2]
    whole = first.read_bytes()
    for data in (whole[:-512], second.read_bytes()):
        first.write_bytes(data)
        with pytest.raises(PipelineError, match=first.name):
            open_shards(copy)
    first.write_bytes(whole)
    index = first.with_suffix(".idx")
    whole_index = index.read_bytes()
    index.write_bytes(whole_index.replace(b"v1.2 8", b"v1.2 7"))
    with pytest.raises(PipelineError, match=index.name):
        open_shards(copy)
    head, *lines = whole_index.splitlines(keepends=True)
    index.write_bytes(b"".join([head, *lines[::-1]]))
    with pytest.raises(PipelineError, match="not the index that the manifest names"):
        open_shards(copy)


def test_an_index_that_lies_is_refused_even_if_sealed(copy) -> None:
    """A count or a place that does not fit, with checksums made to fit."""
    manifest = read_manifest(copy)
    path = copy / manifest.shards[0].idx.name
    whole = path.read_bytes()
    lies = (b"v1.2 8", b"v1.2 7"), (b" 512 ", b" 99999999 "), (b"cls", b"cLs")
    for lie in (whole.replace(*change, 1) for change in lies):
        path.write_bytes(lie)
        idx = dataclasses.replace(manifest.shards[0].idx, sha256=hashlib.sha256(lie).hexdigest(), size_bytes=len(lie))
        reseal(copy, shards=(dataclasses.replace(manifest.shards[0], idx=idx), *manifest.shards[1:]))
        with pytest.raises(PipelineError, match=r"000000\.(idx|tar)"):
            open_shards(copy)


def test_a_label_that_is_none_is_named(copy) -> None:
    """Where the manifest knows fewer classes than the shards use."""
    manifest = read_manifest(copy)
    reseal(copy, classes=manifest.classes[:3], class_totals_images=manifest.class_totals_images[:3])
    shards = open_shards(copy)
    with pytest.raises(PipelineError, match="expected 0 to 2"):
        [shards.read_label(position) for position in range(len(shards))]


def test_classes_have_their_words(copy) -> None:
    """As the manifest says; none where it knows none."""
    assert {read_manifest(copy).words(label) for label in range(-1, 11)} == {""}
    reseal(copy, class_words=("tench, Tinca tinca", *[""] * 9))
    assert [read_manifest(copy).words(label) for label in (0, 1, 99)] == ["tench, Tinca tinca", "", ""]


def test_what_is_no_data_set_is_refused_with_the_next_step(made, tmp_path) -> None:
    """A tar, a folder above, an unfinished set, nothing."""
    for place, words in (
        (next(made.glob("*.tar")), "name its folder"),
        (made.parents[1], "name one, like"),
        (tmp_path, "`shard` makes one of raw images"),
        (tmp_path / "nowhere", "no such file"),
    ):
        with pytest.raises(RefusedError, match=words):
            open_shards(place)


def test_a_manifest_of_another_version_or_shape_is_one_line(copy) -> None:
    """Never a traceback, whatever types its fields have."""
    whole = json.loads((copy / MANIFEST).read_bytes())
    for change, error, words in (
        ({"format_version": 99}, RefusedError, "format version 99; this release reads versions 1 to 2"),
        ({"format_version": 0}, RefusedError, "format version 0"),
        ({"classes": 3}, PipelineError, "Expected `array`"),
        ({"shards": [{"index": "x"}]}, PipelineError, "damaged"),
        ({"total_images": 21}, PipelineError, "digest"),
    ):
        (copy / MANIFEST).write_text(json.dumps({**whole, **change}))
        with pytest.raises(error, match=words):
            read_manifest(copy)
    (copy / MANIFEST).write_text("[" * 100_000)
    with pytest.raises(PipelineError, match="damaged"):
        read_manifest(copy)


def _hostile(folder, change) -> None:
    """A manifest that says what `write_manifest` would not let it say, with a digest that fits."""
    path = folder / MANIFEST
    data = json.loads(path.read_text())
    change(data)
    data["digest"] = ""
    text = json.dumps(data, sort_keys=True, indent=1) + "\n"
    data["digest"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(data, sort_keys=True, indent=1) + "\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["shards"][0]["tar"].update(name="../../../etc/passwd"),
        lambda data: data["shards"][0]["tar"].update(name="/dev/zero"),
        lambda data: data["shards"][0]["tar"].update(name="a\0"),
        lambda data: data["shards"][0]["tar"].update(name=".."),
        lambda data: data["shards"][0]["tar"].update(name=5),
        lambda data: data["shards"][0]["idx"].update(size_bytes="x"),
        lambda data: data["shards"][0]["idx"].update(size_bytes=-1),
        lambda data: data["shards"][0].update(samples_images=None),
        lambda data: data["shards"][0].update(index=10**30),
        lambda data: data["files"][0].update(name="x/y"),
        lambda data: data.update(class_totals_images=["a"]),
        lambda data: data["options"].update(encoding="zz"),
        lambda data: data["options"].update(size_px=10**9),
        lambda data: data["statistics"].update(mean=[1, 2]),
    ],
)
def test_hostile_manifests_are_refused(copy, change) -> None:
    """Names lead nowhere else, and types and numbers are what the code expects, however well the digest fits."""
    _hostile(copy, change)
    with pytest.raises(PipelineError, match=r"manifest\.json is damaged: "):
        open_shards(copy)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"9" * 10_000])
def test_what_is_no_manifest_is_refused(copy, text) -> None:
    """Deep, huge and empty JSON."""
    (copy / MANIFEST).write_bytes(text)
    with pytest.raises(PipelineError, match=r"manifest\.json is damaged: "):
        open_shards(copy)


@pytest.mark.parametrize("name", [MANIFEST, "imagenet-area-val-000000.idx", "imagenet-area-val-000000.tar", "mean.npy"])
def test_a_fifo_does_not_block(copy, name) -> None:
    """Neither does a device, which might never end."""
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(PipelineError, match="not a regular file"):
        open_shards(copy).mean_image()


@pytest.mark.parametrize("wrong", ["-512", "99999999999999999999", "4611686018427387904"])
def test_hostile_offsets_are_refused(copy, wrong) -> None:
    """An index whose checksum fits must not lead out of its tar, nor far from the label."""
    path = next(copy.glob("*.idx"))
    lines = path.read_text().splitlines()
    words = lines[1].split(" ")
    words[5] = wrong
    path.write_text("\n".join([lines[0], " ".join(words), *lines[2:]]) + "\n")
    record = FileRecord.of(path.name, path.read_bytes())
    shards = list(read_manifest(copy).shards)
    at = next(at for at, each in enumerate(shards) if each.idx.name == path.name)
    shards[at] = dataclasses.replace(shards[at], idx=record)
    reseal(copy, shards=tuple(shards))
    with pytest.raises(PipelineError, match="index"):
        open_shards(copy)


MANY_READS = """
import numpy, resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from alexnet_pipeline import open_shards
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
shards = open_shards(sys.argv[1])
expected = [shards.read_image(position) for position in range(len(shards))]
assert len(shards.tars) == len(set(expected)) == 300

def read(seed):
    order = numpy.random.default_rng(seed).integers(len(shards), size=2000)
    shards.prefetch(order[:100])
    assert all(shards.read_image(position) == expected[position] for position in order)
    labels, images = shards.read_batch(order[:50])
    assert [image.tobytes() for image in images] == [expected[position] for position in order[:50]]
    return len(list(Path("/proc/self/fd").iterdir()))

with ThreadPoolExecutor(4) as threads:
    assert max(threads.map(read, range(8))) < 60
"""


def test_many_shards_need_few_descriptors(tmp_path) -> None:
    """300 shards, of which 64 files may be open, read in random order by several threads."""
    folder = tmp_path / "raw" / "train" / "n01440764"
    folder.mkdir(parents=True)
    for number in range(300):
        image = np.full((8, 8, 3), number % 256, np.uint8)
        image[0] = number // 2
        (folder / f"n01440764_{number}.JPEG").write_bytes(encode(image, SetOptions(encoding="png")))
    shard(tmp_path / "raw", tmp_path / "out", size=8, shard_size=1, encoding="raw", methods="area", progress=False)
    subprocess.run([sys.executable, "-c", MANY_READS, str(tmp_path / "out" / "area" / "train")], check=True)
