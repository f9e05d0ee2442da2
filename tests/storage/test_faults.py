"""Faults of a store: each is survived, or ends a run by one line; none costs an image, and none changes a byte."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alexnet_pipeline import shard
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.errors import OtherContentError, PipelineError
from alexnet_pipeline.files import retry_passing
from alexnet_pipeline.storage import objects, reading, writing
from alexnet_pipeline.storage.remote import RemotePath
from tests.storage import proxy as faulty
from tests.storage.proxy import ERRORS, KINDS, SILENCE, Proxy
from tests.storage.server import contents, files, upload

HOW = {"methods": ["bilinear", "nearest"], "size": 32, "shard_size": 16, "workers": 2, "progress": False}
FLAGS = ["--method", "bilinear,nearest", "--size", "32", "--shard-size", "16", "--workers", "2"]
DATA = random.Random(1).randbytes(300_000)
# Fails long before a test of the suite would be stopped; a run that waits for a cloud or tries again takes longer.
QUICK_S = 30


@pytest.fixture(scope="module")
def clean(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample without its truncated image, so that a run of it exits with 0."""
    folder, out = tmp_path_factory.mktemp("clean"), tmp_path_factory.mktemp("rejects")
    shutil.copytree(raw_folders, folder / "raw")
    shard(folder / "raw", out, **{**HOW, "methods": ["nearest"]})
    for reject in read_manifest(out / "nearest" / "train").rejects():
        (folder / "raw" / "train" / reject.name).unlink()
    return folder / "raw"


