"""Checkpoints are whole or absent, prove themselves, and are of the run that resumes from them."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from alexnet_pipeline.alexnet.checkpoint import (
    Checkpoint,
    SavedState,
    Validation,
    best_checkpoint,
    load_checkpoint,
    load_chosen,
    load_newest,
    newest_path,
    save_checkpoint,
)
from alexnet_pipeline.alexnet.error_rates import error_rates
from alexnet_pipeline.alexnet.identity import Identity, check_identity
from alexnet_pipeline.alexnet.recipe import QUARTER, SOURCE2012, find_recipe
from alexnet_pipeline.alexnet.schedule import PlateauState
from alexnet_pipeline.batches.loader import LoaderState
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.progress import silent

IDENTITY = Identity(QUARTER, QUARTER.network(2, 70), 0, 50, "fp32", ("n1", "n2"), "0" * 64)


def made(step: int, weights: dict[str, torch.Tensor] | None = None, wrong: int | None = None, val="a") -> Checkpoint:
    """A checkpoint of a step; validated, if it is told how many of 20 images were wrong."""
    validation = None if wrong is None else Validation(error_rates("centre crop", 20, 30.0, wrong, 0), val)
    loader = LoaderState(0, step, "0" * 64, 32, 0, True, 70, 0.1, 0)
    state = SavedState(step, 32 * step, 0.1, PlateauState(0.5, 1, 2), loader, 80, IDENTITY, validation)
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


def steps(folder: Path) -> list[int]:
    return [int(name.removeprefix("step-")) for name in names(folder)]


def test_the_best_checkpoint_stays(tmp_path: Path) -> None:
    """Beside the newest ones, however long ago it was; of equals the earliest; those in between are not validated."""
    kept, best = [], []
    for step, wrong in enumerate((9, None, 5, None, 7, 5, None, 4, 6, 6)):
        save_checkpoint(tmp_path, made(step, wrong=wrong), keep=2)
        kept.append(steps(tmp_path))
        best.append(int(best_checkpoint(tmp_path)[0].name[-1]))
    assert best == [0, 0, 2, 2, 2, 2, 2, 7, 7, 7]
    assert kept[1:] == [[0, 1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5], [2, 5, 6], [6, 7], [7, 8], [7, 8, 9]]
    assert best_checkpoint(tmp_path)[1].top1_error == 0.2


def test_errors_on_different_sets_are_not_compared(tmp_path: Path) -> None:
    """The best is of the validation set that was used last."""
    for step, (wrong, val) in enumerate(((1, "easy"), (12, "hard"), (9, "hard"), (11, "hard"))):
        save_checkpoint(tmp_path, made(step, wrong=wrong, val=val), keep=1)
    assert steps(tmp_path) == [2, 3]
    assert best_checkpoint(tmp_path)[0].name == "step-000000002"


def test_a_checkpoint_is_found_by_what_is_asked_for(tmp_path: Path) -> None:
    """The newest, the best, or a step; what is not there is refused with what is."""
    assert load_chosen(tmp_path, "best", silent) is None
    save_checkpoint(tmp_path, made(3), keep=9)
    with pytest.raises(RefusedError, match=r"`checkpoint`: no checkpoint was validated; expected .* the steps 3$"):
        load_chosen(tmp_path, "best", silent)
    for step, wrong in ((5, 4), (8, 6)):
        save_checkpoint(tmp_path, made(step, wrong=wrong), keep=9)
    found = [load_chosen(tmp_path, which, silent).state.step for which in ("newest", "best", "3", "8")]
    assert found == [8, 5, 3, 8]
    for wrong in ("4", "last", ""):
        with pytest.raises(RefusedError, match=f"found none of '{wrong}'; .* the steps 8, 5, 3$"):
            load_chosen(tmp_path, wrong, silent)
    (tmp_path / "step-000000005" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(PipelineError, match=r"step-000000005 is damaged"):
        load_chosen(tmp_path, "best", silent)


def test_what_cannot_be_read_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the best one."""
    from alexnet_pipeline.alexnet import checkpoint as module

    for step, wrong in ((1, 2), (2, 5), (3, 6)):
        save_checkpoint(tmp_path, made(step, wrong=wrong), keep=1)
    read = module.read_whole

    def fails(path: Path, *most) -> bytes:
        if "000000001" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *most)

    with monkeypatch.context() as patched:
        patched.setattr(module, "read_whole", fails)
        save_checkpoint(tmp_path, made(4, wrong=6), keep=1)
    assert 1 in steps(tmp_path)
    save_checkpoint(tmp_path, made(5, wrong=6), keep=1)
    assert steps(tmp_path) == [1, 5]


