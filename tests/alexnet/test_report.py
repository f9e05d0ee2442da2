"""A run's folder becomes one page that needs nothing beside itself, whatever the folder holds."""

import base64
import csv
import dataclasses
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from alexnet_pipeline import report, shard
from alexnet_pipeline.alexnet.checkpoint import save_checkpoint
from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.evaluate import ClassErrors, Confusion, Evaluation
from alexnet_pipeline.alexnet.metrics import ChangeLine, MetricsWriter, StepLine, ValidationLine
from alexnet_pipeline.alexnet.recipe import PAPER, QUARTER
from alexnet_pipeline.alexnet.run_folder import RunRecord, ShardsRecord, write_run
from alexnet_pipeline.dataset.open import open_shards
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.records import to_json
from tests.alexnet.made import RECORD
from tests.alexnet.test_checkpoint import made

HOSTILE = "<script>alert(1)</script>"
WIDTHS_PX = (390, 1280)
ERRORS = ErrorRates("centre crop", 50, 1.25, 0.34, 0.12, (0.22, 0.48), (0.06, 0.24))


def step_line(step: int) -> StepLine:
    return StepLine(step, 32 * step, step / 10, 6 / step, 1 / step, 0.01, 90.0, 0.02)


def validation(step: int, errors: ErrorRates = ERRORS) -> ValidationLine:
    return ValidationLine(step, 32 * step, step / 10, errors)


def evaluation(folder: Path, **changes) -> Evaluation:
    """Of ten crops, on a data set that is not there."""
    given = {
        "shards": str(folder.parent / HOSTILE),
        "method": "lanczos",
        "runs": (str(folder),),
        "steps": (20,),
        "errors": dataclasses.replace(ERRORS, protocol="10 crops", top1_error=0.31),
        "classes": (ClassErrors(HOSTILE, 25, 0.5, 0.1, HOSTILE),),
        "confusions": (Confusion(HOSTILE, "n2", 12, (0, 1), HOSTILE, HOSTILE),),
    }
    return Evaluation(**{**given, **changes})


def append(folder: Path, *lines) -> None:
    writer = MetricsWriter(folder)
    for line in lines:
        writer.append(line)
    writer.close()


def record(folder: Path) -> RunRecord:
    shards = ShardsRecord(str(folder.parent / HOSTILE), "lanczos", "0" * 64, 100)
    return dataclasses.replace(
        RECORD,
        command=f"alexnet-pipeline train --train {HOSTILE}",
        network=QUARTER.network(2, 224),
        train=shards,
        val=shards,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run's folder, without the training."""
    folder = tmp_path / "run"
    (folder / "evaluations").mkdir(parents=True)
    write_run(folder, record(folder), np.zeros(3, np.float32))
    append(folder, *(line for step in range(1, 21) for line in (step_line(step), validation(step))))
    (folder / "evaluations" / "10-crops.json").write_bytes(to_json(evaluation(folder)))
    weights = {"conv1.weight": torch.linspace(-1, 1, 8 * 3 * 11 * 11).reshape(8, 3, 11, 11)}
    save_checkpoint(folder / "checkpoints", made(20, weights), keep=1)
    return folder


def page_of(run: Path, warnings: list[str] | None = None) -> str:
    events = []
    path = report(run, run.parent / "report.html", progress=events.append)
    assert all(event.warning for event in events)
    if warnings is not None:
        warnings += [event.text for event in events]
    return path.read_text("utf-8")


def test_a_page_says_what_the_run_reached(run):
    """Both protocols stand in the headline with N and interval, and every section is there."""
    page = page_of(run)
    for words in (
        "Top-1 error, centre crop",
        "Top-1 error, 10 crops",
        "<b>34.0 %</b>",
        "<b>31.0 %</b>",
        "N = 50, step 20",
    ):
        assert words in page
    assert page.count("<figcaption>Tower ") == 2
    assert page.count('alt="Tower 1, filter') == page.count('alt="Tower 2, filter') == 4
    assert page.count('<svg class="chart"') == 5


def test_the_headline_is_the_newest(run):
    """Of each protocol, from training and from evaluations of this run on its validation set."""
    append(run, validation(30, dataclasses.replace(ERRORS, top1_error=0.27)))
    older = evaluation(run, steps=(3,), errors=dataclasses.replace(ERRORS, protocol="10 crops", top1_error=0.99))
    ensemble = evaluation(
        run, runs=("a", "b"), errors=dataclasses.replace(ERRORS, protocol="10 crops", top1_error=0.01)
    )
    for name, one in (("a", older), ("z", older), ("y", ensemble)):
        (run / "evaluations" / f"{name}.json").write_bytes(to_json(one))
    assert re.findall(r"<b>([\d.]+) %</b>", page_of(run)) == ["27.0", "12.0", "31.0", "12.0"]


def test_hostile_names_stay_text(run):
    """A class or folder named like a script, or such words, are shown, not run."""
    page = page_of(run)
    assert "<script" not in page.lower()
    assert html.escape(HOSTILE) in page


def test_the_title_says_network_data_result_and_protocol(run):
    """In the heading and in the window's title; before the first evaluation there is no result."""
    page = page_of(run)
    data = html.escape("/".join(f"{run.parent}/{HOSTILE}".split("/")[-2:]))
    title = f"AlexNet (quarter) on {data}: 34.0 % top-1 error, centre crop"
    assert f"<h1>{title}</h1>" in page
    assert f"<title>{title}</title>" in page
    (run / "metrics.jsonl").unlink()
    shutil.rmtree(run / "evaluations")
    assert f"<h1>AlexNet (quarter) on {data}: not evaluated yet</h1>" in page_of(run)


def test_digits_are_those_of_the_command(run):
    """An error and its interval have one decimal in the page, as `train` and `evaluate` print them."""
    errors = dataclasses.replace(ERRORS, top1_error=0.14, top1_interval=(0.0853, 0.221))
    append(run, validation(30, errors))
    assert "top-1 error 14.0 % (8.5 to 22.1)" in str(errors)
    page = page_of(run)
    assert "<b>14.0 %</b>" in page
    assert "8.5 to 22.1 %" in page
    assert not re.search(r">\d+ %<|\d\.\d\d %", re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))


