"""The commands of training do what the functions do, and heed signals."""

import dataclasses
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from alexnet_pipeline import evaluate, report
from alexnet_pipeline.alexnet import bench as measuring
from alexnet_pipeline.alexnet.options import EvaluateOptions, LoadOptions, StepOptions, TrainOptions
from alexnet_pipeline.alexnet.recipe import RecipeChanges
from alexnet_pipeline.cli import train as commands
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.options import parameters_of
from tests.alexnet.made import FLAGS, digest, one_thread, run, small_shards

PROGRAM = [sys.executable, "-m", "alexnet_pipeline"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def shards(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of the sample, small."""
    return small_shards(raw_folders, tmp_path_factory.mktemp("shards"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def uninterrupted(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 50 steps, started from Python."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with one_thread():
        run(shards, folder, checkpoint_every=2)
    return folder


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_train_is_its_function(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """The same bits from the same words, and the summary as JSON or as lines."""
    done = invoke("--json", "train", shards, "--run-dir", tmp_path / "a", *FLAGS, "--towers", "one")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["steps"], summary["images"], summary["errors"]["total_images"]) == (50, 590, 20)
    assert digest(tmp_path / "a") == digest(uninterrupted)
    lines = invoke("-q", "train", shards, "--run-dir", tmp_path / "b", *FLAGS, "--steps", 1).stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'b'}: 1 step, 12 images, checkpoint ")
    assert lines[1].startswith("val, centre crop, 20 images: top-1 error ")


def test_evaluate_is_its_function(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """One run, and an ensemble."""
    for runs in ([uninterrupted], [uninterrupted, uninterrupted]):
        words = [*runs, "--shards", shards / "val", "--crops", "10", "--device", "cpu"]
        done = invoke("--json", "evaluate", *words, "--predictions", tmp_path / "lines")
        found = evaluate(runs, shards=shards / "val", crops=10, device="cpu", progress=False)
        assert json.loads(done.stdout) == json.loads(json.dumps(dataclasses.asdict(found)))
        assert len((tmp_path / "lines").read_text().splitlines()) == 20
    text = invoke("evaluate", uninterrupted, "--shards", shards / "val", "--device", "cpu").stdout.splitlines()
    assert text[0] == f"{uninterrupted}, step 50, on {shards / 'val'} (area)"
    assert text[1].startswith("centre crop, 20 images: top-1 error ")
    assert ", top-5 error " in text[1]


def test_evaluate_takes_a_checkpoint(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """By its step; one that is not kept is refused with those that are, in the words of the command line."""
    words = ["evaluate", uninterrupted, "--shards", shards / "val", "--device", "cpu", "--checkpoint"]
    assert invoke(*words, 48).stdout.startswith(f"{uninterrupted}, step 48, on ")
    refused = invoke(*words, 7)
    assert refused.exit_code == 2
    assert "--checkpoint: found none of '7'; expected newest, best, or one of the steps 50, 48," in refused.stderr


def test_report_is_its_function(uninterrupted: Path, tmp_path: Path) -> None:
    """The same page."""
    done = invoke("report", uninterrupted, "-o", tmp_path / "a.html")
    assert done.stdout == f"report: {tmp_path / 'a.html'}\n"
    report(uninterrupted, tmp_path / "b.html", progress=False)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_bench_load_is_its_function(shards: Path) -> None:
    """Counts whole batches."""
    words = [shards, "--batch-size", 8, "--images", 30, "--device", "cpu", "--threads", 1]
    found = json.loads(invoke("--json", "bench", "load", *words).stdout)
    assert found["images"] >= 30
    assert found["what"] == f"{shards / 'train'} (jpg) on cpu"
    line = invoke("bench", "load", *words).stdout
    assert line.startswith(f"{found['what']}: ")
    assert line.rstrip().endswith(" ms of CPU per image")


def test_bench_train_is_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second whenever it is read."""
    now = iter(range(1000))
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: float(next(now))))
    words = ["--preset", "quarter", "--width", 0.05, "--batch-size", 3, "--steps", 2, "--classes", 5, "--device", "cpu"]
    line = invoke("bench", "train", *words, "--norm", "none").stdout
    assert line == "quarter, norm none, batch 3, fp32 on cpu: 3.0 images/s, 1,000.0 ms per step\n"
    assert invoke("bench", "train", "--synthetic").exit_code == 2


VALUES = {int: "3", float: "0.25", bool: True, str: "x", Path: "some/path"}