def snapshots(folder: Path, to: Path, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Copies of a folder before every change that the work makes to it: what a kill at that moment leaves."""
    taken: list[Path] = []

    def noted(function):
        def changed(*arguments, **how):
            taken.append(Path(shutil.copytree(folder, to / str(len(taken)))))
            return function(*arguments, **how)

        return changed

    def removed(path: Path, ignore_errors: bool) -> None:
        for inner in sorted(path.rglob("*")):
            unlink(inner)
        rmdir(path)

    unlink, rmdir = noted(Path.unlink), noted(Path.rmdir)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", removed)
        for name in ("replace", "mkdir", "open"):
            patched.setattr(Path, name, noted(getattr(Path, name)))
        work()
    return taken


@pytest.mark.parametrize("step", [4, 5], ids=["of the same step", "of a new step"])
@pytest.mark.parametrize("wrong", [1, 9], ids=["a new best", "not the best"])
def test_a_kill_at_any_moment_leaves_the_newest_and_the_best(
    tmp_path: Path, monkeypatch, step: int, wrong: int
) -> None:
    """All there is, is whole; a save that fails leaves as much, and one that does not leaves what it is to leave."""
    from alexnet_pipeline.alexnet import checkpoint as module

    def fails(*arguments) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "run"
    for before, errors in ((1, 9), (2, 3), (3, 9), (4, None)):
        save_checkpoint(folder, made(before, wrong=errors), keep=1)
    assert steps(folder) == [2, 4]
    taken = snapshots(folder, tmp_path, lambda: save_checkpoint(folder, made(step, wrong=wrong), keep=1), monkeypatch)
    assert len(taken) > 15
    left = [step] if wrong == 1 else [2, step]
    assert steps(folder) == left
    for copy in taken:
        assert load_newest(copy, pytest.fail).state.step in {4, step}
        path, errors = best_checkpoint(copy)
        assert (path.name[-1], errors.top1_error) in {("2", 0.15), (str(step), 0.05)}
        assert all(load_checkpoint(path) for path in copy.glob("step-*"))
        with monkeypatch.context() as patched, pytest.raises(PipelineError, match="free some space"):
            patched.setattr(module, "_write_files", fails)
            save_checkpoint(copy, made(step, wrong=wrong), keep=1)
        assert load_newest(copy, pytest.fail).state.step in {4, step}
        assert best_checkpoint(copy)[1] == errors
        save_checkpoint(copy, made(step, wrong=wrong), keep=1)
        assert steps(copy) == left


def test_a_checkpoint_stays_until_its_successor_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same step: the only one there is, and the last renaming fails."""
    save_checkpoint(tmp_path, made(4), keep=1)
    replace = Path.replace

    def fails(path: Path, target: Path) -> Path:
        if path.name == ".part-step-000000004":
            raise OSError(5, "Input/output error")
        return replace(path, target)

    with monkeypatch.context() as patched, pytest.raises(PipelineError, match="Input/output error"):
        patched.setattr(Path, "replace", fails)
        save_checkpoint(tmp_path, made(4, wrong=3), keep=1)
    assert names(tmp_path) == ["step-000000004"]
    assert load_newest(tmp_path, pytest.fail).state.validation is None


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
        check_identity(IDENTITY, 3, dataclasses.replace(IDENTITY, **change))
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
    if refused:
        with pytest.raises(RefusedError, match=r"validation_set: 1111.*, now 2222"):
            check_identity(first, 3, second)
        second = dataclasses.replace(second, validation_set=first.validation_set)
    assert not any("validation_set" in text for text in check_identity(first, 3, second))


def test_a_checkpoint_that_does_not_say_its_validation_set_is_read(tmp_path: Path) -> None:
    """What earlier versions wrote, also of a plateau schedule."""
    path = save_checkpoint(tmp_path, made(3), keep=1)
    state = json.loads((path / "state.json").read_bytes())
    del state["state"]["identity"]["validation_set"]
    _seal(path / "state.json", state)
    saved = load_checkpoint(path).state.identity
    plateau = dataclasses.replace(QUARTER, schedule="plateau")
    mine = dataclasses.replace(IDENTITY, recipe=plateau, validation_set="1" * 64)
    assert check_identity(dataclasses.replace(saved, recipe=plateau), 3, mine) == ()


def test_the_same_settings_pass() -> None:
    """And what does not count, like the step, is not compared."""
    assert check_identity(IDENTITY, 3, IDENTITY) == ()


def test_another_rate_and_length_are_named_and_pass() -> None:
    """But for a length that is behind already."""
    changed = check_identity(IDENTITY, 3, dataclasses.replace(IDENTITY, total_steps=9))
    assert changed == ("total_steps: 50, now 9",)
    with pytest.raises(RefusedError, match="taken 3 steps, more than the 2"):
        check_identity(IDENTITY, 3, dataclasses.replace(IDENTITY, total_steps=2))