def test_changes_on_resume_are_shown(run):
    """In a table, and as a line across every chart, at the epoch of their step."""
    assert "Changed when" not in page_of(run)
    append(run, ChangeLine(20, ("learning_rate: 0.01, now 0.001",)), step_line(21))
    page = page_of(run)
    row = page.partition('<h3 id="changes">')[2].partition("</tbody>")[0]
    assert text_of(row.partition("<tbody>")[2].replace("<td", " <td")) == "20 2 learning rate: 0.01, now 0.001"
    assert page.count("<title>Resumed with learning rate: 0.01, now 0.001</title>") == 5
    assert f'<line class="event" x1="{100 * 20 / 21:.2f}%"' in page


def test_few_classes_have_a_matrix_of_confusions(run):
    """With the counts of every pair; an evaluation without one has none."""
    assert "Confusion matrix" not in page_of(run)
    classes = (ClassErrors("n01440764", 10, 0.2, 0.0, "tench, Tinca tinca"), ClassErrors("n2", 5, 0.4, 0.0))
    shown = evaluation(run, classes=classes, confusions=(), matrix=((8, 2), (2, 3)))
    (run / "evaluations" / "10-crops.json").write_bytes(to_json(shown))
    table = page_of(run).partition('<table class="matrix">')[2].partition("</table>")[0]
    rows = [
        text_of(row)
        for row in re.findall("<tr>(.*?)</tr>", table.replace("<td", " <td").replace("<th", " <th"), re.DOTALL)
    ]
    assert rows == ["true ↓ taken for → tench n2", "tench n01440764 8 2", "n2 2 3"]
    damaged = evaluation(run, classes=classes, matrix=((8, 2), (2, 3), (0, 0)))
    (run / "evaluations" / "10-crops.json").write_bytes(to_json(damaged))
    assert "Confusion matrix" not in page_of(run)
    assert re.findall(r'<td class="own" style="--heat:([\d.]+)"', table) == ["0.480", "0.360"]


def test_the_configuration_says_nothing_twice_and_nothing_idle(run):
    """Fields of the network are in its list only, and settings of other schedules and normalisations in none."""
    columns = page_of(run).partition("<h2>Configuration</h2>")[2].partition("<h3>Training set")[0]
    names = re.findall(r"<dt[^>]*>([^<]*)</dt>", columns)
    assert len(names) == len(set(names))
    assert {"batch size", "schedule", "dropout", "norm", "input norm", "crop px"} <= set(names)
    assert not {"drops", "drops epochs", "patience epochs", "final learning rate", "lrn alpha", "spatial norm"} & set(
        names
    )
    plateau = dataclasses.replace(PAPER, norm="lrn")
    write_run(
        run, dataclasses.replace(record(run), recipe=plateau, network=plateau.network(2, 224)), np.zeros(3, np.float32)
    )
    names = re.findall(r"<dt[^>]*>([^<]*)</dt>", page_of(run).partition("<h2>Configuration</h2>")[2])
    assert {"drops", "patience epochs", "lrn alpha"} <= set(names)
    assert not {"drops epochs", "input norm"} & set(names)


def files_of(page: str) -> dict[str, bytes]:
    """The files that a page carries in its links, by name."""
    links = re.findall(r'<a href="data:[^,"]*;base64,([^"]*)" download="([^"]*)"', page)
    return {name: base64.b64decode(data) for data, name in links}


