"""Workers that die or hang cost a picture at most, and never the run."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import alexnet_pipeline as api
from alexnet_pipeline.progress import Message
from tests.shards.test_build import group_lives


def workers() -> list[int]:
    """Processes that descend from us and have loaded the engine."""
    found, parents = [], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    servers = [pid for pid, parent in parents.items() if parent == os.getpid()]
    for pid, parent in parents.items():
        if parent in servers:
            found.append(pid)
    return found


def hashes(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.tar"))]


def test_a_killed_worker_costs_nothing(raw_folders, tmp_path) -> None:
    """The picture is named, the job tried again, the bytes are the same."""
    api.shard(raw_folders, tmp_path / "calm", shard_size=20, split=["train"])
    events: list = []
    stop = threading.Event()

    def kill() -> None:
        while not stop.is_set() and not list((tmp_path / "wild").rglob(".part-*.tar")):
            time.sleep(0.005)
        for pid in workers():
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        done = api.shard(
            raw_folders, tmp_path / "wild", shard_size=20, split=["train"], workers=2, progress=events.append
        )
    finally:
        stop.set()
        killer.join()
    warnings = [event.text for event in events if isinstance(event, Message) and event.warning]
    assert "n9000" in warnings[0] or "shard" in warnings[0]
    assert done[0].images == 59
    assert hashes(tmp_path / "wild") == hashes(tmp_path / "calm")


# Notes the process of every compilation of numba.
WATCH = """
import os
from numba.core import event

class Listener(event.Listener):
    def on_start(self, event):
        with open({log!r}, "a") as log:
            log.write(f"{{os.getpid()}}\\n")

    def on_end(self, event):
        pass

event.register("numba:compile", Listener())
"""


def test_kernels_compile_once_and_in_no_worker(raw_folders, tmp_path) -> None:
    """In the server that forks workers, whatever their number; a second run compiles nothing."""
    log = tmp_path / "log"
    (tmp_path / "sitecustomize.py").write_text(WATCH.format(log=str(log)))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    processes = []
    for out in ("a", "b"):
        log.write_text("")
        command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), str(tmp_path / out)]
        command += ["--split", "val", "--size", "16", "--shard-size", "2", "--workers", "3"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        processes.append(set(log.read_text().split()))
    assert [len(each) for each in processes] == [1, 0]


def test_workers_end_with_their_parent(raw_folders, tmp_path) -> None:
    """Also when it is killed in the middle of a shard: no process of the run is left."""
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), str(tmp_path)]
    slow = ["--size", "2048", "--encoding", "png", "--split", "train"]  # a shard of a quarter of a minute
    process = subprocess.Popen([*command, *slow], start_new_session=True)
    while not list(tmp_path.rglob(".part-*.tar")):
        time.sleep(0.005)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not group_lives(process.pid)


DEADLY = b"\xff\xd8\xff deadly"


@pytest.mark.parametrize(("kind", "reason"), [("crash", "decoder_crash"), ("loop", "timeout")])
def test_a_deadly_picture_is_left_out_by_name(raw_folders, tmp_path, kind, reason) -> None:
    """A decoder that crashes or loops on it takes two workers, not the run."""
    source = tmp_path / "raw" / "cat"
    source.mkdir(parents=True)
    for number, path in enumerate(sorted((raw_folders / "val").glob("*/*"))[:6]):
        (source / f"{number}.jpg").write_bytes(path.read_bytes())
    (source / "deadly.jpg").write_bytes(DEADLY)
    (tmp_path / "site").mkdir()
    patch = tmp_path / "site" / "sitecustomize.py"
    patch.write_text(PATCH.format(deadly=DEADLY, kind=kind))
    code = "import sys; from alexnet_pipeline.cli.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", code, "--json", "shard", str(source.parent), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "cat/deadly.jpg" in done.stderr
    (summary,) = json.loads(done.stdout)
    assert summary["images"] == 6
    assert [(r["name"], r["reason"]) for r in summary["rejects"]] == [("cat/deadly.jpg", reason)]


# Stands for a broken decoder, in every process of the run: crashes, or loops beyond a limit made short.
PATCH = """
import importlib.abc, importlib.machinery, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "alexnet_pipeline.shards.write":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        plain = spec.loader.exec_module
        def execute(module):
            plain(module)
            spoil(module)
        spec.loader.exec_module = execute
        return spec

def spoil(module):
    import os
    module.DECODE_LIMIT_S = 0.5
    decode = module.codec.decode_remarked
    def deadly(data, **options):
        if data == {deadly!r}:
            if {kind!r} == "crash":
                os.kill(os.getpid(), 11)
            while True:
                pass
        return decode(data, **options)
    module.codec.decode_remarked = deadly

import importlib.util
sys.meta_path.insert(0, Finder())
"""


def test_workers_that_cannot_begin_end_the_run(raw_folders, tmp_path) -> None:
    """A script from standard input cannot be imported by workers: one error, not workers without end."""
    code = f"import alexnet_pipeline as a; a.shard({str(raw_folders)!r}, {str(tmp_path / 'out')!r}, workers=1)"
    done = subprocess.run(
        [sys.executable, "-"], check=False, input=code, capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "workers die before their first image" in done.stderr


@pytest.mark.parametrize("place", ["a long path", "a missing folder", "a read-only folder"])
def test_sockets_find_another_place(raw_folders, tmp_path, place) -> None:
    """Slurm's TMPDIR is too long for a socket, and containers set ones that are not there."""
    folder = tmp_path / ("x" * 90) / "y" if place == "a long path" else tmp_path / "tmp"
    if place != "a missing folder":
        folder.mkdir(parents=True)
    if place == "a read-only folder":
        folder = Path("/proc")
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders / "val"), str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--size", "32", "--workers", "1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_positions_are_shared_without_dev_shm(tmp_path) -> None:
    """Two mappings of one small file see each other's numbers."""
    from alexnet_pipeline.shards.workers import Positions

    ours = Positions.create(3)
    theirs = Positions.open(ours.path)
    theirs.values[2] = 7
    assert ours.values.tolist() == [0, 0, 7]
    ours.remove()
    theirs.values[1] = 5
    assert ours.values.tolist() == [0, 5, 7]
    assert not ours.path.exists()
