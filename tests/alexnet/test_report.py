"""A run's folder becomes one page that needs nothing beside itself, whatever the folder holds."""

import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from alexnet_pipeline.alexnet.run_reading import read_training

from alexnet_pipeline import shard
from alexnet_pipeline.alexnet.checkpoint import Checkpoint, save_checkpoint
from alexnet_pipeline.alexnet.report import write_report
from alexnet_pipeline.dataset.open import open_shards
from alexnet_pipeline.errors import RefusedError

HOSTILE = "<script>alert(1)</script>"
WIDTHS_PX = (390, 1280)
EVALUATION = {
    "protocol": "centre crop",
    "total_images": 50,
    "loss": 1.25,
    "top1_error": 0.34,
    "top5_error": 0.12,
    "top1_interval": [0.22, 0.48],
    "top5_interval": [0.06, 0.24],
}


def step_line(step, **changes):
    line = {"kind": "step", "loss": 6 / step, "top1_error": 1 / step, "learning_rate": 0.01, "images_per_s": 90.0}
    return json.dumps({**line, "input_wait": 0.02, "step": step, "images": 32 * step, "epoch": step / 10, **changes})


def evaluation_line(step, **changes):
    place = {"kind": "evaluation", "split": "val", "step": step, "images": 32 * step, "epoch": step / 10}
    return json.dumps({**EVALUATION, **place, **changes})


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "evaluations").mkdir(parents=True)
    shards = {"folder": str(tmp_path / HOSTILE), "method": "lanczos", "fingerprint": "0" * 64, "total_images": 100}
    record = {
        "command": f"alexnet-pipeline train --train {HOSTILE}",
        "started": "2026-01-01T00:00:00+00:00",
        "preset": "quarter",
        "recipe": {"batch_images": 32, "biases": [0.0, 1.0], "crop_px": None},
        "network": {"width": 0.25, "cross_links": True},
        "shards": {"train": shards, "val": shards},
        "classes": [HOSTILE, "n2"],
        "versions": {"torch": "2"},
        "parameters": 1234,
        "machine": "x86_64, 2 threads",
    }
    (folder / "run.json").write_text(json.dumps(record))
    lines = [line for step in range(1, 21) for line in (step_line(step), evaluation_line(step))]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n\n")
    kept = {
        **EVALUATION,
        "protocol": "10 crops",
        "top1_error": 0.31,
        "shards": shards["folder"],
        "models": [str(folder)],
        "steps": [20],
        "per_class": [{"class": HOSTILE, "images": 25, "top1_error": 0.5, "top5_error": 0.1}],
        "confusions": [{"truth": HOSTILE, "predicted": "n2", "count": 12, "examples": [0, 1]}],
    }
    (folder / "evaluations" / "10-crops.json").write_text(json.dumps(kept))
    weights = {"conv1.weight": torch.linspace(-1, 1, 8 * 3 * 11 * 11).reshape(8, 3, 11, 11)}
    save_checkpoint(folder / "checkpoints", Checkpoint(20, weights, {}, {}, {"classes": [HOSTILE, "n2"]}), keep=1)
    return folder


def page_of(run, warn=lambda line: None):
    return write_report(run, run.parent / "report.html", warn).read_text("utf-8")


def test_a_page_says_what_the_run_reached(run):
    """Both protocols stand in the headline with N and interval, and every section is there."""
    page = page_of(run)
    for words in ("Top-1 error, centre crop", "Top-1 error, 10 crops", "<b>34 %</b>", "<b>31 %</b>", "N = 50 "):
        assert words in page
    assert page.count("<figcaption>Tower ") == 2
    assert page.count('alt="Tower 1, filter') == page.count('alt="Tower 2, filter') == 4
    assert page.count('<svg class="chart"') == 5


def test_hostile_names_stay_text(run):
    """A class or folder named like a script is shown, not run."""
    page = page_of(run)
    assert "<script" not in page.lower()
    assert html.escape(HOSTILE) in page


