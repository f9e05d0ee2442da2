"""Data sets in a store are fetched once, checked, kept on this machine and trained on; what is wrong is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from alexnet_pipeline import open_shards, shard, verify
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.dataset import cache as caching
from alexnet_pipeline.dataset.cache import cached
from alexnet_pipeline.dataset.manifest import read_manifest, write_manifest
from alexnet_pipeline.errors import InterruptedRunError, PipelineError, RefusedError
from alexnet_pipeline.files import locked
from alexnet_pipeline.progress import Advance, Message, Stage, silent
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.storage.store import Status
from tests.storage.server import files, upload

METHOD = "area"


@pytest.fixture(scope="module")
def made(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of one method, in shards of ten small images."""
    out = tmp_path_factory.mktemp("made")
    shard(raw_folders, out, methods=METHOD, size=80, shard_size=10, workers=2, progress=False)
    return out / METHOD


@pytest.fixture
def remote(made: Path, bucket: RemotePath) -> RemotePath:
    """The same in a store."""
    return upload(made, bucket / METHOD)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is read from the store with ranges, as shards are and manifests are not."""
    found, read = [], RemotePath.read

    def noting(self: RemotePath, offset: int, size_bytes: int) -> tuple[bytes, Status]:
        found.append(self.name)
        return read(self, offset, size_bytes)

    monkeypatch.setattr(RemotePath, "read", noting)
    return found


def copied(remote: RemotePath, cache: Path) -> Path:
    (copy,) = cached([remote / "train"], cache, silent)
    return copy


def remains(folder: Path) -> list[str]:
    """Names below a cache, without its locks."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_a_copy_is_the_set(made: Path, remote: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, in requests smaller than a shard; the events count megabytes up to their total."""
    monkeypatch.setattr(caching, "BLOCK_BYTES", 5000)
    events = []
    train_copy, val_copy = cached([remote / "train", remote / "val"], tmp_path, events.append)
    assert files(train_copy) == files(made / "train")
    assert files(val_copy) == files(made / "val")
    assert train_copy.name == f"train-{read_manifest(made / 'train').digest[:16]}"
    assert verify(train_copy, deep=True, progress=False).problems == ()
    (stage,) = [event for event in events if isinstance(event, Stage)]
    assert (stage.name, stage.done, stage.unit) == ("fetch", 0, "MB")
    assert [event.done for event in events if isinstance(event, Advance)][-1] == stage.total
    assert [event.text for event in events if isinstance(event, Message)] == [
        f"fetching {remote}/train to {train_copy}",
        f"fetching {remote}/val to {val_copy}",
    ]


def test_a_second_time_nothing_is_fetched(remote: RemotePath, tmp_path: Path, reads: list[str]) -> None:
    """Only the manifest is read, and nothing is written: the copy may be read-only, and the shards gone."""
    copy, events = copied(remote, tmp_path), []
    before = files(copy)
    for name, _ in list((remote / "train").walk()):
        if name.endswith((".tar", ".idx")):
            (remote / "train" / name).delete()
    reads.clear()
    for path in copy.iterdir():
        path.chmod(0o400)
    assert cached([remote / "train", remote / "train"], tmp_path, events.append) == (copy, copy)
    assert (reads, events, files(copy)) == ([], [], before)


def test_a_copy_is_named_by_its_content(made: Path, remote: RemotePath, tmp_path: Path, reads: list[str]) -> None:
    """Equal sets in two places share one, and a set that is written anew in its place has another."""
    copy = copied(remote, tmp_path)
    reads.clear()
    assert cached([upload(made / "train", remote.parent / "other")], tmp_path, silent) == (copy,)
    assert reads == []
    manifest = read_manifest(remote / "train")
    words = tuple(f"word {number}" for number in range(len(manifest.classes)))
    write_manifest(remote / "train", dataclasses.replace(manifest, class_words=words))
    assert copied(remote, tmp_path) != copy
    assert open_shards(copied(remote, tmp_path)).manifest.class_words == words
    assert open_shards(copy).manifest == manifest


