"""Networks trained by every method are tested on all, and never twice."""

import dataclasses
import json
from pathlib import Path

import pytest
from alexnet_pipeline.training_api import SilentWatcher

from alexnet_pipeline.alexnet.recipe import find_recipe
from alexnet_pipeline.comparison import networks as training_matrix
from alexnet_pipeline.comparison.networks import MatrixOptions, train_matrix
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.shards.build import SilentReporter

OPTIONS = MatrixOptions(find_recipe("quarter", {"width": 0.05, "batch_images": 12}), steps=3, seeds=2, workers=1)
METHODS = ["nearest", "lanczos3:scaled"]


def matrix(source: Path, work: Path, options: MatrixOptions = OPTIONS):
    found, rejects = train_matrix(
        source, METHODS, work, options, sharding=SilentReporter(), training=lambda name: SilentWatcher()
    )
    assert {reject.reason for reject in rejects} == {"truncated"}
    return found


@pytest.fixture(scope="module")
def finished(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory):
    work = tmp_path_factory.mktemp("matrix")
    return work, matrix(raw_folders, work)


def test_every_network_meets_every_method(finished) -> None:
    """2 methods x 2 seeds x 2 validation sets, exactly the sample's images."""
    _, found = finished
    assert {(c.train, c.test, c.seed) for c in found.cells} == {
        (a, b, s) for a in METHODS for b in METHODS for s in (0, 1)
    }
    assert {c.total_images for c in found.cells} == {20}
    assert len(found.shifts) == 4
    assert all(0 <= shift.consistency <= 1 for shift in found.shifts)
    assert (found.steps, found.train_images) == (3, 59)


def test_a_finished_cell_is_not_trained_again(finished, raw_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call reads what it found."""
    work, found = finished
    monkeypatch.setattr(training_matrix, "train", None)
    assert matrix(raw_folders, work) == found


def test_another_recipe_is_not_taken_for_the_old_one(finished, raw_folders: Path) -> None:
    """The folder's run is refused, not overwritten."""
    work, _ = finished
    other = dataclasses.replace(OPTIONS, steps=4)
    with pytest.raises(RefusedError, match="another --work-dir"):
        matrix(raw_folders, work, other)


def test_a_damaged_cell_is_named(finished, raw_folders: Path) -> None:
    """Its file, and what to do."""
    work, _ = finished
    path = work / "runs" / "nearest" / "seed-0" / "cells.json"
    kept = path.read_bytes()
    path.write_text(json.dumps({"identity": 1})[:-4])
    with pytest.raises(RefusedError, match=r"cells\.json"):
        matrix(raw_folders, work)
    path.write_bytes(kept)
