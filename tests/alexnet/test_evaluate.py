"""Every image is counted once, and what is found is kept with the run."""

import json
from pathlib import Path

import pytest

from alexnet_pipeline import evaluate, open_shards, shard
from alexnet_pipeline.alexnet.evaluate import Evaluation, read_evaluations
from alexnet_pipeline.alexnet.predict import predict
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Advance, Stage, silent
from tests.alexnet.made import SIZE, run, with_words


def test_evaluation_counts_and_remembers(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Ensembles are means of probabilities; predictions name every key."""
    lines = tmp_path / "lines.jsonl"
    one = evaluate(uninterrupted, shards=shards / "val", crops=10, device="cpu", predictions=lines, progress=False)
    both = [uninterrupted, str(uninterrupted)]
    twice = evaluate(both, shards=str(shards / "val"), crops=10, device="cpu", progress=False)
    assert one.errors == twice.errors
    assert one.errors.protocol == "10 crops"
    assert twice.runs == (str(uninterrupted),) * 2
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    wrong = sum(row["truth"] != row["best"][0]["class"] for row in rows)
    assert len({row["key"] for row in rows}) == 20
    assert one.errors.top1_error == wrong / 20
    assert sum(row.images for row in one.classes) == 20
    val = open_shards(shards / "val")
    found = predict([uninterrupted], val, crops=10, device="cpu").probabilities
    assert [row["key"] for row in rows] == list(val.keys())
    for row, probabilities in zip(rows, found.tolist(), strict=True):
        best = sorted(probabilities, reverse=True)[:5]
        assert [taken["probability"] for taken in row["best"]] == pytest.approx(best, abs=1e-6)
        assert val.manifest.classes[probabilities.index(best[0])] == row["best"][0]["class"]
    assert sum(confusion.count for confusion in one.confusions) == wrong
    names = val.manifest.classes
    for truth, counts in zip(names, one.matrix, strict=True):
        taken = [row["best"][0]["class"] for row in rows if row["truth"] == truth]
        assert counts == tuple(taken.count(name) for name in names)


def test_a_single_runs_evaluation_is_kept_with_it(shards: Path, tmp_path: Path) -> None:
    """An ensemble's is not, for it belongs to no run."""
    run(shards, tmp_path / "run", steps=1)
    for crops in (1, 10):
        evaluate(str(tmp_path / "run"), shards=shards / "val", crops=crops, progress=False)
    evaluate([tmp_path / "run"] * 2, shards=shards / "train", progress=False)
    kept = read_evaluations(tmp_path / "run", silent)
    assert [(e.errors.protocol, e.errors.total_images, e.steps) for e in kept] == [
        ("10 crops", 20, (1,)),
        ("centre crop", 20, (1,)),
    ]
    assert kept[0].shards == str((shards / "val").resolve())


def test_wrong_types_in_an_evaluation_cost_a_warning(tmp_path: Path) -> None:
    """One line with the place."""
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "a.json").write_text('{"shards": 5}')
    warnings = []
    assert read_evaluations(tmp_path, warnings.append) == ()
    assert "a.json" in warnings[0].text
    assert "$.shards" in warnings[0].text