def test_an_interrupted_fetch_goes_on(
    made: Path, remote: RemotePath, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is missing; files that are complete stay, parts do not."""
    read, left = RemotePath.read, [5]

    def interrupted(self: RemotePath, offset: int, size_bytes: int) -> tuple[bytes, Status]:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(5, "the network is gone")
        return read(self, offset, size_bytes)

    monkeypatch.setattr(caching, "THREADS", 1)
    monkeypatch.setattr("alexnet_pipeline.files.RETRY_WAITS_S", ())
    with monkeypatch.context() as patched:
        patched.setattr(RemotePath, "read", interrupted)
        with pytest.raises(
            PipelineError, match=r"cannot read s3://\S+: the network is gone; .* fetches the rest"
        ) as error:
            copied(remote, tmp_path)
    assert "\n" not in str(error.value)
    kept = remains(tmp_path)
    assert 0 < len(kept) < 6
    assert "manifest.json" not in kept
    assert all(data == files(made / "train")[name] for name, data in files(next(tmp_path.glob("train-*"))).items())
    reads.clear()
    assert files(copied(remote, tmp_path)) == files(made / "train")
    assert not set(reads) & set(kept)
    (next(tmp_path.glob("train-*")) / kept[0]).unlink()  # a copy that lost a file is mended
    reads.clear()
    assert files(copied(remote, tmp_path)) == files(made / "train")
    assert reads == [kept[0]]


def test_a_signal_ends_a_fetch(remote: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a wait for another process, soon; the error says how far it came."""
    asked = threading.Event()
    read = RemotePath.read

    def slow(self: RemotePath, offset: int, size_bytes: int) -> tuple[bytes, Status]:
        asked.wait(10)
        return read(self, offset, size_bytes)

    def stop() -> int:
        asked.set()
        return signal.SIGTERM

    monkeypatch.setattr(RemotePath, "read", slow)
    monkeypatch.setattr(caching, "PERIOD_S", 0.01)
    with pytest.raises(InterruptedRunError, match="the same call fetches the rest") as error:
        cached([remote / "train"], tmp_path, silent, stop)
    assert error.value.exit_code == 128 + signal.SIGTERM
    assert [note[1:] for note in error.value.__notes__] == [" of 1 MB are fetched"]
    assert not [name for name in remains(tmp_path) if name.startswith(".part") or name == "manifest.json"]
    events = []
    name = f".train-{read_manifest(remote / 'train').digest[:16]}.lock"
    with locked(tmp_path / name, None), pytest.raises(InterruptedRunError):
        cached([remote / "train"], tmp_path, events.append, stop)
    assert events == [Message(f"waiting for another process that fetches {remote}/train")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:700] + bytes([data[700] ^ 1]) + data[701:], "its sha256 is [0-9a-f]{64}, expected"),
        (lambda data: data[:-512], "bytes, expected"),
        (None, "there is no such object"),
    ],
    ids=["a flipped bit", "a cut", "a missing object"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".tar", ".idx", ".npy"])
def test_a_damaged_object_is_refused_and_not_kept(
    remote: RemotePath, tmp_path: Path, suffix: str, change: Callable[[bytes], bytes] | None, words: str
) -> None:
    """One line that names it; once it is mended, the rest is fetched."""
    name = next(name for name, _ in (remote / "train").walk() if name.endswith(suffix) and "/" not in name)
    place = remote / "train" / name
    sound = place.read_whole(1 << 30)
    place.put(change(sound), create=False) if change else place.delete()
    with pytest.raises(
        PipelineError, match=f"^{place} is not what its manifest says: .*{words}.* `verify` on "
    ) as error:
        copied(remote, tmp_path)
    assert "\n" not in str(error.value)
    assert not {name, f".part-{name}", "manifest.json"} & set(remains(tmp_path))
    place.put(sound, create=False)
    assert open_shards(copied(remote, tmp_path)).folder.parent == tmp_path


