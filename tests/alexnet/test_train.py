"""A run can be killed, resumed and spread over processes without changing what is learnt."""

import dataclasses
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alexnet_pipeline import shard
from alexnet_pipeline.alexnet.checkpoint import Checkpoint, load_newest, save_checkpoint
from alexnet_pipeline.alexnet.evaluate import evaluate, wilson_interval
from alexnet_pipeline.alexnet.options import TrainOptions, TrainSummary
from alexnet_pipeline.alexnet.recipe import QUARTER, Recipe, find_recipe
from alexnet_pipeline.alexnet.schedule import PlateauState, after_epoch, is_over, learning_rate
from alexnet_pipeline.alexnet.train import train
from alexnet_pipeline.alexnet.update import set_learning_rate
from alexnet_pipeline.errors import PipelineError, RefusedError

SIZE = 80
SMALL = {"width": 0.05, "batch_images": 12, "epochs": 10}
FLAGS = ["--preset", "quarter", "--width", "0.05", "--batch-size", "12", "--epochs", "10", "--threads", "1"]
FLAGS += ["--checkpoint-every", "2", "--log-every", "2", "--device", "cpu"]


class Silent:
    """Tells nobody but remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def begin(self, steps: int, done: int, where: str) -> None: ...
    def step(self, line: dict) -> None: ...
    def evaluated(self, line: dict) -> None: ...
    def warn(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture(scope="module")
def shards(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of the sample, small."""
    out = tmp_path_factory.mktemp("shards")
    shard(raw_folders, out, methods=["area"], size=SIZE, shard_size=20, workers=1)
    return out / "area"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(shards: Path, folder: Path, recipe: Recipe | None = None, **options) -> TrainSummary:  # type: ignore[no-untyped-def]
    recipe = recipe or find_recipe("quarter", SMALL)
    given = {"device": "cpu", "threads": 1, "log_every_steps": 2, "towers": "one", **options}
    return train(shards / "train", shards / "val", folder, recipe, TrainOptions(**given), Silent())


def digest(folder: Path) -> str:
    """Of the newest weights and momentum."""
    newest = max((folder / "checkpoints").glob("step-*"))
    parts = ("weights.safetensors", "momentum.safetensors")
    return hashlib.sha256(b"".join((newest / name).read_bytes() for name in parts)).hexdigest()