def test_the_data_are_in_the_page_as_json_and_csv(run):
    """Number for number; a spreadsheet finds no formula among them."""
    shown = evaluation(run, classes=(ClassErrors("=1+1", 25, 0.5, 0.1, "a, b"),))
    (run / "evaluations" / "10-crops.json").write_bytes(to_json(shown))
    append(run, ChangeLine(20, ("epochs: 1, now 2",)))
    files = files_of(page_of(run))
    assert list(files) == ["training.csv", "validations.csv", "evaluations.csv", "classes.csv", "run.json"]
    whole = json.loads(files["run.json"])
    assert whole["run"]["recipe"]["preset"] == "quarter"
    assert whole["training"]["loss"] == pytest.approx([6 / step for step in range(1, 20 + 1)], rel=1e-5)
    assert whole["training"]["step"] == list(range(1, 20 + 1))
    assert whole["validations"][3]["errors"]["top1_interval"] == [0.22, 0.48]
    assert whole["changes"][0]["changes"] == ["epochs: 1, now 2"]
    assert whole["evaluations"][0]["classes"][0]["name"] == "=1+1"
    tables = {
        name: list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        for name, data in files.items()
        if name.endswith(".csv")
    }
    assert [float(row["loss"]) for row in tables["training.csv"]] == whole["training"]["loss"]
    assert tables["validations.csv"][3]["top1_low"] == "0.22"
    assert tables["evaluations.csv"][0]["protocol"] == "10 crops"
    assert tables["classes.csv"] == [
        {"class": "'=1+1", "words": "a, b", "images": "25", "top1_error": "0.5", "top5_error": "0.1"}
    ]


def text_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).replace("\N{MULTIPLICATION SIGN}", "x").split())


def test_classes_are_shown_by_their_first_words(run):
    """With the class's name beside them and all of its words on hover; a class without words by its name alone."""
    tench = 'tench, Tinca "tinca"'
    classes = (ClassErrors("n01440764", 2, 1.0, 0.0, tench), ClassErrors("n2", 2, 0.5, 0.0))
    confusions = (
        Confusion("n01440764", "n02012849", 2, (), tench, "crane"),
        Confusion("n2", "n01440764", 1, (), "", tench),
        Confusion("n2", "n3", 1, ()),
    )
    shown = evaluation(run, classes=classes, confusions=confusions)
    (run / "evaluations" / "10-crops.json").write_bytes(to_json(shown))
    page = page_of(run)
    rows = re.findall(r'<tr><td class="name">(.*?)</td>', page.partition("<h2>Classes")[2])
    assert [text_of(row) for row in rows] == ["tench n01440764", "n2"]
    figures = re.findall(r"<figure>(.*?)</figure>", page.partition("<h2>Most frequent confusions")[2], re.DOTALL)
    assert [text_of(figure) for figure in figures] == [
        "tench taken for crane, 2 x n01440764 → n02012849",
        "n2 taken for tench, 1 x n2 → n01440764",
        "n2 taken for n3, 1 x",
    ]
    assert page.count('<span class="name" title="tench, Tinca &#34;tinca&#34;">tench</span>') == 3
    assert page.count('<span class="name" title=') == 4


def test_nothing_comes_from_outside(run):
    """Images are in the page; no address is."""
    page = page_of(run)
    assert not re.search(r"https?://|//[a-z0-9.-]+\.[a-z]{2,}/|@import|<link|url\(", page)
    sources, links = re.findall(r'src="([^"]*)"', page), re.findall(r'href="([^"]*)"', page)
    assert sources
    assert links
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(link.startswith(("data:text/csv;", "data:application/json;")) for link in links)


def test_images_of_shards_that_have_gone_are_left_out_with_a_note(run):
    """Confusions stay, and one line says why they have no images."""
    warnings = []
    page = page_of(run, warnings)
    assert len(warnings) == 1
    assert "Images are left out" in page
    assert "taken for" in page


def test_a_loss_that_is_not_finite_leaves_the_page_whole(run):
    """A run that diverged is no reason to have no report."""
    append(run, validation(21, dataclasses.replace(ERRORS, loss=None)))
    page = page_of(run)
    assert "not finite" in page
    assert "Learning rate" in page


def test_data_wait_is_called_so(run):
    """In the chart's caption."""
    assert "Data wait (share of step time)" in page_of(run)


def test_options_are_explained(run):
    """The configuration has the help of each option, by the name that a user gives it."""
    page = page_of(run)
    assert '<dt title="Images per step, over all processes.">batch size</dt><dd>32</dd>' in page
    assert "<dt>bias rate factor</dt><dd>1.0</dd>" in page
    assert "<dt>python</dt><dd>3.11</dd>" in page