@pytest.fixture(scope="module")
def expected(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run from disk to disk writes."""
    out = tmp_path_factory.mktemp("expected")
    shard(clean, out, **HOW)
    return files(out)


@pytest.fixture
def proxy(port: int, bucket: RemotePath, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the server, which spoils nothing yet."""
    with faulty.running(port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield proxy


def shard_command(source: object, out: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(source), str(out), *FLAGS]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_run_survives_faults_of_one_request_in_twenty(
    clean: Path, expected: dict[str, bytes], bucket: RemotePath, proxy: Proxy
) -> None:
    """From bucket to bucket: nothing is lost, doubled, rejected or different."""
    upload(clean, bucket / "raw")
    spoiled = 0
    for seed in (1, 2, 3):
        proxy.spoil_some(0.05, seed)
        done = shard_command(bucket / "raw", bucket / f"shards-{seed}")
        assert (done.returncode, done.stderr) == (0, "")
        spoiled += sum(proxy.spoiled.values())
        proxy.mend()
        assert contents(bucket / f"shards-{seed}") == expected
    assert spoiled > 20


@pytest.mark.parametrize("kind", [*KINDS, SILENCE])
def test_each_fault_alone_is_survived(
    kind: str, bucket: RemotePath, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each of the calls of a place, with the right result."""
    monkeypatch.setattr(objects, "REQUEST_TIMEOUT_S", 1)  # before the first request, with which the client is made
    place, new = bucket / "a" / "old", bucket / "b" / "new"
    place.put(DATA, create=True)
    (bucket / "a/b/c").put(b"1", create=True)
    status = place.status()

    def survives(call, hits: int = 1):
        proxy.spoil_first(kind)
        result = retry_passing(call)  # as every caller in the package does
        assert sum(proxy.spoiled.values()) == hits
        proxy.mend()
        return result

    assert survives(lambda: place.read(1000, 250_000)) == (DATA[1000:251_000], status)
    assert survives(lambda: place.read_whole(len(DATA))) == DATA
    assert survives(place.status) == status
    assert survives(place.exists)
    assert survives(place.parent.names) == (("b",), ("old",))
    assert [name for name, _ in survives(lambda: list((bucket / "a").walk()))] == ["b/c", "old"]
    survives(lambda: new.put(DATA, create=False))
    assert new.read_whole(len(DATA)) == DATA
    survives(new.delete)
    assert not new.exists()
    survives(lambda: writing.create(new, DATA))
    assert new.read_whole(len(DATA)) == DATA
    with pytest.raises(OtherContentError):
        survives(lambda: writing.create(new, DATA[::-1]))
    assert new.read_whole(len(DATA)) == DATA


@pytest.mark.parametrize("kind", ["late 500", "late reset"])
def test_a_put_whose_answer_is_lost_counts(kind: str, bucket: RemotePath, proxy: Proxy) -> None:
    """It is sent again, refused because the object is there, and compared byte by byte."""
    proxy.spoil_first(kind)
    writing.create(bucket / "a", DATA)
    assert [method for method, _ in proxy.seen] == ["PUT", "PUT", "GET"]
    assert contents(bucket) == {"a": DATA}


@pytest.mark.parametrize("kind", ["500", "reset", "cut", "late reset"])
def test_a_list_that_breaks_off_goes_on(kind: str, port: int, bucket: RemotePath, proxy: Proxy) -> None:
    """Behind its last key: every object once, also from the second page on."""
    names = [f"{number:04d}" for number in range(45)]
    for name in names:
        (bucket / "many" / name).put(b"1", create=False)

    def nth_page(wanted: int):
        pages = iter(range(1, 100))
        return lambda method, path: "list-type=2" in path and next(pages) == wanted

    for page in (1, 2, 3):
        proxy.spoil_first(kind, chosen=nth_page(page))
        proxy.page_objects = 20
        assert [name for name, _ in (bucket / "many").walk()] == names
        assert sum(proxy.spoiled.values()) == 1


def test_an_object_that_changes_behind_a_cut_is_not_mixed(bucket: RemotePath, proxy: Proxy) -> None:
    """The rest of a body that was cut off is never taken from another object: it is read anew, and has that version."""
    place = bucket / "a"
    place.put(DATA, create=True)

    before = place.status()

    def change_to(data: bytes):
        def change(method: str, path: str) -> None:
            if method == "GET" and [each for each, _ in proxy.seen].count("GET") == 2:
                place.put(data, create=False)

        return change

    proxy.spoil_first("cut")
    proxy.before = change_to(DATA[::-1])
    data, status = retry_passing(lambda: place.read(0, len(DATA)))
    assert (data, status) == (DATA[::-1], place.status())
    assert status.version != before.version
    proxy.spoil_first("cut", chosen=lambda method, path: method == "GET")
    proxy.before = change_to(DATA)
    with reading.opened(place) as file, pytest.raises(OSError, match="it changed while it was read"):
        file.pread(len(DATA), 0)


def test_a_store_that_fails_for_ever_ends_the_run(
    clean: Path, expected: dict[str, bytes], bucket: RemotePath, proxy: Proxy, tmp_path: Path
) -> None:
    """Never as rejects of images; once the store is well, the same command completes it."""
    upload(clean, bucket / "raw")
    proxy.spoil_first("500", 1 << 30, lambda method, path: method == "GET" and ".JPEG" in path)
    done = shard_command(bucket / "raw", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "InternalError" in done.stderr and "to resume" in done.stderr
    proxy.mend()
    assert shard_command(bucket / "raw", tmp_path / "out").returncode == 0
    assert files(tmp_path / "out") == expected


def test_a_store_that_takes_nothing_ends_the_run(
    clean: Path, bucket: RemotePath, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the place that could not be written, and the reason."""
    monkeypatch.setattr("alexnet_pipeline.files.RETRY_WAITS_S", (0.01,))
    monkeypatch.setattr(objects, "MAX_RETRIES", 1)
    for kind in ("503", "reset"):
        proxy.spoil_first(kind, 1 << 30, lambda method, path: method == "PUT")
        with pytest.raises(PipelineError, match=f"cannot write {bucket}/.*; mend that") as found:
            shard(clean, str(bucket / "shards"), **HOW)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("kind", ["denied", "unknown key", "wrong key"])
def test_a_store_that_denies_is_not_asked_again(kind: str, clean: Path, bucket: RemotePath, proxy: Proxy) -> None:
    """Whether source or output: one line that names the credentials, without them, after a few requests."""
    for source, out in ((bucket / "raw", bucket / "shards"), (clean, bucket / "shards")):
        proxy.spoil_first(kind, 1 << 30)
        done = shard_command(source, out)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert ERRORS[kind][1] in done.stderr or "403 Forbidden" in done.stderr
        assert "check the credentials" in done.stderr
        assert "testing" not in done.stderr and "127.0.0.1" not in done.stderr
        assert len(proxy.seen) <= 3


def test_credentials_that_may_only_read_are_named(clean: Path, bucket: RemotePath, proxy: Proxy) -> None:
    """The first put is refused, and nothing is made."""
    proxy.spoil_first("denied", 1 << 30, lambda method, path: method == "PUT")
    done = shard_command(clean, bucket / "shards")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"cannot write {bucket}/shards/" in done.stderr and "AccessDenied" in done.stderr
    assert sum(proxy.spoiled.values()) <= 4
    proxy.mend()
    assert list(bucket.walk()) == []


def test_a_missing_bucket_is_named_at_once(clean: Path, bucket: RemotePath, proxy: Proxy, tmp_path: Path) -> None:
    """As source and as output."""
    for source, out in (("s3://nobody-has-this/raw", tmp_path / "out"), (clean, "s3://nobody-has-this/out")):
        proxy.mend()
        done = shard_command(source, out)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "no such bucket" in done.stderr
        assert len(proxy.seen) <= 3


def test_exists_tells_a_missing_object_from_a_missing_bucket(bucket: RemotePath) -> None:
    assert not reading.exists(bucket / "none")
    with pytest.raises(OSError, match="no such bucket"):
        reading.exists(RemotePath("s3://nobody-has-this", "none"))
