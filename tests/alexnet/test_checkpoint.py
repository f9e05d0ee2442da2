"""Checkpoints are whole or absent, prove themselves, and are of the run that resumes from them."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from alexnet_pipeline.alexnet.checkpoint import (
    Checkpoint,
    Identity,
    SavedState,
    check_identity,
    load_checkpoint,
    load_newest,
    newest_path,
    save_checkpoint,
)
from alexnet_pipeline.alexnet.recipe import QUARTER, SOURCE2012, find_recipe
from alexnet_pipeline.alexnet.schedule import PlateauState
from alexnet_pipeline.batches.loader import LoaderState
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.progress import silent

IDENTITY = Identity(QUARTER, QUARTER.network(2, 70), 0, 50, "fp32", ("n1", "n2"), "0" * 64)


def made(step: int, weights: dict[str, torch.Tensor] | None = None) -> Checkpoint:
    """A checkpoint of a step."""
    loader = LoaderState(0, step, "0" * 64, 32, 0, True, 70, 0.1, 0)
    state = SavedState(step, 32 * step, 0.1, PlateauState(0.5, 1, 2), loader, 80, IDENTITY)
    return Checkpoint(weights or {"w": torch.ones(1)}, {"w": torch.zeros(1)}, {"cpu-0": torch.zeros(1)}, state)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Tensors and records, to the bit."""
    saved = made(3, {"w": torch.randn(4, 5)})
    loaded = load_checkpoint(save_checkpoint(tmp_path, saved, keep=1))
    assert loaded.state == saved.state
    assert torch.equal(loaded.weights["w"], saved.weights["w"])
    assert (loaded.momentum.keys(), loaded.random.keys()) == (saved.momentum.keys(), saved.random.keys())


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    """As many as asked for."""
    for step in range(5):
        save_checkpoint(tmp_path, made(step), keep=2)
    assert names(tmp_path) == ["step-000000003", "step-000000004"]
    assert newest_path(tmp_path).name == "step-000000004"


def test_checkpoints_beyond_the_one_saved_go(tmp_path: Path) -> None:
    """They were damaged, or the run would have continued from them; the new ones stay."""
    for step in (10, 12, 14):
        save_checkpoint(tmp_path, made(step), keep=3)
        (tmp_path / f"step-{step:09d}" / "state.json").write_text("{}")
    for step in (2, 4, 4):
        save_checkpoint(tmp_path, made(step), keep=2)
    assert names(tmp_path) == ["step-000000002", "step-000000004"]
    assert load_newest(tmp_path, pytest.fail).state.step == 4


def test_what_a_kill_leaves_is_no_checkpoint(tmp_path: Path) -> None:
    """A part is passed over, and removed by the next save."""
    (tmp_path / ".part-step-000000009").mkdir()
    assert load_newest(tmp_path, pytest.fail) is None
    save_checkpoint(tmp_path, made(1), keep=2)
    assert names(tmp_path) == ["step-000000001"]


@pytest.mark.parametrize("name", ["weights.safetensors", "momentum.safetensors", "random.safetensors", "state.json"])
def test_a_flipped_bit_is_found(tmp_path: Path, name: str) -> None:
    """In any file, wherever; the one before is taken, with a warning."""
    for step in (1, 2):
        save_checkpoint(tmp_path, made(step), keep=2)
    path = tmp_path / "step-000000002" / name
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 2):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        warnings = []
        assert load_newest(tmp_path, warnings.append).state.step == 1
        assert len(warnings) == 1
        assert warnings[0].warning
        assert "step-000000002 is damaged" in warnings[0].text


@pytest.mark.parametrize(
    "change", [{"format_version": 0}, {"state": None}, {"state": {"step": "three"}}, {"weights": 5}]
)
def test_another_versions_checkpoint_is_refused(tmp_path: Path, change: dict) -> None:
    """In one line that says so: to begin anew would remove it."""
    path = save_checkpoint(tmp_path, made(3), keep=1) / "state.json"
    _seal(path, {**json.loads(path.read_bytes()), **change})
    with pytest.raises(RefusedError, match="another version of this package") as error:
        load_newest(tmp_path, silent)
    assert "\n" not in str(error.value)


