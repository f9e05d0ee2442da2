"""Towers in several processes of one run: they learn alike, and none outlives the others."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from alexnet_pipeline import evaluate
from alexnet_pipeline.alexnet.metrics import read_metrics
from alexnet_pipeline.alexnet.processes import join
from alexnet_pipeline.errors import RefusedError
from tests.alexnet.made import FLAGS, run, weights


def start_torchrun(arguments: list[str], world: int = 2) -> list[subprocess.Popen]:
    """The processes that torchrun would start, without its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "train", *arguments, "--towers", "distributed"]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(world)
    ]


def finished(processes: list[subprocess.Popen]) -> list[bytes]:
    """What each printed."""
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return [output for output, _ in outputs]


def test_towers_learn_alike_wherever_they_are(shards: Path, tmp_path: Path) -> None:
    """One stack, two stacks, two processes: the same weights, and one process that prints."""
    run(shards, tmp_path / "one", steps=4)
    run(shards, tmp_path / "local", steps=4, towers="local")
    processes = start_torchrun([str(shards), "--run-dir", str(tmp_path / "two"), *FLAGS, "--steps", "4"])
    outputs = finished(processes)
    assert (b"4 steps, 48 images" in outputs[0], outputs[1]) == (True, b"")
    expected = weights(tmp_path / "one")
    for other in ("local", "two"):
        for name, value in weights(tmp_path / other).items():
            torch.testing.assert_close(value.float(), expected[name].float(), rtol=2e-3, atol=2e-3)
        assert [line.images for line in read_metrics(tmp_path / other).steps] == [24, 48]
    found = evaluate(tmp_path / "two", shards=shards / "val", device="cpu", progress=False)
    assert found.errors.total_images == 20


def test_a_run_of_two_processes_is_resumed_by_one_at_an_epochs_end_only(shards: Path, tmp_path: Path) -> None:
    """Within an epoch its place in the data is that of two."""
    for name, steps, epochs in (("within", "7", 10), ("end", "10", 2)):
        folder = tmp_path / name
        flags = [*FLAGS, "--epochs", str(epochs)]
        processes = start_torchrun([str(shards), "--run-dir", str(folder), *flags, "--steps", steps])
        finished(processes)
    assert run(shards, tmp_path / "end", epochs=2, steps=10, resume="auto").images == 118
    with pytest.raises(RefusedError, match="within an epoch by 2 processes"):
        run(shards, tmp_path / "within", steps=7, resume="auto")


def test_a_dead_process_ends_the_job(shards: Path, tmp_path: Path) -> None:
    """With an exit code that says so, and nobody left."""
    processes = start_torchrun(
        [str(shards), "--run-dir", str(tmp_path / "run"), *FLAGS, "--epochs", "500", "--timeout", "20"]
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run").glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    processes[1].kill()
    processes[0].communicate(timeout=60)
    assert processes[0].returncode not in {0, None}
    for process in processes:
        process.communicate()


@pytest.mark.parametrize(
    ("environment", "towers", "device", "words"),
    [
        ({}, "distributed", "cpu", "even number of processes, found 1"),
        ({"WORLD_SIZE": "3"}, "auto", "cpu", "even number of processes, found 3"),
        ({"WORLD_SIZE": "2"}, "one", "cpu", "2 processes"),
    ],
)
def test_impossible_arrangements_are_refused(monkeypatch, environment, towers, device, words) -> None:
    """With what was found and what would do."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RefusedError, match=words), join(towers, device):
        pass


def test_a_missing_gpu_is_refused(monkeypatch) -> None:
    """Only where one is asked for."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RefusedError, match="`device='cuda'`"), join("auto", "cuda"):
        pass
    with join("auto", "auto") as process:
        assert (process.towers, process.device.type, process.leads, process.replica_count) == ("one", "cpu", True, 1)


def test_one_process_gathers_its_own() -> None:
    """Without any others there is nothing to wait for."""
    with join("local", "cpu") as process:
        assert process.gather_bytes(b"state") == [b"state"]
        assert process.any(True)
        assert not process.any(False)
        assert len(process.exchange.devices) == 2