def test_without_room_nothing_is_fetched(
    remote: RemotePath, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two sets neither, where only one would fit; with both numbers."""
    sets = [remote / "train", remote / "val"]
    needed = sum(file.size_bytes for each in sets for file in caching._copy_of(each, tmp_path).files())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    words = f"{tmp_path} has {needed - 1:,} bytes free, and {sets[0]} and {sets[1]} needs {needed:,}; free some space"
    with pytest.raises(RefusedError) as error:
        cached(sets, tmp_path, silent)
    assert str(error.value).startswith(words)
    assert (reads, remains(tmp_path)) == ([], [])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    cached(sets, tmp_path, silent)


FETCH = """
import sys
from pathlib import Path
from alexnet_pipeline.dataset.cache import cached
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.remote import RemotePath
reads, read = [], RemotePath.read
RemotePath.read = lambda self, *span: reads.append(self.name) or read(self, *span)
sys.stdin.readline()
(copy,) = cached([locate(sys.argv[1])], Path(sys.argv[2]), lambda event: None)
print(len(reads), copy)
"""


def test_processes_fetch_once(made: Path, remote: RemotePath, tmp_path: Path) -> None:
    """Three that begin at once, as the ranks of a node do: one fetches each file, all find the same copy."""
    command = [sys.executable, "-c", FETCH, f"{remote}/train", str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    time.sleep(1)  # until they wait for their line
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert len({copy for _, copy in found}) == 1
    assert sorted(int(count) for count, _ in found) == [0, 0, len(files(made / "train")) - 1]
    assert files(Path(found[0][1])) == files(made / "train")


def test_training_from_a_store_is_training_from_disk(
    made: Path, remote: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same losses and weights; the run remembers the URL, resumes from it, and is evaluated and reported on."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from alexnet_pipeline import evaluate, report
    from tests.alexnet.made import digest, one_thread, run

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    folder, cache = tmp_path / "far", tmp_path / "cache"

    def begun() -> int:
        return signal.SIGTERM if (folder / "metrics.jsonl").exists() else 0

    with one_thread():
        near = run(made, tmp_path / "near", steps=7)
        with pytest.raises(InterruptedRunError, match="interrupted at step"):
            run(str(remote), folder, steps=7, cache=cache, stop=begun)
        shutil.rmtree(cache)
        far = run(str(remote), folder, steps=7, cache=cache, resume="auto")
        assert digest(folder) == digest(tmp_path / "near")
        run(str(remote / "train"), tmp_path / "whole", steps=7, cache=cache, val=f"{remote}/val")
        assert read_losses(tmp_path / "whole") == read_losses(tmp_path / "near")
        assert far.errors == near.errors
        record = json.loads((folder / "run.json").read_text())
        assert (record["train"]["folder"], record["val"]["folder"]) == (f"{remote}/train", f"{remote}/val")
        found = evaluate(folder, shards=f"{remote}/val", cache=cache, device="cpu", progress=False)
    assert found.shards == f"{remote}/val"
    (kept,) = (folder / "evaluations").iterdir()
    assert kept.name == f"centre-crop-{METHOD}-val.json"
    assert "Images are left out: s3://" in report(folder, progress=False).read_text()
    page = report(folder, cache=cache, progress=False).read_text()
    assert "Images are left out" not in page
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"a-secret" in path.read_bytes()]


def read_losses(run: Path) -> list[float]:
    """The logged losses."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "learning_rate" in line]


@pytest.mark.parametrize("command", ["train", "evaluate", "bench"])
def test_a_url_needs_a_cache_and_a_folder_none(tmp_path: Path, made: Path, command: str) -> None:
    """Before the store is asked, which these URLs would take long to reach."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from alexnet_pipeline import bench, evaluate, train

    def call(shards: object, **options: object) -> object:
        if command == "bench":
            return bench("load", shards, **options)
        if command == "train":
            return train(shards, run_dir=tmp_path / "run", progress=False, **options)
        return evaluate(tmp_path / "run", shards=shards, progress=False, **options)

    with pytest.raises(
        RefusedError, match="s3://nobody/set is in an object store; give `cache`, a folder on this machine"
    ):
        call("s3://nobody/set")
    with pytest.raises(RefusedError, match=f"`cache` is for data sets in object stores, and {made}"):
        call(made if command != "evaluate" else made / "val", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_lies_on_this_machine(remote: RemotePath) -> None:
    """And not in a store."""
    with pytest.raises(RefusedError, match="s3:/b/cache is a URL; expected a path on this machine"):
        cached([remote / "train"], Path("s3://b/cache"), silent)


def test_the_commands_take_urls(remote: RemotePath, tmp_path: Path) -> None:
    """A method's folder; refusals name flags, and a folder of methods is told from a set."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["-q", *map(str, arguments)])

    how = ["--images", 8, "--batch-size", 4, "--device", "cpu", "--threads", 1]
    done = invoke("bench", "load", remote, "--cache", tmp_path, *how)
    assert done.stdout.startswith(f"{remote}/train (jpg) on cpu: "), done.output
    assert "give --cache, a folder" in invoke("bench", "load", remote, *how).stderr
    assert "give --cache, a folder" in invoke("evaluate", tmp_path, "--shards", remote / "val").stderr
    above = invoke("bench", "load", remote.parent, "--cache", tmp_path, *how)
    assert above.stdout.startswith(f"{remote}/train (jpg) on cpu: "), above.output


def test_ranks_share_a_copy(made: Path, remote: RemotePath, tmp_path: Path) -> None:
    """Two processes of one run, of which one fetches, learn what they learn from disk."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from tests.alexnet.made import FLAGS, digest, finished, started

    for name, place in (("near", [str(made)]), ("far", [str(remote), "--cache", str(tmp_path / "cache")])):
        flags = ["-q", "train", *place, "--run-dir", str(tmp_path / name), *FLAGS, "--towers", "distributed"]
        with started("alexnet_pipeline", [*flags, "--steps", "3"]) as processes:
            finished(processes)
    assert digest(tmp_path / "far") == digest(tmp_path / "near")
    assert len(list((tmp_path / "cache").glob("*/manifest.json"))) == 2
