"""A run can be interrupted, resumed and repeated without changing what is learnt, and says what it does."""

import dataclasses
import functools
import importlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from alexnet_pipeline import evaluate, open_shards, train
from alexnet_pipeline.alexnet import metrics
from alexnet_pipeline.alexnet.checkpoint import load_checkpoint, load_newest, newest_path
from alexnet_pipeline.alexnet.metrics import read_metrics
from alexnet_pipeline.alexnet.network import initial_state
from alexnet_pipeline.alexnet.recipe import find_recipe
from alexnet_pipeline.alexnet.run_folder import read_mean, read_run
from alexnet_pipeline.batches.loader import Loader, mean_of
from alexnet_pipeline.errors import InterruptedRunError, PipelineError, RefusedError
from alexnet_pipeline.progress import Advance, Message, Stage, silent
from tests.alexnet.made import HOW, SMALL, digest, run, weights


def asked(number: int, at: int):
    """A `stop` that wants training to end when it is asked for the `at`th time, and from then on."""
    count = [0]

    def stop() -> int:
        count[0] += 1
        return number if count[0] >= at else 0

    return stop


def test_the_same_seed_learns_the_same(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Again in the same process, whatever torch's generator was at; another seed learns other weights."""
    torch.manual_seed(99)
    run(shards, tmp_path / "again")
    assert digest(tmp_path / "again") == digest(uninterrupted)
    run(shards, tmp_path / "other", seed=1)
    assert digest(tmp_path / "other") != digest(uninterrupted)


def test_torchs_generator_and_threads_are_left_as_they_were(shards: Path, tmp_path: Path) -> None:
    """A notebook's own draws go on as if nothing had been trained."""
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    run(shards, tmp_path, steps=3, dropout=0.5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_training_in_a_thread(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """The library installs no signal handlers, which only the main thread may."""
    found = []
    thread = threading.Thread(target=lambda: found.append(run(shards, tmp_path)))
    thread.start()
    thread.join()
    assert found[0].steps == 50
    assert digest(tmp_path) == digest(uninterrupted)


@pytest.mark.parametrize("step", [1, 5, 7])
def test_a_stopped_run_continues_exactly(shards: Path, uninterrupted: Path, tmp_path: Path, step: int) -> None:
    """After the first step, at an epoch's end and within an epoch: a checkpoint, a message, and the same bits."""
    with pytest.raises(InterruptedRunError) as error:
        run(shards, tmp_path, stop=asked(signal.SIGTERM, step))
    assert str(error.value) == f"interrupted at step {step} of 50; `resume='auto'` continues from there"
    assert error.value.exit_code == 128 + signal.SIGTERM
    assert newest_path(tmp_path / "checkpoints").name == f"step-{step:09d}"
    done = run(shards, tmp_path, resume="auto")
    assert (done.steps, done.images) == (50, 590)
    assert digest(tmp_path) == digest(uninterrupted)


def test_dropout_continues_exactly(shards: Path, tmp_path: Path) -> None:
    """Its random generator is part of a checkpoint."""
    changes = {"dropout": 0.5, "epochs": 3}
    run(shards, tmp_path / "whole", **changes)
    with pytest.raises(InterruptedRunError):
        run(shards, tmp_path / "parts", stop=asked(signal.SIGINT, 7), **changes)
    torch.rand(3)
    run(shards, tmp_path / "parts", resume="auto", **changes)
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")


@pytest.mark.parametrize("preset", ["quarter", "source2012"])
def test_warmup_continues_exactly(shards: Path, tmp_path: Path, preset: str) -> None:
    """In its middle, with the rates that an uninterrupted run has; also where biases have a rate of their own."""
    changes = {"preset": preset, "norm": "batch", "dropout": 0, "epochs": 3, "warmup_epochs": 1.8, "log_every": 1}
    run(shards, tmp_path / "whole", **changes)
    with pytest.raises(InterruptedRunError):
        run(shards, tmp_path / "parts", stop=asked(signal.SIGINT, 4), **changes)
    run(shards, tmp_path / "parts", resume="auto", **changes)
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")
    rates = [[line.learning_rate for line in read_metrics(tmp_path / name).steps] for name in ("whole", "parts")]
    assert rates[0] == rates[1]
    top = find_recipe({"preset": preset}).learning_rate
    plain = [top * (1 - step / 15) if preset == "quarter" else top for step in range(15)]
    assert rates[0] == pytest.approx([rate * min(1, (step + 1) / 9) for step, rate in enumerate(plain)])


def test_a_stop_after_the_last_step_is_told(shards: Path, tmp_path: Path) -> None:
    """All is saved, and whoever asked gets his exit code."""
    with pytest.raises(InterruptedRunError, match="training is complete") as error:
        run(shards, tmp_path, steps=3, stop=asked(signal.SIGINT, 4))
    assert error.value.exit_code == 128 + signal.SIGINT
    assert newest_path(tmp_path / "checkpoints").name == "step-000000003"


def test_a_finished_run_stays_as_it_is(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Resuming it changes nothing; only another validation set is measured, and its errors are saved."""
    shutil.copytree(uninterrupted, tmp_path / "run")
    log = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    done = run(shards, tmp_path / "run", resume="auto")
    assert (done.steps, done.images, done.errors.total_images) == (50, 590, 20)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == log
    other = run(shards, tmp_path / "run", resume="auto", val=shards / "train")
    assert other.errors.total_images == 59
    assert digest(tmp_path / "run") == digest(uninterrupted)
    saved = load_newest(tmp_path / "run" / "checkpoints", silent).state.validation
    assert (saved.errors, saved.shards) == (other.errors, open_shards(shards / "train").manifest.digest)


def test_the_best_checkpoint_is_kept_and_evaluated(shards: Path, tmp_path: Path, monkeypatch) -> None:
    """With the errors that its epoch's validation found, though later epochs were worse; the same after a resume."""
    training = importlib.import_module("alexnet_pipeline.alexnet.train")
    measure, wrong = training.measure, iter((15, 6, 9, 8, 12, 6))
    found = []

    def made_up(*arguments):
        errors = measure(*arguments)
        found.append(dataclasses.replace(errors, top1_error=next(wrong) / 20))
        return found[-1]

    monkeypatch.setattr(training, "measure", made_up)
    with pytest.raises(InterruptedRunError):
        run(shards, tmp_path, epochs=6, checkpoint_every=2, keep_checkpoints=1, stop=asked(signal.SIGINT, 22))
    done = run(shards, tmp_path, epochs=6, checkpoint_every=2, keep_checkpoints=1, resume="auto")
    assert sorted(int(path.name[5:]) for path in (tmp_path / "checkpoints").iterdir()) == [10, 30]
    assert (done.best_checkpoint, done.best_errors) == (str(tmp_path / "checkpoints" / "step-000000010"), found[1])
    best = evaluate(tmp_path, shards=shards / "val", checkpoint="best", device="cpu", progress=False)
    newest = evaluate(tmp_path, shards=shards / "val", device="cpu", progress=False)
    assert (best.steps, newest.steps) == ((10,), (30,))
    assert best.errors.loss == pytest.approx(found[1].loss, rel=1e-5)


def test_a_checkpoint_and_its_validation_belong_together(shards: Path, tmp_path: Path) -> None:
    """Of the last step, too, where a checkpoint without it was made before; those within epochs have none."""
    run(shards, tmp_path, steps=8, checkpoint_every=2, keep_checkpoints=9)
    log = {line.step: line.errors for line in read_metrics(tmp_path).validations}
    assert log.keys() == {5, 8}
    for step in (2, 4, 5, 6, 8):
        saved = load_checkpoint(tmp_path / "checkpoints" / f"step-{step:09d}").state.validation
        assert (saved.errors if saved else None) == log.get(step)


@pytest.mark.parametrize("damage", ["weights.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_left_for_the_one_before(shards: Path, tmp_path: Path, damage: str) -> None:
    """With a warning, and the same bits at the end."""
    run(shards, tmp_path, steps=8, checkpoint_every=2)
    expected = digest(tmp_path)
    path = newest_path(tmp_path / "checkpoints") / damage
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    events = []
    run(shards, tmp_path, steps=8, resume="auto", progress=events.append)
    (warning,) = [event.text for event in events if isinstance(event, Message) and event.warning]
    assert "damaged" in warning
    assert digest(tmp_path) == expected


def test_other_settings_are_refused_on_resume(shards: Path, tmp_path: Path) -> None:
    """And so is a second run in one folder."""
    run(shards, tmp_path, steps=2)
    with pytest.raises(RefusedError, match="`resume='auto'`"):
        run(shards, tmp_path, steps=2)
    with pytest.raises(RefusedError, match=r"width: 0.05, now 0.1"):
        run(shards, tmp_path, width=0.1, steps=2, resume="auto")
    with pytest.raises(RefusedError, match="seed: 0, now 3"):
        run(shards, tmp_path, steps=2, seed=3, resume="auto")


def test_a_refused_resume_changes_nothing(shards: Path, tmp_path: Path) -> None:
    """Neither the mean that training subtracted nor the record of the run."""
    run(shards, tmp_path, steps=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RefusedError, match="other settings"):
        run(shards, tmp_path, mean="image", steps=2, resume="auto")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_diverged_loss_stops(shards: Path, tmp_path: Path) -> None:
    """Without a checkpoint of it."""
    with pytest.raises(PipelineError, match="the loss is"):
        run(shards, tmp_path, norm="none", learning_rate=1e6)
    assert load_newest(tmp_path / "checkpoints", print) is None


def test_images_are_counted(shards: Path, tmp_path: Path) -> None:
    """Not steps: 59 an epoch, of which the last batch has 11."""
    done = run(shards, tmp_path, epochs=2, log_every=1)
    assert (done.steps, done.images) == (10, 118)
    log = read_metrics(tmp_path)
    assert [line.images for line in log.steps] == [12, 24, 36, 48, 59, 71, 83, 95, 107, 118]
    assert [(line.step, line.images, line.epoch) for line in log.validations] == [(5, 59, 1.0), (10, 118, 2.0)]
    state = load_newest(tmp_path / "checkpoints", silent).state
    assert (state.step, state.images, state.loader.epoch, state.loader.step) == (10, 118, 2, 0)


def test_waiting_for_data_is_measured(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a batch takes 3 s and a step 1 s, three quarters of the time are data wait."""
    training, stepping = (importlib.import_module(f"alexnet_pipeline.alexnet.{name}") for name in ("train", "step"))
    now, load, update = [0.0], Loader.crops, stepping.backward

    def slow_batches(loader):
        for batch in load(loader):
            now[0] += 3.0
            yield batch

    def slow_step(*arguments):
        now[0] += 1.0
        return update(*arguments)

    for module in (training, metrics):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(Loader, "crops", slow_batches)
    monkeypatch.setattr(stepping, "backward", slow_step)
    events = []
    run(shards, tmp_path, epochs=1, progress=events.append)
    lines = read_metrics(tmp_path).steps
    assert [line.data_wait for line in lines] == [0.75, 0.75, 0.75]
    assert [line.images_per_s for line in lines] == [24 / 8, 24 / 8, 11 / 4]
    told = [event for event in events if isinstance(event, Advance) and event.detail.startswith("loss ")]
    assert [event.done for event in told] == [1, 2, 3, 4, 5, 5]  # a second or more has passed since the last one
    assert {event.detail.partition(", ")[2] for event in told} == {"3 images/s, data wait 75 %"}


def test_progress_is_told_by_time(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a step takes .3 s: with the loss since the last line of the log, which comes by steps."""
    training, stepping = (importlib.import_module(f"alexnet_pipeline.alexnet.{name}") for name in ("train", "step"))
    now, update = [0.0], stepping.backward

    def slow_step(*arguments):
        now[0] += 0.3
        return update(*arguments)

    for module in (training, metrics):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(stepping, "backward", slow_step)
    events = []
    done = run(shards / "train", tmp_path, batch_size=4, epochs=1, log_every=1000, progress=events.append)
    told = [event for event in events if isinstance(event, Advance)]
    assert [event.done for event in told] == [4, 8, 12, 15]
    assert told[-1].detail == f"loss {done.loss:.3f}, 13 images/s, data wait 0 %"
    assert [line.step for line in read_metrics(tmp_path).steps] == [15]


def test_validation_tells_its_progress(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take minutes, of which each batch is told."""
    for name in ("evaluate", "predict"):
        monkeypatch.setattr(importlib.import_module(f"alexnet_pipeline.alexnet.{name}"), "BATCH_IMAGES", 20)
    events = []
    run(shards, tmp_path, steps=1, val=shards / "train", batch_size=4, progress=events.append)
    told = [event for event in events if isinstance(event, Advance) and "validating" in event.detail]
    assert [event.done for event in told] == [1, 1, 1]
    assert [event.detail for event in told] == [f"validating, {done} of 59 images" for done in (20, 40, 59)]


def test_progress_is_told_as_events(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage, where it runs, lines of metrics, and validations; a resumed run says where it begins."""
    monkeypatch.setattr(importlib.import_module("alexnet_pipeline.alexnet.train"), "TELL_S", 1e9)
    events = []
    done = run(shards, tmp_path, epochs=2, progress=events.append, stop=None)
    assert events[:3] == [
        Stage("train", total=10, done=0, unit="steps"),
        Message(f"{shards}/train: 59 images in 10 classes, area, 80 px, crops of 70 px"),
        Message("training 10 steps (2 epochs) of preset quarter on CPU (one device)"),
    ]
    told = [event for event in events if isinstance(event, Advance) and event.detail.startswith("loss ")]
    assert [event.done for event in told] == [2, 4, 5, 6, 8, 10]
    assert events[-1] == Message(f"val: step 10, {done.errors}")
    events.clear()
    run(shards, tmp_path, epochs=2, progress=events.append, resume="auto")
    assert events[0] == Stage("train", total=10, done=10, unit="steps")


def test_the_run_says_what_it_is(shards: Path, tmp_path: Path) -> None:
    """Recipe, network, data, command and seed."""
    run(shards, tmp_path, steps=1, command="alexnet-pipeline train", seed=7)
    record = read_run(tmp_path)
    assert (record.recipe.width, record.recipe.preset, record.seed) == (0.05, "quarter", 7)
    assert (record.network.classes, record.network.crop_px) == (10, 70)
    assert (record.train.total_images, record.val.total_images, record.train.method) == (59, 20, "area")
    assert (record.command, record.precision, record.device) == ("alexnet-pipeline train", "fp32", "cpu")
    learnt = sum(value.numel() for name, value in weights(tmp_path).items() if name.endswith(("weight", "bias")))
    assert record.parameters == learnt


def test_the_seed_decides_weights_order_and_dropout(shards: Path, tmp_path: Path) -> None:
    """Each of them, in a run whose rate is too low to change a weight."""
    run(shards, tmp_path, seed=3, steps=1, learning_rate=1e-30)
    saved = load_newest(tmp_path / "checkpoints", silent)
    network = saved.state.identity.network
    for name, value in initial_state(network, 3).items():
        if name.endswith(("weight", "bias")):
            torch.testing.assert_close(saved.weights[name], value, rtol=0, atol=1e-29, msg=name)
    assert saved.state.loader.seed == 3
    assert torch.equal(saved.random["cpu-0"], torch.Generator().manual_seed(3 * 1_000_003).get_state())


def test_the_recipe_reaches_the_data(shards: Path, tmp_path: Path) -> None:
    """Lighting, batches, and what is subtracted."""
    run(shards, tmp_path / "a", steps=1, lighting=0.3, mean="channel")
    run(shards, tmp_path / "b", steps=1, lighting=0, mean="image", batch_size=7)
    states = [load_newest(tmp_path / name / "checkpoints", silent).state.loader for name in "ab"]
    assert [(state.lighting, state.global_batch_images) for state in states] == [(0.3, 12), (0.0, 7)]
    train_set = open_shards(shards / "train")
    for name, kind in (("a", "channel"), ("b", "image")):
        np.testing.assert_array_equal(read_mean(tmp_path / name), mean_of(train_set, kind, 70))


def test_lines_and_checkpoints_come_when_asked_for(shards: Path, tmp_path: Path) -> None:
    """After so many steps and after each epoch, and so many checkpoints stay."""
    run(shards, tmp_path / "a", steps=9, log_every=3, checkpoint_every=4, keep_checkpoints=5)
    run(shards / "train", tmp_path / "b", steps=9, log_every=100, keep_checkpoints=1)
    assert [line.step for line in read_metrics(tmp_path / "a").steps] == [3, 5, 6, 9]
    assert [line.step for line in read_metrics(tmp_path / "b").steps] == [5, 9]
    kept = [sorted(int(path.name[5:]) for path in (tmp_path / name / "checkpoints").iterdir()) for name in "ab"]
    assert kept == [[4, 5, 8, 9], [9]]


def test_threads_and_timeout_are_passed_on(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the decoders, and to the group of processes."""
    training, making = (importlib.import_module(f"alexnet_pipeline.alexnet.{name}") for name in ("train", "run"))
    given = {}
    join, loader = training.join, making.Loader
    monkeypatch.setattr(training, "join", lambda *arguments: given.update(join=arguments) or join(*arguments))
    monkeypatch.setattr(making, "Loader", lambda *arguments, **how: given.update(how) or loader(*arguments, **how))
    run(shards, tmp_path, steps=1, threads=3, timeout=77, towers="local")
    assert given["join"] == ("local", "cpu", 77.0)
    assert given["threads"] == 3


def test_a_split_alone_has_no_validation(shards: Path, tmp_path: Path) -> None:
    """Paths may be text; a validation set that is named comes before the one beside."""
    done = run(str(shards / "train"), str(tmp_path / "a"), steps=1)
    assert done.errors is None
    assert read_run(tmp_path / "a").val is None
    named = run(shards / "train", tmp_path / "b", steps=1, val=str(shards / "val"))
    assert named.errors.total_images == 20
    other = run(shards, tmp_path / "c", steps=1, val=shards / "train")
    assert other.errors.total_images == 59


def test_validation_can_be_turned_off(shards: Path, tmp_path: Path) -> None:
    """Though there is a set; a line says so, and nothing is measured, so that no checkpoint is the best."""
    events = []
    done = run(shards, tmp_path / "off", steps=6, val="none", progress=events.append)
    assert (done.errors, done.best_checkpoint) == (None, None)
    assert (read_run(tmp_path / "off").val, read_metrics(tmp_path / "off").validations) == (None, ())
    run(shards / "train", tmp_path / "absent", steps=1, progress=events.append)
    run(shards, tmp_path / "on", steps=1, progress=events.append)
    told = [event.text for event in events if isinstance(event, Message) and event.text.startswith("no valid")]
    assert told == [
        "no validation while training: `val` is none",
        "no validation while training: found no validation set; name one with `val`",
    ]
    with pytest.raises(RefusedError, match="no checkpoint was validated"):
        evaluate(tmp_path / "off", shards=shards / "val", checkpoint="best", device="cpu", progress=False)
    again = run(shards, tmp_path / "off", steps=6, resume="auto")
    assert (again.steps, again.errors.total_images) == (6, 20)


def test_a_folder_of_several_methods_is_refused(shards: Path, tmp_path: Path) -> None:
    """With one that would do; that of a single method stands for it."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "nearest").symlink_to(shards)
    assert run(out, tmp_path / "run", steps=1).errors.total_images == 20
    (out / "lanczos").symlink_to(shards)
    with pytest.raises(RefusedError, match=rf"{out} holds several methods \(lanczos, nearest\); name one, like {out}"):
        run(out, tmp_path / "other")


def test_the_last_validation_is_the_last_networks(shards: Path, tmp_path: Path) -> None:
    """Also where the steps end within an epoch: what the summary says is what `evaluate` finds."""
    done = run(shards, tmp_path / "run", steps=7)
    found = evaluate(tmp_path / "run", shards=shards / "val", progress=False).errors
    assert done.errors.loss == pytest.approx(found.loss, rel=1e-5)  # through probabilities and back
    assert dataclasses.replace(done.errors, loss=found.loss) == found


def test_a_single_image_at_an_epochs_end(shards: Path, tmp_path: Path) -> None:
    """59 images in batches of 29 leave one, which has no statistics of its own."""
    done = run(shards, tmp_path, batch_size=29, steps=4)
    assert (done.steps, done.images) == (4, 88)


def test_the_plateau_schedule_from_end_to_end(shards: Path, tmp_path: Path) -> None:
    """An error that never improves: three drops by ten, an end long before the last epoch, the same when resumed."""
    paper = {"preset": "paper", "norm": "none", "dropout": 0.0, "learning_rate": 1e-12, "batch_size": 30, "epochs": 40}
    done = run(shards, tmp_path / "whole", **paper)
    assert (done.steps, done.images) == (26, 13 * 59)
    log = read_metrics(tmp_path / "whole")
    assert len({line.errors.top1_error for line in log.validations}) == 1
    rates = [line.learning_rate for line in log.steps]
    assert rates == pytest.approx([1e-12] * 4 + [1e-13] * 3 + [1e-14] * 3 + [1e-15] * 3)
    with pytest.raises(InterruptedRunError):
        run(shards, tmp_path / "parts", stop=asked(signal.SIGINT, 11), **paper)
    assert run(shards, tmp_path / "parts", resume="auto", **paper).steps == 26
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")


def test_the_plateau_schedule_is_resumed_with_its_validation_set(shards: Path, tmp_path: Path) -> None:
    """Another one is refused; a run that comes to this schedule later remembers no errors from before."""
    plateau = {"schedule": "plateau", "epochs": 2}
    run(shards, tmp_path / "a", **plateau)
    with pytest.raises(RefusedError, match="validation_set: "):
        run(shards, tmp_path / "a", **{**plateau, "epochs": 3}, val=shards / "train", resume="auto")
    assert run(shards, tmp_path / "a", **{**plateau, "epochs": 3}, resume="auto").steps == 15
    run(shards, tmp_path / "b", steps=5)
    assert run(shards, tmp_path / "b", steps=6, val=shards / "train", resume="auto").errors.total_images == 59
    run(shards, tmp_path / "b", steps=7, resume="auto", **plateau)
    assert load_newest(tmp_path / "b" / "checkpoints", silent).state.plateau.best_error is None


def test_the_plateau_schedule_needs_a_validation_set(shards: Path, tmp_path: Path) -> None:
    """Or another schedule; also where it was chosen by the run that is resumed."""
    others = "`schedule='steps'`, `schedule='geometric'` or `schedule='linear'`"
    with pytest.raises(RefusedError, match=f"`val`, or choose {others}"):
        run(shards / "train", tmp_path, preset="paper", steps=1)
    with pytest.raises(RefusedError, match=others):
        run(shards, tmp_path, val="none", preset="paper", steps=1)
    run(shards, tmp_path / "run", schedule="plateau", steps=1)
    for place, how in ((shards, {"val": "none"}), (shards / "train", {})):
        with pytest.raises(RefusedError, match=others):
            run(place, tmp_path / "run", resume="auto", **how)
    assert run(shards / "train", tmp_path, preset="paper", steps=1, schedule="steps").steps == 1


def test_presets_train(shards: Path, tmp_path: Path) -> None:
    """Each takes a step, with every ablation."""
    changes = {"pooling": "plain", "activation": "tanh", "grouped": False, "lighting": 0, "mean": "image"}
    changes |= {"random_crops": False, "random_flips": False, "conv1_stride": 3, "conv_width": 0.5}
    for preset in ("paper", "source2012", "batchnorm"):
        assert run(shards, tmp_path / preset, preset=preset, steps=1, **changes).loss > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
def test_a_compiled_network_learns_the_same(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To rounding, after a step; the graph is captured, but not made into C++, which would take half a minute."""
    compiled, compile_ = [], functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", lambda module, mode: compiled.append(module) or compile_(module))
    for name, how in (("plain", False), ("compiled", True)):
        run(shards / "train", tmp_path / name, norm="lrn", steps=1, batch_size=59, compile=how)
    assert len(compiled) == 1
    expected = weights(tmp_path / "plain")
    for name, value in weights(tmp_path / "compiled").items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


def test_bf16_learns_nearly_the_same(shards: Path, tmp_path: Path) -> None:
    """And a run in one precision is not continued in the other."""
    losses = [run(shards, tmp_path / p, precision=p, steps=2).loss for p in ("fp32", "bf16")]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    with pytest.raises(RefusedError, match="precision: bf16, now fp32"):
        run(shards, tmp_path / "bf16", precision="fp32", steps=2, resume="auto")


@pytest.mark.parametrize(
    "wrong",
    [
        {"lighting": -1},
        {"learning_rate": float("nan")},
        {"timeout": -1},
        {"timeout": 1e12},
        {"seed": 10**13},
        {"seed": -1},
        {"steps": 0},
        {"log_every": 0},
        {"keep_checkpoints": 0},
        {"checkpoint_every": 0},
        {"threads": 0},
        {"device": "tpu"},
        {"towers": "three"},
        {"resume": True},
        {"preset": "caffe"},
        {"compile": "yes"},
    ],
)
def test_impossible_options_are_refused(shards: Path, tmp_path: Path, wrong: dict) -> None:
    """By their names, before anything is written."""
    with pytest.raises(RefusedError, match=f"`{next(iter(wrong))}`"):
        train(shards, run_dir=tmp_path / "run", progress=False, **{**HOW, **SMALL, **wrong})
    assert not (tmp_path / "run").exists()


def test_unknown_options_are_errors(shards: Path, tmp_path: Path) -> None:
    """As of any function."""
    with pytest.raises(TypeError, match="learning_rates"):
        train(shards, run_dir=tmp_path, learning_rates=1)


def test_the_seed_reaches_every_bound(shards: Path, tmp_path: Path) -> None:
    """The largest trains."""
    assert run(shards, tmp_path, seed=2**32 - 1, steps=1).steps == 1


def test_a_second_writer_is_refused(shards: Path, tmp_path: Path) -> None:
    """One process at a time writes a run's folder."""
    hold = "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); "
    command = [sys.executable, "-c", hold + "sys.stdin.read()", str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RefusedError, match="another run is writing"):
            run(shards, tmp_path, steps=1)
        process.stdin.close()
    assert run(shards, tmp_path, steps=1).steps == 1


def test_a_summary_is_short(uninterrupted: Path, shards: Path, tmp_path: Path) -> None:
    """A line; the checkpoint it names can be loaded."""
    done = run(shards, tmp_path, steps=2)
    assert repr(done).startswith(
        f"TrainSummary({tmp_path}: 2 steps, 24 images, val centre crop, 20 images: top-1 error "
    )
    assert load_file(Path(done.checkpoint) / "weights.safetensors")
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["kind"] == "step"