@pytest.fixture(scope="module")
def uninterrupted(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run(shards, folder, checkpoint_every_steps=2)
    assert done.errors
    assert done.errors.total_images == 20
    return folder


def test_the_same_seed_learns_the_same(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run(shards, tmp_path / "again")
    assert digest(tmp_path / "again") == digest(uninterrupted)
    run(shards, tmp_path / "other", seed=1)
    assert digest(tmp_path / "other") != digest(uninterrupted)


def test_killed_runs_end_alike(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, resumed each time: the same bits as without."""
    folder, chance = tmp_path / "run", random.Random(5)
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "train", str(shards), "--run-dir", str(folder), *FLAGS]
    command += ["--resume", "auto", "--towers", "one"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    kills = 0
    for _ in range(int(os.environ.get("ALEXNET_PIPELINE_KILLS", "3"))):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        before = set(folder.glob("checkpoints/step-*"))
        while process.poll() is None and not set(folder.glob("checkpoints/step-*")) - before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, env=environment)
    assert kills
    assert digest(folder) == digest(uninterrupted)


def test_sigterm_saves_and_says_so(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "alexnet_pipeline", "train", str(shards), "--run-dir", str(folder), *FLAGS]
    command += ["--towers", "one"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        while "train:" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        text = process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert "--resume auto" in text
    assert "Traceback" not in text
    run(shards, folder, resume=True, checkpoint_every_steps=2)
    assert digest(folder) == digest(uninterrupted)


@pytest.mark.parametrize("damage", ["weights.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_left_for_the_one_before(shards: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "run"
    run(shards, folder, steps=8, checkpoint_every_steps=2)
    expected = digest(folder)
    path = max((folder / "checkpoints").glob("step-*")) / damage
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    watcher = Silent()
    recipe = find_recipe("quarter", SMALL)
    options = TrainOptions(device="cpu", threads=1, steps=8, resume=True, towers="one")
    train(shards / "train", shards / "val", folder, recipe, options, watcher)
    assert "damaged" in watcher.warnings[0]
    assert digest(folder) == expected


def test_other_settings_are_refused_on_resume(shards: Path, tmp_path: Path) -> None:
    run(shards, tmp_path / "run", steps=2)
    with pytest.raises(RefusedError, match="--resume auto"):
        run(shards, tmp_path / "run", steps=2)
    with pytest.raises(RefusedError, match=r"width: 0.05 -> 0.1"):
        run(shards, tmp_path / "run", find_recipe("quarter", {**SMALL, "width": 0.1}), steps=2, resume=True)
    with pytest.raises(RefusedError, match="seed: 0 -> 3"):
        run(shards, tmp_path / "run", steps=2, seed=3, resume=True)


def test_a_loss_that_is_no_number_stops(shards: Path, tmp_path: Path) -> None:
    recipe = find_recipe("quarter", {**SMALL, "norm": "none", "learning_rate": 1e6})
    with pytest.raises(PipelineError, match="the loss is"):
        run(shards, tmp_path / "run", recipe)
    assert load_newest(tmp_path / "run" / "checkpoints", print) is None


def test_towers_learn_alike_wherever_they_are(shards: Path, tmp_path: Path) -> None:
    """One stack, two stacks, two processes; a checkpoint of one goes on in another."""
    recipe = find_recipe("quarter", {**SMALL, "dropout": 0.0})
    run(shards, tmp_path / "one", recipe, steps=4)
    run(shards, tmp_path / "local", recipe, steps=4, towers="local")
    _torchrun([str(shards), "--run-dir", str(tmp_path / "two"), *FLAGS, "--dropout", "0", "--steps", "4"])
    wanted = _weights(tmp_path / "one")
    for other in ("local", "two"):
        for name, value in _weights(tmp_path / other).items():
            torch.testing.assert_close(value.float(), wanted[name].float(), rtol=2e-3, atol=2e-3)
    found = evaluate([tmp_path / "two"], shards / "val", device="cpu")
    assert found.errors.total_images == 20


def test_a_dead_process_ends_the_job(shards: Path, tmp_path: Path) -> None:
    """Within 30 s, with an exit code that says so, and nobody left."""
    processes = _start_torchrun(
        [str(shards), "--run-dir", str(tmp_path / "run"), *FLAGS, "--epochs", "500", "--timeout", "20"]
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run").glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    processes[1].kill()
    assert processes[0].wait(timeout=30) not in {0, None}
    processes[1].wait()


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(max((folder / "checkpoints").glob("step-*")) / "weights.safetensors")


def _start_torchrun(arguments: list[str]) -> list[subprocess.Popen]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "train", *arguments, "--towers", "distributed"]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]


def _torchrun(arguments: list[str]) -> None:
    assert [process.wait(timeout=120) for process in _start_torchrun(arguments)] == [0, 0]


def test_the_velocity_survives_a_drop_of_the_rate() -> None:
    """The paper's rule, step by step, against PyTorch's with the buffer corrected."""
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    groups = [{"params": [weight], "weight_decay": 5e-4, "factor": 1.0}]
    optimiser = torch.optim.SGD(groups, lr=0.1, momentum=0.9, fused=True)
    by_hand, velocity = 2.0, 0.0
    for rate, gradient in zip((0.1, 0.1, 0.01, 0.01, 0.001), (1.0, -2.0, 0.5, 0.25, 3.0), strict=True):
        set_learning_rate(optimiser, rate)
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        velocity = 0.9 * velocity - 5e-4 * rate * by_hand - rate * gradient
        by_hand += velocity
        assert float(weight.detach()) == pytest.approx(by_hand, rel=1e-12)


def test_schedules() -> None:
    steps = find_recipe("source2012", {})
    assert [learning_rate(steps, epoch * 10, 10, 910, PlateauState()) for epoch in (24, 25, 51, 79)] == pytest.approx(
        [0.01, 0.001, 0.0001, 0.00001]
    )
    geometric = find_recipe("paper", {"schedule": "geometric", "epochs": 95})
    rates = [learning_rate(geometric, epoch * 10, 10, 950, PlateauState()) for epoch in range(95)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(4e-5)
    assert learning_rate(QUARTER, 50, 10, 100, PlateauState()) == pytest.approx(QUARTER.learning_rate / 2)
    paper, state = find_recipe("paper", {}), PlateauState()
    for error in (0.9, 0.8, 0.8, 0.8, 0.8):
        state = after_epoch(paper, state, error)
    assert (state.drops, state.best_error) == (1, 0.8)
    assert learning_rate(paper, 0, 1, 1, state) == pytest.approx(0.001)
    assert is_over(paper, PlateauState(drops=4))


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    for step in range(5):
        save_checkpoint(tmp_path, Checkpoint(step, {"w": torch.ones(1)}, {}, {}, {"x": 1}), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000003", "step-000000004"]


def test_evaluation_counts_and_remembers(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Ensembles are means of probabilities; predictions name every key."""
    lines = tmp_path / "lines.jsonl"
    one = evaluate([uninterrupted], shards / "val", crops=10, device="cpu", predictions=lines)
    twice = evaluate([uninterrupted, uninterrupted], shards / "val", crops=10, device="cpu")
    assert one.errors == twice.errors
    assert one.errors.protocol == "10 crops"
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    wrong = sum(line["truth"] != line["best"][0]["class"] for line in told)
    assert len({line["key"] for line in told}) == 20
    assert one.errors.top1_error == wrong / 20
    assert sum(row.images for row in one.classes) == 20
    with pytest.raises(RefusedError, match="no checkpoint"):
        evaluate([tmp_path], shards / "val", device="cpu")


def test_wilson_interval() -> None:
    """Newcombe 1998, table I: 81 of 263, and 0 of 20."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_tensorboard_is_refused_where_it_is_missing(shards: Path, tmp_path: Path, monkeypatch) -> None:
    """Before anything is written."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r"alexnet-pipeline\[tensorboard\]"):
        run(shards, tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_metrics(shards: Path, tmp_path: Path) -> None:
    """Loss and validation error by step."""
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(shards, tmp_path / "run", tensorboard=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert {"train/loss", "val/top1_error"} <= set(events.Tags()["scalars"])


def test_the_last_validation_is_the_last_networks(shards: Path, tmp_path: Path) -> None:
    """Also where the steps end in mid-epoch: what the summary says is what `evaluate` finds."""
    done = run(shards, tmp_path / "run", steps=7)
    found = evaluate([tmp_path / "run"], shards / "val").errors
    assert done.errors.loss == pytest.approx(found.loss, rel=1e-5)  # through probabilities and back
    assert dataclasses.replace(done.errors, loss=found.loss) == found


def test_a_refused_resume_changes_nothing(shards: Path, tmp_path: Path) -> None:
    """Neither what training subtracted nor what it says of itself."""
    run(shards, tmp_path, steps=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RefusedError, match="made differently"):
        run(shards, tmp_path, find_recipe("quarter", {**SMALL, "mean": "image"}), steps=2, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_pictures_of_another_size_are_refused(shards: Path, raw_folders: Path, tmp_path: Path) -> None:
    """In validation and in evaluation: a crop of them would be another view."""
    shard(raw_folders, tmp_path / "large", methods=["area"], size=2 * SIZE, split=["val"], workers=1)
    large = tmp_path / "large" / "area" / "val"
    with pytest.raises(RefusedError, match="one --size"):
        train(shards / "train", large, tmp_path / "a", QUARTER, TrainOptions(), Silent())
    run(shards, tmp_path / "b", steps=1)
    with pytest.raises(RefusedError, match="same --size"):
        evaluate([tmp_path / "b"], large)


def test_a_lone_picture_at_an_epochs_end(shards: Path, tmp_path: Path) -> None:
    """59 pictures in batches of 29 leave one, which has no statistics of its own."""
    done = run(shards, tmp_path, find_recipe("quarter", {**SMALL, "batch_images": 29}), steps=4)
    assert done.steps == 4


def test_checkpoints_beyond_the_one_saved_go(tmp_path: Path) -> None:
    """They were damaged, or the run would have gone on from them; the new ones stay."""
    for step in (10, 12, 14):
        save_checkpoint(tmp_path, Checkpoint(step, {}, {}, {}, {}), keep=3)
        (tmp_path / f"step-{step:09d}" / "state.json").write_text("{}")
    for step in (2, 4, 4):
        save_checkpoint(tmp_path, Checkpoint(step, {}, {}, {}, {}), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000004"]
    assert load_newest(tmp_path, pytest.fail).step == 4
