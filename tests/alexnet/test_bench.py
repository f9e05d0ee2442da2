"""Loading and training are measured, by one function and by the two behind it."""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import alexnet_pipeline
from alexnet_pipeline.alexnet import bench as measuring
from alexnet_pipeline.alexnet.bench import LoadingSpeed, TrainingSpeed, bench, measure_loading, measure_training
from alexnet_pipeline.alexnet.options import LoadOptions, StepOptions
from alexnet_pipeline.alexnet.recipe import RecipeChanges
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import parameters_of

TINY = {"preset": "quarter", "width": 0.05, "batch_size": 3, "steps": 2, "classes": 5, "device": "cpu"}


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_loading_counts_what_was_asked_for(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole batches, over epochs' ends; by clocks that go on by a second whenever they are read."""
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=Clock(), process_time=Clock()))
    speed = bench("load", str(shards), batch_size=8, images=100, device="cpu", threads=1)
    assert isinstance(speed, LoadingSpeed)
    assert 100 <= speed.images < 108
    assert speed.images_per_s == speed.images
    assert speed.cpu_ms == pytest.approx(1000 / speed.images)
    assert speed.what == f"{shards / 'train'} (jpg) on cpu"


def test_training_takes_the_median_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those after the warm-up, by a clock on which each step takes the time given here."""
    steps_s, now = [9.0, 8.0, 7.0, 4.0, 1.0, 2.0], [0.0]
    ticks = (tick for step_s in steps_s for tick in (0.0, step_s))

    def clock() -> float:
        now[0] += next(ticks)
        return now[0]

    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=clock))
    speed = bench("train", **{**TINY, "steps": 3})
    assert speed == TrainingSpeed("quarter, norm batch, batch 3, fp32 on cpu", 3, 1.5, 2000.0)


def test_training_is_of_the_network_asked_for() -> None:
    """Its normalisation, its precision."""
    assert bench("train", **TINY, precision="bf16", norm="none").what == "quarter, norm none, batch 3, bf16 on cpu"


def test_training_and_loading_together(shards: Path, tmp_path: Path) -> None:
    """On batches of shards, with a trace of what takes the time."""
    options = {name: value for name, value in TINY.items() if name != "classes"}
    speed = bench("train", shards, **options, threads=1, trace=tmp_path / "new" / "trace.json")
    assert speed.what == f"quarter, norm batch, batch 3, fp32 on cpu from {shards / 'train'} (jpg)"
    assert "traceEvents" in json.loads((tmp_path / "new" / "trace.json").read_text())
    with pytest.raises(RefusedError, match="fewer than a batch of 5000"):
        bench("train", shards, **{**options, "batch_size": 5000})


def test_both_functions_are_what_bench_calls(shards: Path) -> None:
    """With the same options."""
    assert measure_loading(shards / "val", batch_size=4, images=8, device="cpu", threads=1).images == 8
    assert measure_training(**TINY).batch_images == 3


def test_help_lists_every_parameter() -> None:
    """In the signature and in the text."""
    assert alexnet_pipeline.bench is bench
    names = {p.name for record in (LoadOptions, StepOptions, RecipeChanges) for p in parameters_of(record)}
    assert names <= set(inspect.signature(bench).parameters)
    assert all(f"    {name}: " in inspect.getdoc(bench) for name in names)


def test_torchs_generator_is_left_alone() -> None:
    """Dropout of the measured steps is nobody else's."""
    before = torch.get_rng_state()
    bench("train", **TINY, dropout=0.5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("run",), {}, "`what`: 'run' is not one of load, train"),
        (("load",), {}, "`shards`: expected a data set"),
        (("train", "/nowhere"), {}, "/nowhere"),
        (("train",), {"precision": "tf32", "device": "cpu"}, "a GPU's"),
        (("load", "shards"), {"steps": 3}, "`steps` is not an option of 'load'"),
        (("train",), {"images": 3}, "`images` is not an option of 'train'"),
        (("train",), {"steps": 0}, "`steps`: 0 is out of range"),
        (("train",), {"classes": 1}, "`classes`"),
        (("load", "/nowhere"), {}, "/nowhere"),
        (("load", "/nowhere"), {"batch_size": 0}, "`batch_size`"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: tuple, options: dict, words: str) -> None:
    """In a line that says why."""
    with pytest.raises(RefusedError, match=words):
        bench(*arguments, **options)
