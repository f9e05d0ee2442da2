"""The first samples of a data set are shown with the words of their classes."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from alexnet_pipeline import inspect, shard
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.dataset.manifest import read_manifest, write_manifest
from alexnet_pipeline.shards.inspect import SampleViews, contact_sheet

WORDS = ("tench, Tinca tinca", *[""] * 9)


@pytest.fixture(scope="module")
def made(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose first class has words."""
    out = tmp_path_factory.mktemp("made")
    shard(raw_folders, out, split="val", methods="area", size=24, workers=1, progress=False)
    folder = out / "area" / "val"
    write_manifest(folder, dataclasses.replace(read_manifest(folder), digest="", class_words=WORDS))
    return folder


def test_samples_have_the_words_of_their_class(made: Path) -> None:
    """All of them in the view and in a notebook's table; none where they are unknown."""
    views = inspect(made, limit=20)
    assert {view.label: view.words for view in views} == dict(enumerate(WORDS))
    assert "Tinca tinca" in views._repr_html_()
    assert {view.words for view in inspect(next(made.glob("*.tar")), limit=20)} == {""}


def test_a_caption_has_the_first_of_the_words(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the key, where there are none."""
    captions = []
    monkeypatch.setattr(cv2, "putText", lambda sheet, caption, *rest: captions.append(caption))
    views = SampleViews(sorted(inspect(made, limit=20), key=lambda view: view.label)[:3])
    contact_sheet(views)
    assert captions[:2] == ["0 tench", "0 tench"]
    assert f"1 {views[2].key}".startswith(captions[2])
    assert len(captions[2]) > 15


def test_captions_fit_beneath_their_thumbnails(made: Path) -> None:
    """The longest is cut off before the next image begins."""
    (view,) = inspect(made, limit=1)
    wide = dataclasses.replace(view, words="W" * 40, image=np.zeros((9, 9, 3), np.uint8))
    sheet = contact_sheet(SampleViews([wide]))
    assert (sheet[:, 4 + 128 + 4 :] == 255).all()
    assert (sheet[132:, :132] < 255).any()


def test_the_command_prints_words_after_the_label(made: Path) -> None:
    """And has them in its JSON."""
    lines = CliRunner().invoke(cli, ["inspect", str(made), "--limit", "20"]).stdout.splitlines()
    assert any("    0 tench, Tinca tinca 24x24" in line for line in lines)
    assert any("    1 24x24" in line for line in lines)
    found = CliRunner().invoke(cli, ["--json", "inspect", str(made), "--limit", "20"]).stdout
    assert '"words": "tench, Tinca tinca"' in found