def test_an_old_states_shape_is_refused(tmp_path: Path) -> None:
    """What earlier versions wrote: the same seal, other keys."""
    path = save_checkpoint(tmp_path, made(3), keep=1) / "state.json"
    _seal(path, {"step": 3, "images": 9, "sha256": {}, "recipe": {}, "network": {}, "classes": []})
    with pytest.raises(RefusedError, match="another version"):
        load_newest(tmp_path, silent)


def _seal(path: Path, state: dict) -> None:
    import hashlib

    blank = json.dumps({**state, "digest": ""}, sort_keys=True, indent=1) + "\n"
    sealed = {**state, "digest": hashlib.sha256(blank.encode()).hexdigest()}
    path.write_text(json.dumps(sealed, sort_keys=True, indent=1) + "\n")


def test_a_checkpoint_without_a_folder_to_write_in_is_one_line(tmp_path: Path) -> None:
    """With the path, and no part left."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="file"):
        save_checkpoint(tmp_path / "file", made(1), keep=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 3}, "seed: 0, now 3"),
        ({"precision": "bf16"}, "precision: fp32, now bf16"),
        ({"classes": ("n1", "n3")}, "classes: "),
        ({"training_set": "1" * 64}, "training_set: 0000"),
        ({"recipe": find_recipe({"preset": "quarter", "batch_size": 7})}, "batch_size: 32, now 7"),
        ({"recipe": find_recipe({"preset": "quarter", "lighting": 0})}, "lighting: 0.1, now 0.0"),
        ({"recipe": SOURCE2012}, "bias_rate_factor: 1.0, now 2.0"),
        ({"network": QUARTER.network(2, 64)}, "crop_px: 70, now 64"),
    ],
)
def test_other_settings_are_named(change: dict, words: str) -> None:
    """Old and new, by the names that a user knows."""
    with pytest.raises(RefusedError, match=r"other settings .*`run_dir`") as error:
        check_identity(made(3).state, dataclasses.replace(IDENTITY, **change))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ("plateau", "plateau", True),
        ("linear", "linear", False),
        ("plateau", "steps", False),
        ("steps", "plateau", False),
    ],
)
def test_the_plateau_schedule_keeps_its_validation_set(before: str, after: str, refused: bool) -> None:
    """Because that set's errors decide the rate; with other schedules they decide nothing."""
    first, second = (
        dataclasses.replace(IDENTITY, recipe=dataclasses.replace(QUARTER, schedule=schedule), validation_set=digest)
        for schedule, digest in ((before, "1" * 64), (after, "2" * 64))
    )
    saved = dataclasses.replace(made(3).state, identity=first)
    if refused:
        with pytest.raises(RefusedError, match=r"validation_set: 1111.*, now 2222"):
            check_identity(saved, second)
        second = dataclasses.replace(second, validation_set=first.validation_set)
    assert not any("validation_set" in text for text in check_identity(saved, second))


def test_a_checkpoint_that_does_not_say_its_validation_set_is_read(tmp_path: Path) -> None:
    """What earlier versions wrote, also of a plateau schedule."""
    path = save_checkpoint(tmp_path, made(3), keep=1)
    state = json.loads((path / "state.json").read_bytes())
    del state["state"]["identity"]["validation_set"]
    _seal(path / "state.json", state)
    saved = load_checkpoint(path).state
    plateau = dataclasses.replace(IDENTITY, recipe=dataclasses.replace(QUARTER, schedule="plateau"))
    saved = dataclasses.replace(saved, identity=dataclasses.replace(plateau, validation_set=""))
    assert check_identity(saved, dataclasses.replace(plateau, validation_set="1" * 64)) == ()


def test_the_same_settings_pass() -> None:
    """And what does not count, like the step, is not compared."""
    assert check_identity(made(3).state, IDENTITY) == ()


def test_another_rate_and_length_are_named_and_pass() -> None:
    """But for a length that is behind already."""
    changed = check_identity(made(3).state, dataclasses.replace(IDENTITY, total_steps=9))
    assert changed == ("total_steps: 50, now 9",)
    with pytest.raises(RefusedError, match="taken 3 steps, more than the 2"):
        check_identity(made(3).state, dataclasses.replace(IDENTITY, total_steps=2))
