"""Networks trained on the shards of each method are tested on those of all, and never twice."""

import dataclasses
from pathlib import Path

import pytest
import torch

from alexnet_pipeline.alexnet.evaluate import read_evaluations
from alexnet_pipeline.alexnet.predict import Predictions
from alexnet_pipeline.alexnet.run_folder import read_run
from alexnet_pipeline.comparison import compare as compare_module
from alexnet_pipeline.comparison import networks
from alexnet_pipeline.comparison.compare import compare
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.dataset.open import open_shards
from alexnet_pipeline.errors import InterruptedRunError, PipelineError, RefusedError
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.progress import Message, silent

METHODS = ("nearest", "lanczos3:scaled")
IMAGES = 40


def run(raw: Path, work: Path, **changes: object) -> Comparison:
    options = {"seeds": 2, "steps": 1, "limit": IMAGES, "images": 2, "size": 80, "geometry": "squash", "quality": 80}
    options |= {"workers": 1, "train": True, "work_dir": work, "progress": False} | changes
    return compare(raw, METHODS, **options)


@pytest.fixture(scope="module")
def finished(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    work = tmp_path_factory.mktemp("networks")
    return work, run(raw_folders, work, output=work / "report.html", command="compare ...")


def test_every_network_meets_every_method(finished) -> None:
    """2 methods x 2 seeds x 2 validation sets, exactly the sample's images."""
    training = finished[1].training
    assert {(cell.train, cell.test, cell.seed) for cell in training.cells} == {
        (train, test, seed) for train in METHODS for test in METHODS for seed in (0, 1)
    }
    assert {cell.total_images for cell in training.cells} == {20}
    assert [(shift.train, shift.seed) for shift in training.shifts] == [(m, s) for s in (0, 1) for m in METHODS]
    assert all(0 <= shift.consistency <= 1 for shift in training.shifts)
    assert (training.preset, training.steps, training.batch_images) == ("quarter", 1, 32)
    assert training.train_images == len(open_shards(finished[0] / "shards" / "nearest" / "train"))


def test_runs_have_their_seed_and_an_evaluation_on_every_method(finished) -> None:
    """As their folders say; the command is the comparison's."""
    for method in METHODS:
        for seed in (0, 1):
            folder = finished[0] / "runs" / find_method(method).directory / f"seed-{seed}"
            record = read_run(folder)
            assert (record.seed, record.train.method, record.command) == (seed, method, "compare ...")
            assert {evaluation.method for evaluation in read_evaluations(folder, silent)} == set(METHODS)


def test_consistency_is_the_share_of_equal_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees the images as they are, and moved by one pixel."""
    logits = {0: [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 1: [[0.9, 0.1], [0.0, 1.0], [0.0, 1.0]]}

    def predict(runs, shards, *, shift_px, report):
        return Predictions(torch.tensor(logits[shift_px]), torch.zeros(3), (1,))

    monkeypatch.setattr(networks, "predict", predict)
    shift = networks._shift(networks._Task(Path("run"), None, {"area": None}, "area", 4), silent)
    assert (shift.train, shift.seed, shift.total_images) == ("area", 4, 3)
    assert shift.consistency == pytest.approx(2 / 3)


def test_networks_learn_from_what_is_measured(finished) -> None:
    """Size, geometry, quality and limit are those of the comparison."""
    manifest = read_manifest(finished[0] / "shards" / "nearest" / "train")
    options = manifest.options
    assert (options.size_px, options.geometry, options.quality, options.limit_images) == (80, "squash", 80, IMAGES)


def test_the_finding_is_in_verdict_and_report(finished) -> None:
    """With the versions of what trained, and the sharding's rejects."""
    work, comparison = finished
    assert comparison.verdict[3] == comparison.training.finding
    page = (work / "report.html").read_text()
    assert 'class="heat"' in page
    assert {"torch"} < {*comparison.versions} & {"torch", "nvidia-dali-cuda130", "nvidia-dali-cuda120"}
    names = [(reject.name, reject.reason) for reject in comparison.rejects]
    assert len(names) == len(set(names))


def test_a_finished_network_is_not_trained_again(finished, raw_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call reads what is kept and reports each network."""
    work, comparison = finished
    monkeypatch.setattr(networks, "train", lambda *arguments, **options: pytest.fail("trained again"))
    events: list = []
    assert run(raw_folders, work, progress=events.append).training == comparison.training
    messages = [event.text for event in events if isinstance(event, Message)]
    assert [text for text in messages if text.startswith("network")] == [
        f"network {2 * seed + number} of 4: {method}, seed {seed}"
        for seed in (0, 1)
        for number, method in enumerate(METHODS, 1)
    ]


def test_another_recipe_is_not_taken_for_the_old_one(finished, raw_folders: Path) -> None:
    """The folder's run is refused, not overwritten; the message names what the caller can change."""
    with pytest.raises(RefusedError, match="another `work_dir`"):
        run(raw_folders, finished[0], steps=4)


def test_a_damaged_cell_is_named(finished, raw_folders: Path) -> None:
    """Its file, and what to do."""
    path = finished[0] / "runs" / "nearest" / "seed-0" / "cells.json"
    kept = path.read_bytes()
    for damaged in (kept[:-9], kept.replace(b'"cells"', b'"sells"')):
        path.write_bytes(damaged)
        with pytest.raises(RefusedError, match=r"cells\.json is damaged .* remove it"):
            run(raw_folders, finished[0])
    path.write_bytes(kept)


def test_cells_of_another_network_are_not_read(finished, raw_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept under another identity is tested again, from the run that is there."""
    work, comparison = finished
    path = work / "runs" / "nearest" / "seed-0" / "cells.json"
    kept = networks.from_json(path.read_bytes(), networks.KeptCells)
    wrong = dataclasses.replace(kept.cells[0], top1_error=0.123)
    path.write_bytes(networks.to_json(dataclasses.replace(kept, identity="other", cells=(wrong, wrong)), indent=1))
    assert run(raw_folders, work).training == comparison.training
    assert networks.from_json(path.read_bytes(), networks.KeptCells) == kept


def test_a_stopped_training_can_be_resumed(raw_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` ends the call with the signal's exit code; the report without networks is there already."""
    output = tmp_path / "r.html"
    changes = {"seeds": 1, "steps": 2, "output": output}
    with pytest.raises(InterruptedRunError, match=r"Interrupted while training on nearest, seed 0\.") as stopped:
        run(raw_folders, tmp_path / "work", stop=lambda: 15, **changes)
    assert stopped.value.exit_code == 143
    assert "No networks were trained" in output.read_text()
    comparison = run(raw_folders, tmp_path / "work", **changes)
    assert comparison.training.steps == 2
    assert "One seed has no standard deviation" in comparison.verdict[3]


def test_the_page_is_written_after_each_network(
    raw_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished can be read when a later network fails; a page that cannot be written stops no training."""
    output = tmp_path / "r.html"
    changes = {"seeds": 1, "output": output}
    train = networks.train

    def failing(folder: Path, **options: object) -> object:
        if "lanczos3" in str(folder):
            raise PipelineError("the second network")
        return train(folder, **options)

    monkeypatch.setattr(networks, "train", failing)
    with pytest.raises(PipelineError, match="the second network"):
        run(raw_folders, tmp_path / "work", **changes)
    assert "1 of 2 networks are trained so far" in output.read_text()
    monkeypatch.undo()
    writes, events = [], []
    write = compare_module.write_page

    def full_disk(comparison: Comparison, *rest: object) -> None:
        writes.append(comparison)
        if comparison.training and len(comparison.training.shifts) == 1:
            raise PipelineError("no space left")
        write(comparison, *rest)

    monkeypatch.setattr(compare_module, "write_page", full_disk)
    run(raw_folders, tmp_path / "work", progress=events.append, **changes)
    warnings = [event.text for event in events if isinstance(event, Message) and event.warning]
    assert warnings == ["no space left; training goes on"]
    assert "networks are trained so far" not in output.read_text()
    assert len(writes) == 4


def test_images_that_are_too_small_are_refused_before_the_work(raw_folders: Path, tmp_path: Path) -> None:
    """44 pixels are the smallest side of which crops leave something; 64 are fine."""
    events: list[object] = []
    with pytest.raises(RefusedError, match=r"crops of 35 pixels .* expected 38 pixels or more"):
        run(raw_folders, tmp_path / "work", size=40, progress=events.append)
    assert not events
    assert not (tmp_path / "work").exists()
    small = run(raw_folders, tmp_path / "work", size=64, seeds=1)
    assert len(small.training.cells) == 4
