"""Runs on a Ray cluster of three nodes: the same bytes, whatever is killed.

Every driver is a process of its own, because Ray stays in the process that started it.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alexnet_pipeline import shard
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.shards import ray as engine
from alexnet_pipeline.shards.journal import SetState
from alexnet_pipeline.storage.remote import RemotePath
from tests.shards.test_build import default_signals
from tests.shards.test_workers import DEADLY, PATCH
from tests.storage.server import contents, files, variables

pytest.importorskip("ray", reason="ray is not installed")

# Long enough for a shard that something can be killed within it.
SLOW = ["--split", "train", "--shard-size", "10", "--size", "512", "--encoding", "png"]
LIMIT_S = 180
# Exit code of a run over the sample, which holds a damaged image.
REJECTS = 3


@pytest.fixture(scope="module")
def cluster(port: int) -> Iterator[Any]:
    """Three nodes of one core each; they find the S3 server that tests use."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**variables(port), "RAY_AUTH_MODE": "disabled"}.items():
            environment.setenv(name, value)
        node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
        nodes = Cluster(initialize_head=True, head_node_args=node)
        try:
            for _ in range(2):
                nodes.add_node(num_cpus=1, object_store_memory=80 << 20)
            nodes.wait_for_nodes()
            yield nodes
        finally:
            nodes.shutdown()


@pytest.fixture
def start(cluster: Any, raw_folders: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts a run of the sample on the cluster."""

    def start(out: object, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "alexnet_pipeline", "--json", "shard", str(raw_folders), str(out)]
        environment = {**os.environ, "RAY_ADDRESS": cluster.address, "RAY_AUTH_MODE": "disabled"}
        return subprocess.Popen(
            [*command, "--engine", "ray", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=default_signals,
        )

    return start


@pytest.fixture(scope="module")
def slow(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the slow run writes on this machine alone."""
    out = tmp_path_factory.mktemp("slow")
    shard(raw_folders, out, split=["train"], shard_size=10, size=512, encoding="png", progress=False)
    return files(out)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code and stderr."""
    _, errors = process.communicate(timeout=LIMIT_S)
    return process.returncode, errors


def wait_for(condition: Callable[[], Any], process: "subprocess.Popen[str]") -> Any:
    """What a condition returns, once that is true."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def running(name: str) -> list[int]:
    """The processes of Ray that run a task of a name."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = command.read_bytes()
        except OSError:
            continue
        if text.startswith(f"ray::{name}".encode()):
            found.append(int(command.parent.name))
    return found


def test_the_bytes_are_those_of_this_machine(start, raw_folders, bucket, cluster, tmp_path) -> None:
    """On three nodes, on disk and in a store; and a second run has nothing to do."""
    shard(raw_folders, tmp_path / "local", methods=["nearest", "lanczos"], shard_size=16, progress=False)
    how = ["--method", "nearest,lanczos", "--shard-size", "16"]
    assert finish(start(tmp_path / "ray", *how))[0] == REJECTS
    assert files(tmp_path / "ray") == files(tmp_path / "local")
    for _ in range(2):
        assert finish(start(f"{bucket}/shards", *how))[0] == REJECTS
    assert contents(RemotePath(bucket.root, "shards")) == files(tmp_path / "local")


@pytest.mark.parametrize("what", ["the worker", "its child"])
def test_a_killed_worker_costs_nothing(start, slow, tmp_path, what) -> None:
    """Ray starts the task again; the local engine within it starts its child again, and says so."""
    process = start(tmp_path, *SLOW)
    wait_for(lambda: list(tmp_path.rglob(".part-*.tar")), process)
    parents = running("_write")
    victims = parents if what == "the worker" else children_of(children_of(parents))
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    code, errors = finish(process)
    assert (code, files(tmp_path)) == (REJECTS, slow), errors
    assert ("trying again" in errors) == (what == "its child")


def children_of(parents: list[int]) -> list[int]:
    """The children of processes."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) in parents:
            found.append(int(stat.parent.name))
    return found


def test_a_lost_node_costs_nothing(start, slow, cluster, tmp_path) -> None:
    """Its tasks run elsewhere."""
    lost = cluster.add_node(num_cpus=2, object_store_memory=80 << 20)
    cluster.wait_for_nodes()
    process = start(tmp_path, *SLOW)
    wait_for(lambda: len(list(tmp_path.rglob(".part-*.tar"))) > 1, process)
    cluster.remove_node(lost, allow_graceful=False)
    code, errors = finish(process)
    assert (code, files(tmp_path)) == (REJECTS, slow), errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_driver_resumes(start, slow, tmp_path, number, code) -> None:
    """Its tasks end; what it had finished stays."""
    process = start(tmp_path, *SLOW)
    wait_for(lambda: list(tmp_path.rglob("*-000*.tar")), process)
    process.send_signal(number)
    assert finish(process)[0] == code
    deadline = time.monotonic() + 30
    while running("_write") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running("_write")
    if number != signal.SIGKILL:
        assert not list(tmp_path.rglob(".part-*"))
    assert finish(start(tmp_path, *SLOW))[0] == REJECTS
    assert files(tmp_path) == slow
    assert not list(tmp_path.rglob(".part-*.tar"))


def test_a_deadly_image_is_left_out_by_name(raw_folders, tmp_path) -> None:
    """Without a cluster, on one that is started for the run; the reason is the right one."""
    source = tmp_path / "raw" / "cat"
    source.mkdir(parents=True)
    for number, path in enumerate(sorted((raw_folders / "val").glob("*/*"))[:6]):
        (source / f"{number}.jpg").write_bytes(path.read_bytes())
    (source / "deadly.jpg").write_bytes(DEADLY)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(PATCH.format(deadly=DEADLY, kind="crash"))
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": "local"}
    command = [sys.executable, "-m", "alexnet_pipeline", "--json", "shard", str(source.parent), str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--engine", "ray"], env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert done.returncode == 3, done.stderr
    (summary,) = json.loads(done.stdout)
    assert summary["images"] == 6
    assert [(r["name"], r["reason"]) for r in summary["rejects"]] == [("cat/deadly.jpg", "decoder_crash")]


def test_what_nodes_cannot_see_is_refused(raw_folders, tmp_path) -> None:
    """The output, the source and other versions, each by its name."""
    shard(raw_folders, tmp_path, split=["val"], size=16, shard_range=(0, 1), shard_size=8, progress=False)
    folder = tmp_path / "antialias" / "val"
    plan = SetState(folder).begun()
    image = next(raw_folders.glob("val/*/*"))
    check = engine._Check(((folder, plan.fingerprint),), str(image), engine._versions())
    assert not engine._problem(check)
    other = dataclasses.replace(check, plans=((tmp_path / "elsewhere", plan.fingerprint),))
    assert "does not see the output" in engine._problem(other)
    assert "cannot read /nowhere/a.jpg" in engine._problem(dataclasses.replace(check, image="/nowhere/a.jpg"))
    older = {**engine._versions(), "opencv": "1.0"}
    assert ", not 1.0; install the same versions" in engine._problem(dataclasses.replace(check, versions=older))


def test_without_ray_the_engine_is_refused(raw_folders, tmp_path, monkeypatch) -> None:
    """With the command that installs it; and a cluster that is not there is one line."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RefusedError, match=r"pip install 'alexnet-pipeline\[ray\]'"):
        shard(raw_folders, tmp_path, size=16, engine="ray", progress=False)
    monkeypatch.undo()
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1", "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--engine", "ray", "--size", "16"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "127.0.0.1:1" in done.stderr