@pytest.mark.parametrize(
    ("command", "function", "records"),
    [
        (["train", "s", "--run-dir", "r"], "alexnet.train.train", (RecipeChanges, TrainOptions)),
        (["evaluate", "r", "--shards", "s"], "alexnet.evaluate.evaluate", (EvaluateOptions,)),
        (["bench", "load", "s"], "alexnet.bench.measure_loading", (LoadOptions,)),
        (["bench", "train"], "alexnet.bench.measure_training", (RecipeChanges, StepOptions)),
    ],
    ids=["train", "evaluate", "bench load", "bench train"],
)
def test_every_flag_reaches_its_function(monkeypatch, command, function, records) -> None:
    """With the value given, and nothing that was not given."""
    module, _, name = function.rpartition(".")
    calls = []

    class CalledError(Exception):
        pass

    def called(*arguments, **options):
        calls.append(options)
        raise CalledError

    monkeypatch.setattr(importlib.import_module(f"alexnet_pipeline.{module}"), name, called)
    invoke(*command)
    parameters = [parameter for record in records for parameter in parameters_of(record)]
    assert not calls[-1].keys() & {parameter.name for parameter in parameters}
    for parameter in parameters:
        value = parameter.choices[-1] if parameter.choices else VALUES[parameter.kind]
        flag = f"--{parameter.flag}"
        invoke(*command, flag) if parameter.kind is bool else invoke(*command, flag, value)
        assert calls[-1][parameter.name] == parameter.convert(value), flag


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--lighting", "-1"),
        ("--learning-rate", "nan"),
        ("--timeout", "-1"),
        ("--seed", "10000000000000"),
        ("--seed", "1e13"),
        ("--batch-size", "0"),
        ("--width", "1000"),
        ("--dropout", "1"),
        ("--threads", "0"),
        ("--preset", "caffe"),
        ("--towers", "three"),
        ("--resume", "yes"),
    ],
)
def test_impossible_values_are_one_line(flag: str, value: str) -> None:
    """With the flag and exit code 2, before anything is looked at."""
    done = invoke("train", "/nowhere", "--run-dir", "/nowhere", flag, value)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert flag in done.stderr
    assert "Traceback" not in done.output


def test_refusals_name_flags(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Where the library names parameters."""
    again = invoke("train", shards, "--run-dir", uninterrupted, *FLAGS)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "resume it with --resume auto, or choose another --run-dir" in again.stderr
    other = invoke("train", shards, "--run-dir", uninterrupted, *FLAGS, "--resume", "auto", "--seed", 1)
    assert "(seed: 0, now 1)" in other.stderr
    plateau = invoke("train", shards / "train", "--run-dir", tmp_path, "--preset", "paper")
    assert "give --val, or choose --schedule steps" in plateau.stderr


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs them."""
    monkeypatch.setattr(commands.importlib.util, "find_spec", lambda name: None)
    done = invoke("train", "s", "--run-dir", "r")
    assert done.exit_code == 2
    assert "torch is not installed; pip install 'alexnet-pipeline[train]'" in done.stderr


def test_killed_runs_end_alike(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, resumed each time: the same bits as without."""
    folder, chance = tmp_path / "run", random.Random(5)
    command = [*PROGRAM, "-q", "train", str(shards), "--run-dir", str(folder), *FLAGS]
    command += ["--resume", "auto", "--towers", "one"]
    kills = 0
    for _ in range(int(os.environ.get("ALEXNET_PIPELINE_KILLS", "3"))):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ONE_THREAD)
        before = set(folder.glob("checkpoints/step-*"))
        while process.poll() is None and not set(folder.glob("checkpoints/step-*")) - before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, env=ONE_THREAD, stdout=subprocess.DEVNULL)
    assert kills
    assert digest(folder) == digest(uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_so(shards: Path, uninterrupted: Path, tmp_path: Path, number: int) -> None:
    """A line with the step and how to continue, the exit code of the signal, and the same bits once resumed."""
    command = [*PROGRAM, "train", str(shards), "--run-dir", str(tmp_path), *FLAGS, "--towers", "one"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ONE_THREAD) as process:
        assert process.stderr
        assert process.stderr.readline() == f"{shards}/train: 59 images in 10 classes, area, 80 px, crops of 70 px\n"
        assert process.stderr.readline() == "training 50 steps (10 epochs) of preset quarter on CPU (one device)\n"
        process.send_signal(number)
        process.send_signal(number)  # at once after the first: the same request
        text = process.stderr.read()
    assert process.returncode == 128 + number
    assert "of 50; --resume auto continues from there" in text
    assert "Traceback" not in text
    run(shards, tmp_path, resume="auto", checkpoint_every=2)
    assert digest(tmp_path) == digest(uninterrupted)
