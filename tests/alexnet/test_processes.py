"""Towers in several processes of one run: they learn alike, and none outlives the others."""

from pathlib import Path

import pytest
import torch

from alexnet_pipeline import evaluate
from alexnet_pipeline.alexnet.metrics import read_metrics
from alexnet_pipeline.alexnet.processes import LOST, join
from alexnet_pipeline.errors import RefusedError
from tests.alexnet.made import FLAGS, await_checkpoint, finished, run, run_forked, started, weights


def arguments(shards: Path, folder: Path, *flags: str) -> list[str]:
    """Of the command that trains a small network distributed."""
    return ["-q", "train", str(shards), "--run-dir", str(folder), *FLAGS, "--towers", "distributed", *flags]


def test_towers_learn_alike_wherever_they_are(shards: Path, tmp_path: Path) -> None:
    """One stack, two stacks, two processes: the same weights, and one process that prints."""
    run(shards, tmp_path / "one", steps=4)
    run(shards, tmp_path / "local", steps=4, towers="local")
    with started("alexnet_pipeline", arguments(shards, tmp_path / "two", "--steps", "4")) as processes:
        outputs = finished(processes)
    assert (b"4 steps, 48 images" in outputs[0], outputs[1]) == (True, b"")
    expected = weights(tmp_path / "one")
    for other in ("local", "two"):
        for name, value in weights(tmp_path / other).items():
            torch.testing.assert_close(value.float(), expected[name].float(), rtol=2e-3, atol=2e-3)
        assert [line.images for line in read_metrics(tmp_path / other).steps] == [24, 48]
    found = evaluate(tmp_path / "two", shards=shards / "val", device="cpu", progress=False)
    assert found.errors.total_images == 20


def test_a_run_of_two_processes_is_resumed_by_one(shards: Path, tmp_path: Path) -> None:
    """Within an epoch, too: they share the batches that one process would have, so both learn the same from them."""
    same = {"steps": 7, "learning_rate": 1e-4}  # so low that rounding does not grow
    run(shards, tmp_path / "one", **same)
    two = tmp_path / "two"
    with started("alexnet_pipeline", arguments(shards, two, "--steps", "7", "--learning-rate", "1e-4")) as processes:
        finished(processes)
    (two / "checkpoints" / "step-000000007").rename(tmp_path / "last")
    done = run(shards, two, resume="auto", **same)
    assert (done.steps, done.images) == (7, 83)
    expected = weights(tmp_path / "one")
    for name, value in weights(two).items():
        if name.endswith(("weight", "bias")):
            # Rounding differs by 2.4e-6 between processors; one step moves the weights of conv1 by 5e-4.
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)


def test_copies_of_the_network_learn_what_one_process_learns(shards: Path, tmp_path: Path) -> None:
    """Three processes, then two that resume: the losses, errors and weights of one; an epoch's last batch is uneven.

    Three cannot be pairs of towers, so `auto` makes copies of them. All take their parts in two micro-batches.
    """
    same = ["--norm", "lrn", "--learning-rate", "1e-4", "--log-every", "1", "--resume", "auto"]
    same += ["--grad-accum-steps", "2"]
    run(shards, tmp_path / "one", steps=7, norm="lrn", learning_rate=1e-4, log_every=1)
    for world, towers, steps in ((3, "auto", "6"), (2, "one", "7")):
        begin = ["-q", "train", str(shards), "--run-dir", str(tmp_path / "copies"), *FLAGS, *same]
        assert run_forked([*begin, "--towers", towers, "--steps", steps], world) == ([0] * world, [])
    found, expected = read_metrics(tmp_path / "copies"), read_metrics(tmp_path / "one")
    assert [line.images for line in found.steps] == [12, 24, 36, 48, 59, 71, 83]
    assert [line.loss for line in found.steps] == pytest.approx([line.loss for line in expected.steps], rel=1e-4)
    assert found.validations[-1].errors.top1_error == expected.validations[-1].errors.top1_error
    moved = weights(tmp_path / "one")
    for name, value in weights(tmp_path / "copies").items():
        torch.testing.assert_close(value, moved[name], rtol=0, atol=1e-5)


def test_a_dead_process_ends_the_job(shards: Path, tmp_path: Path) -> None:
    """With an exit code that says so, and nobody left."""
    endless = arguments(shards, tmp_path / "run", "--epochs", "500", "--timeout", "20")
    with started("alexnet_pipeline", endless) as processes:
        await_checkpoint(tmp_path / "run")
        processes[1].kill()
        processes[0].communicate(timeout=60)
        assert processes[0].returncode not in {0, None}


@pytest.mark.parametrize(
    ("environment", "towers", "device", "words"),
    [
        ({}, "distributed", "cpu", "even number of processes, found 1"),
        ({"WORLD_SIZE": "3"}, "distributed", "cpu", "even number of processes, found 3.*`towers='one'`"),
        ({"WORLD_SIZE": "2"}, "local", "cpu", "2 processes"),
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
        assert process.gather(b"state") == [b"state"]
        assert process.any(True)
        assert not process.any(False)
        assert len(process.exchange.devices) == 2


def test_only_training_is_shared(shards: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process of torchrun would evaluate all images, and write the same files."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RefusedError, match="torchrun started 2 processes, but only training"):
        evaluate(uninterrupted, shards=shards / "val", device="cpu", progress=False)


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1", True),
        ("[unbound_buffer.cc:81] Gloo: timed out waiting 10000ms for recv operation to complete", True),
        ("Application timeout caused pair closure", True),
        ("NCCL error: unhandled system error", True),
        ("/mnt/store/train: no such file", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_a_lost_process_looks_like(text: str, lost: bool) -> None:
    """In the words of gloo and NCCL; other errors keep their own words."""
    assert bool(LOST.search(text)) == lost
