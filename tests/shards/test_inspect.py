"""The first samples of a data set are shown with the words of their classes."""

import dataclasses
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from alexnet_pipeline import inspect, shard
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.dataset.manifest import read_manifest, write_manifest

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


def drawn(monkeypatch: pytest.MonkeyPatch, path: Path, sheet: Path, limit: int) -> list[str]:
    """What is written on a contact sheet, line by line."""
    lines: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda on, line, *rest: lines.append(line))
    inspect(path, limit=limit, contact_sheet=sheet)
    return lines


def test_a_contact_sheet_says_what_it_shows(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its title has set, split, method and size; captions have the label, the first of the words, and the whole key."""
    lines = drawn(monkeypatch, made, tmp_path / "a.png", 4)
    views = inspect(made, limit=4)
    assert lines[0] == "imagenet val, area, 24 px: the first 4 of 20 samples"
    for view in views:
        assert f"{view.label} tench" in lines if view.label == 0 else str(view.label) in lines
        assert "".join(lines).count(view.key) == 1
    assert drawn(monkeypatch, made, tmp_path / "b.png", 99)[0].endswith(": 20 samples")
    tar = next(made.glob("*.tar"))
    assert drawn(monkeypatch, tar, tmp_path / "c.png", 1)[0].startswith("imagenet-area-val")


def test_the_command_prints_words_after_the_label(made: Path) -> None:
    """And has them in its JSON."""
    lines = CliRunner().invoke(cli, ["inspect", str(made), "--limit", "20"]).stdout.splitlines()
    assert any("    0 tench, Tinca tinca 24x24" in line for line in lines)
    assert any("    1 24x24" in line for line in lines)
    found = CliRunner().invoke(cli, ["--json", "inspect", str(made), "--limit", "20"]).stdout
    assert '"words": "tench, Tinca tinca"' in found