def test_classes_have_the_words_of_the_evaluated_shards(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """In the evaluation and in the predictions, whose other fields stay; a class without words has no such field."""
    known = ("disc, disk", "ring", "horizontal stripes")
    worded, lines = with_words(shards / "val", tmp_path / "val", *known), tmp_path / "lines.jsonl"
    found = evaluate(uninterrupted, shards=worded, device="cpu", predictions=lines, progress=False)
    names = open_shards(worded).manifest.classes
    words = dict(zip(names, (*known, *[""] * 7), strict=True))
    assert [(row.name, row.words) for row in found.classes] == list(words.items())
    for confusion in found.confusions:
        assert (confusion.truth_words, confusion.predicted_words) == (
            words[confusion.truth],
            words[confusion.predicted],
        )
    assert any(confusion.truth_words != confusion.predicted_words for confusion in found.confusions)
    for row in map(json.loads, lines.read_text().splitlines()):
        for each, name in [(row, row["truth"]), *((taken, taken["class"]) for taken in row["best"])]:
            assert each.get("words", "") == words[name]
            assert ("words" in each) == bool(words[name])
        assert row.keys() - {"words"} == {"key", "truth", "best"}
        assert all(taken.keys() - {"words"} == {"class", "probability"} for taken in row["best"])


def test_many_classes_have_no_matrix(shards: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be unreadable, and a thousand classes would make a million numbers."""
    monkeypatch.setattr("alexnet_pipeline.alexnet.evaluate.MATRIX_CLASSES", 9)
    assert evaluate(uninterrupted, shards=shards / "val", device="cpu", progress=False).matrix == ()


def test_an_evaluation_written_before_words_is_read(tmp_path: Path) -> None:
    """Its classes have none, and it has no matrix."""
    (tmp_path / "evaluations").mkdir()
    errors = {"protocol": "centre crop", "total_images": 2, "loss": 1.0, "top1_error": 0.5, "top5_error": 0.0}
    old = {"shards": "s", "method": "area", "runs": ["r"], "steps": [1]}
    old["errors"] = {**errors, "top1_interval": [0.1, 0.9], "top5_interval": [0.0, 0.6]}
    old["classes"] = [{"name": "n1", "images": 2, "top1_error": 0.5, "top5_error": 0.0}]
    old["confusions"] = [{"truth": "n1", "predicted": "n2", "count": 1, "examples": [1]}]
    (tmp_path / "evaluations" / "a.json").write_text(json.dumps(old))
    warnings = []
    (read,) = read_evaluations(tmp_path, warnings.append)
    assert warnings == []
    assert read.matrix == ()
    assert (read.classes[0].words, read.confusions[0].truth_words, read.confusions[0].predicted_words) == ("", "", "")


def test_progress_counts_images(shards: Path, uninterrupted: Path) -> None:
    """From none to all."""
    events = []
    evaluate(uninterrupted, shards=shards / "train", device="cpu", progress=events.append)
    assert events[0] == Stage("evaluate", total=59)
    assert events[-1] == Advance(59)


def test_results_are_shown_shortly(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """A line in Python, a table of classes with their words in a notebook."""
    val = with_words(shards / "val", tmp_path / "val", "disc & disk")
    evaluation: Evaluation = evaluate(uninterrupted, shards=val, device="cpu", progress=False)
    assert "20 images: top-1 error" in repr(evaluation)
    assert len(repr(evaluation)) < 400
    assert evaluation._repr_html_().count("<tr>") == 12
    assert "<tr><td>n90000001</td><td>disc &amp; disk</td>" in evaluation._repr_html_()


def test_what_cannot_be_evaluated_is_refused(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """A folder without a run, no folder, wrong options."""
    with pytest.raises(RefusedError, match="no checkpoint"):
        evaluate(tmp_path, shards=shards / "val", device="cpu", progress=False)
    with pytest.raises(RefusedError, match="`runs`"):
        evaluate([], shards=shards / "val", progress=False)
    with pytest.raises(RefusedError, match="`crops`: 5 is not one of 1, 10"):
        evaluate(uninterrupted, shards=shards / "val", crops=5, progress=False)
    with pytest.raises(TypeError, match="crop"):
        evaluate(uninterrupted, shards=shards / "val", crop=1)


def test_images_of_another_size_are_refused(
    shards: Path, uninterrupted: Path, raw_folders: Path, tmp_path: Path
) -> None:
    """In validation and in evaluation: a crop of them would be another view."""
    shard(raw_folders, tmp_path / "large", methods=["area"], size=2 * SIZE, split=["val"], workers=1, progress=False)
    large = tmp_path / "large" / "area" / "val"
    with pytest.raises(RefusedError, match="both with the same `size`"):
        run(shards, tmp_path / "a", val=large)
    with pytest.raises(RefusedError, match="both with the same `size`"):
        evaluate(uninterrupted, shards=large, progress=False)
