"""A run's numbers go to TensorBoard and to Weights & Biases where they are asked for."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from alexnet_pipeline.errors import InterruptedRunError, RefusedError
from alexnet_pipeline.progress import Message
from tests.alexnet.made import FLAGS, run

TRAINING = importlib.import_module("alexnet_pipeline.alexnet.train")  # the package has the function by this name


@pytest.mark.parametrize("found", [None, SimpleNamespace(origin=None)], ids=["nothing", "a folder of that name"])
@pytest.mark.parametrize(("name", "value"), [("tensorboard", True), ("wandb", "project")])
def test_a_missing_package_is_refused(tmp_path: Path, monkeypatch, name: str, value: object, found: object) -> None:
    """Before anything is read or written; a folder, as both programs make one, is no package."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    with pytest.raises(RefusedError, match=rf"`{name}` .* pip install 'alexnet-pipeline\[{name}\]'"):
        run(tmp_path / "nothing", tmp_path / "run", **{name: value})
    assert not (tmp_path / "run").exists()


def test_every_number_goes_to_tensorboard(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By step, in the groups train and val; only where asked for."""
    scalars = []

    class Writer:
        def __init__(self, folder: str) -> None:
            scalars.append(folder)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            scalars.append((name, step))

        def close(self) -> None:
            scalars.append("closed")

    monkeypatch.setattr(
        importlib.import_module("alexnet_pipeline.alexnet.train"), "check_trackers", lambda options: None
    )
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    run(shards, tmp_path / "without", steps=2)
    assert not scalars
    run(shards, tmp_path / "with", steps=2, tensorboard=True)
    assert (scalars[0], scalars[-1]) == (str(tmp_path / "with" / "tensorboard"), "closed")
    assert {("train/loss", 2), ("train/data_wait", 2), ("train/learning_rate", 2)} <= set(scalars)
    assert {("val/loss", 2), ("val/top1_error", 2), ("val/top5_error", 2)} <= set(scalars)


def test_tensorboard_gets_the_metrics(shards: Path, tmp_path: Path) -> None:
    """Loss and validation error by step."""
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(shards, tmp_path, steps=5, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"train/loss", "val/top1_error"} <= set(events.Tags()["scalars"])


class FakeWandb:
    """What the tests need of the package; it notes what is asked of it."""

    def __init__(self) -> None:
        self.begun, self.logged, self.codes = [], [], []
        self.errors = SimpleNamespace(Error=ConnectionError)
        self.refuses = ""

    def Settings(self, **settings: object) -> dict:  # noqa: N802 - the package's name
        return settings

    def init(self, **asked: object) -> "FakeWandb":
        if self.refuses:
            raise ConnectionError(self.refuses)
        self.begun.append(asked)
        self.dir, self.offline, self.url = "/x/files", False, "https://wandb.example/1"
        return self

    def log(self, values: dict, step: int) -> None:
        self.logged.append((step, sorted(values)))

    def finish(self, exit_code: int) -> None:
        self.codes.append(exit_code)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    """In the place of the package."""
    fake = FakeWandb()
    monkeypatch.setattr(
        importlib.import_module("alexnet_pipeline.alexnet.train"), "check_trackers", lambda options: None
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_every_number_goes_to_wandb(shards: Path, tmp_path: Path, wandb: FakeWandb) -> None:
    """By step; the run's record is its configuration, and its address is told."""
    events = []
    run(shards, tmp_path / "mine", steps=2, wandb="towers", seed=3, progress=events.append)
    (asked,) = wandb.begun
    assert (asked["project"], asked["name"], asked["resume"]) == ("towers", "mine", "allow")
    assert (asked["config"]["seed"], asked["config"]["recipe"]["preset"]) == (3, "quarter")
    assert Message("wandb: https://wandb.example/1") in events
    (step, names), (val_step, val_names) = wandb.logged
    assert (step, val_step, wandb.codes) == (2, 2, [0])
    assert {"train/loss", "train/learning_rate", "train/data_wait"} <= set(names)
    assert {"val/loss", "val/top1_error", "val/top5_error"} <= set(val_names)


def test_a_resumed_run_continues_its_wandb_run(shards: Path, tmp_path: Path, wandb: FakeWandb) -> None:
    """The same identifier in the same project, also after an interruption; another project has another one."""
    with pytest.raises(InterruptedRunError):
        run(shards, tmp_path, steps=4, wandb="a", stop=lambda: signal.SIGTERM)
    for project in ("a", "b", "b"):
        run(shards, tmp_path, steps=4, wandb=project, resume="auto")
    ids = [asked["id"] for asked in wandb.begun]
    assert (ids[0], ids[2]) == (ids[1], ids[3])
    assert ids[0] != ids[2]
    assert wandb.codes == [1, 0, 0, 0]
    (tmp_path / "wandb.json").write_text("{")
    run(shards, tmp_path, steps=4, wandb="b", resume="auto")
    assert wandb.begun[-1]["id"] not in ids


def test_a_wandb_that_does_not_start_is_refused(shards: Path, tmp_path: Path, wandb: FakeWandb) -> None:
    """In one line, and before a step is taken."""
    wandb.refuses = "No API key configured.\nSee ..."
    with pytest.raises(RefusedError, match=r"`wandb`: No API key configured\.; WANDB_MODE=offline") as error:
        run(shards, tmp_path, steps=2, wandb="a")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_wandb_writes_files_offline(shards: Path, tmp_path: Path) -> None:
    """The package itself: two parts of one run, each with the numbers, and no connection to anybody."""
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        folders = {f"WANDB_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "CACHE", "DATA")}
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), address)
        environment = {**os.environ, **folders, **proxies, "NO_PROXY": "", "no_proxy": "", "OMP_NUM_THREADS": "1"}
        environment |= {"WANDB_MODE": "offline"}
        command = [sys.executable, "-m", "alexnet_pipeline", "train", str(shards), "--run-dir", str(tmp_path / "run")]
        command += [*FLAGS, "--wandb", "towers", "--resume", "auto", "--steps"]
        for steps in ("2", "4"):
            done = subprocess.run([*command, steps], env=environment, check=True, capture_output=True, text=True)
            assert "`wandb sync` uploads it" in done.stderr
            assert done.stdout.startswith(f"{tmp_path / 'run'}: {steps} steps, ")
        with pytest.raises(BlockingIOError):
            proxy.accept()
    kept = json.loads((tmp_path / "run" / "wandb.json").read_text())
    logs = sorted((tmp_path / "run" / "wandb").glob(f"offline-run-*/run-{kept['id']}.wandb"))
    assert (len(logs), kept["project"]) == (2, "towers")
    assert all(b"train/loss" in log.read_bytes() and b"val/top1_error" in log.read_bytes() for log in logs)