def test_nothing_comes_from_outside(run):
    """Pictures are in the page; no address is."""
    page = page_of(run)
    assert not re.search(r"https?://|//[a-z0-9.-]+\.[a-z]{2,}/|@import|<link|url\(", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_pictures_of_shards_that_have_gone_are_left_out_with_a_note(run):
    """Confusions stay, and one line says why they have no pictures."""
    told = []
    page = page_of(run, told.append)
    assert len(told) == 1
    assert "Pictures are left out" in page
    assert "taken for" in page


def test_cut_lines_are_left_out(run):
    """A crash in the middle of a line costs that line."""
    with (run / "metrics.jsonl").open("a") as handle:
        handle.write('\n[1]\n{"kind": "step"}\n{"kind": "step", "lo')
    assert len(read_training(run / "metrics.jsonl").windows) == 20
    assert "Top-1 error" in page_of(run)


def test_a_resumed_run_supersedes_what_it_repeats(run):
    """The last line of a step wins, and those after it are the resumed run's."""
    with (run / "metrics.jsonl").open("a") as handle:
        handle.write("\n".join([step_line(15, loss=0.5), step_line(18, loss=0.25), evaluation_line(18, loss=0.75)]))
    found = read_training(run / "metrics.jsonl")
    assert [(one.step, one.loss) for one in found.windows[-2:]] == [(15, 0.5), (18, 0.25)]
    assert (found.rates[-1].step, found.rates[-1].loss) == (18, 0.75)


def test_values_that_are_no_numbers_leave_the_page_whole(run):
    """A loss that diverged is no reason to have no report."""
    with (run / "metrics.jsonl").open("a") as handle:
        handle.write(
            step_line(21, loss=float("nan"), learning_rate=0.0) + "\n" + evaluation_line(21, loss=float("inf"))
        )
    assert "Learning rate" in page_of(run)


def test_a_run_that_has_just_begun(run):
    """Without metrics, checkpoints and evaluations there is still the configuration."""
    for name in ("checkpoints", "evaluations"):
        shutil.rmtree(run / name)
    (run / "metrics.jsonl").unlink()
    page = page_of(run)
    assert "Nothing has been evaluated yet" in page
    assert "batch images" in page


def test_a_damaged_evaluation_is_left_out(run):
    """Another file among the evaluations costs a warning."""
    (run / "evaluations" / "other.json").write_text("[]")
    told = []
    page_of(run, told.append)
    assert any("other.json" in line for line in told)


def test_a_folder_without_a_run_is_refused(tmp_path):
    """One line says what is missing, and nothing is written."""
    with pytest.raises(RefusedError, match=r"run\.json is missing"):
        write_report(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_a_browser_draws_it(run, tmp_path, width_px):
    """A browser without network makes a picture with something in it."""
    page = write_report(run, tmp_path / "report.html", lambda line: None)
    shot = tmp_path / "shot.png"
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}", f"--window-size={width_px},844"]
    subprocess.run([*command, Path(page).as_uri()], check=True, capture_output=True, timeout=60)
    drawn = cv2.imread(str(shot))
    assert drawn.shape[:2] == (844, width_px)
    assert drawn.std() > 5


def test_a_run_without_validation(run: Path) -> None:
    """Is drawn too: its record says that there was none."""
    record = json.loads((run / "run.json").read_bytes())
    record["shards"]["val"] = None
    (run / "run.json").write_text(json.dumps(record))
    assert "</html>" in page_of(run)


@pytest.mark.parametrize(("encoding", "kind"), [("jpg", "jpeg"), ("png", "png"), ("raw", "png")])
def test_confusions_show_their_pictures(run: Path, raw_folders: Path, tmp_path: Path, encoding: str, kind: str) -> None:
    """Whatever the shards' encoding, from the bytes that were evaluated."""
    shard(raw_folders, tmp_path / "out", methods=["area"], split=["val"], size=32, encoding=encoding, workers=1)
    shards = open_shards(tmp_path / "out" / "area" / "val")
    truth = shards.manifest.classes[shards.read_label(0)]
    path = run / "evaluations" / "10-crops.json"
    record = json.loads(path.read_bytes())
    record["shards"] = str(shards.folder)
    record["confusions"] = [{"truth": truth, "predicted": "n2", "count": 1, "examples": [0]}]
    path.write_text(json.dumps(record))
    page = page_of(run)
    (uri,) = re.findall(rf'src="data:image/{kind};base64,([^"]+)" alt="{truth} taken for', page)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(uri), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (32, 32, 3)