def test_an_unreadable_checkpoint_costs_the_filters_only(run):
    """One of another version is a warning here."""
    state = next((run / "checkpoints").glob("*/state.json"))
    text = state.read_bytes().replace(b'"format_version": 1', b'"format_version": 7')
    blank = re.sub(rb'"digest": "[0-9a-f]{64}"', b'"digest": ""', text)
    digest = hashlib.sha256(blank).hexdigest().encode()
    state.write_bytes(blank.replace(b'"digest": ""', b'"digest": "' + digest + b'"'))
    warnings = []
    assert "<figcaption>Tower " not in page_of(run, warnings)
    assert any("another version" in line for line in warnings)


def test_a_run_that_has_just_begun(run):
    """Without metrics, checkpoints and evaluations there is still the configuration."""
    for name in ("checkpoints", "evaluations"):
        shutil.rmtree(run / name)
    (run / "metrics.jsonl").unlink()
    page = page_of(run)
    assert "Nothing has been evaluated yet" in page
    assert "batch size" in page


def test_a_damaged_evaluation_is_left_out(run):
    """Another file among the evaluations costs a warning."""
    (run / "evaluations" / "other.json").write_text("[]")
    warnings = []
    page_of(run, warnings)
    assert any("other.json" in line for line in warnings)


def test_a_folder_without_a_run_is_refused(tmp_path):
    """One line says what is missing, and nothing is written."""
    with pytest.raises(RefusedError, match=r"run\.json is missing"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_a_browser_draws_it(run, tmp_path, width_px):
    """A browser without network makes a picture with something in it."""
    page = report(str(run), str(tmp_path / "report.html"), progress=False)
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
    """Is drawn too, beside the run where no other place is named."""
    write_run(run, dataclasses.replace(record(run), val=None), np.zeros(3, np.float32))
    path = report(run, progress=False)
    assert path == run / "report.html"
    assert "<h3>Validation set</h3><p>none</p>" in path.read_text("utf-8")


@pytest.mark.parametrize(("encoding", "kind"), [("jpg", "jpeg"), ("png", "png"), ("raw", "png")])
def test_confusions_show_their_images(run: Path, raw_folders: Path, tmp_path: Path, encoding: str, kind: str) -> None:
    """Whatever the shards' encoding, from the bytes that were evaluated, and named by the first words."""
    how = {"methods": ["area"], "split": ["val"], "size": 32, "encoding": encoding, "workers": 1, "progress": False}
    shard(raw_folders, tmp_path / "out", **how)
    shards = open_shards(tmp_path / "out" / "area" / "val")
    truth = shards.manifest.classes[shards.read_label(0)]
    shown = evaluation(run, shards=str(shards.folder), confusions=(Confusion(truth, "n2", 1, (0,), "disc, disk"),))
    (run / "evaluations" / "10-crops.json").write_bytes(to_json(shown))
    page = page_of(run)
    (uri,) = re.findall(rf'src="data:image/{kind};base64,([^"]+)" alt="disc taken for n2"', page)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(uri), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (32, 32, 3)


def test_a_page_carries_images_only(run, raw_folders, tmp_path):
    """A stranger's run may name a data set whose image is a file of the reader's machine."""
    shard(raw_folders, tmp_path / "set", methods=["area"], split=["val"], size=24, progress=False)
    folder = tmp_path / "set" / "area" / "val"
    shards = open_shards(folder)
    truth = shards.manifest.classes[shards.read_label(0)]
    one = evaluation(run, shards=str(folder), confusions=(Confusion(truth, "n2", 1, (0,)),))
    (run / "evaluations" / "10-crops.json").write_bytes(to_json(one))
    assert "data:image/jpeg" in page_of(run)
    with shards.tars[0].path.open("r+b") as tar:
        tar.seek(int(shards.image[0, 0]))
        tar.write(b"root:x:0:0:root:/root:/bin/bash")
    warnings = []
    page = page_of(run, warnings)
    assert "data:image/jpeg" not in page
    assert base64.b64encode(b"root:x:0:0") not in page.encode()
    assert any("image 0 is no image/jpeg" in line for line in warnings)


@pytest.mark.parametrize("field", ["shards", "runs"])
def test_a_path_with_a_zero_byte_is_no_evaluation(run, field):
    """No file has such a name; the evaluation is left out."""
    text = to_json(evaluation(run)).replace(b'"' + field.encode() + b'":', b'"' + field.encode() + b'":', 1)
    where = text.index(b'"/', text.index(field.encode()))
    (run / "evaluations" / "10-crops.json").write_bytes(text[: where + 2] + b"a\\u0000b" + text[where + 2 :])
    warnings = []
    page_of(run, warnings)
    assert any("is not an evaluation" in line for line in warnings)
