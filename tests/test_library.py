"""The package as a library: names, laziness, results, paths and progress."""

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import alexnet_pipeline
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Advance, Message, Rate, Stage, reporting


def test_names_are_there_and_lazy() -> None:
    """dir() shows them, importing costs nothing, and whatever else is asked for is no attribute."""
    assert set(alexnet_pipeline.__all__) <= set(dir(alexnet_pipeline))
    with_torch = {"Loader", "bench", "evaluate", "report", "train"}
    there = importlib.util.find_spec("torch") is not None
    for name in alexnet_pipeline.__all__:
        if there or name not in with_torch:
            assert getattr(alexnet_pipeline, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = alexnet_pipeline.nothing
    code = "import sys, alexnet_pipeline; print([m for m in ('numpy', 'click', 'rich', 'torch') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    assert (Path(alexnet_pipeline.__file__).parent / "py.typed").exists()


def test_rooms_do_not_hide_functions() -> None:
    """No module has the name of a public function: importing it would replace the function."""
    package = Path(alexnet_pipeline.__file__).parent
    names = {path.stem for path in package.iterdir()}
    assert not names & set(alexnet_pipeline.__all__)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_each_command_has_a_twin(raw_folders, tmp_path) -> None:
    """shard, merge, verify, inspect, estimate: text for paths, records back, short in a shell, tables in a notebook."""
    out = str(tmp_path / "out")
    planned = alexnet_pipeline.estimate(str(raw_folders), out, methods="nearest", split="val")
    assert [(each.split, each.images) for each in planned.splits] == [("val", 20)]
    assert not Path(out).exists()
    made = alexnet_pipeline.shard(str(raw_folders), out, methods="nearest", split="val", size=32, shard_range=(0, 1))
    assert not made[0].complete
    (merged,) = alexnet_pipeline.merge(out)
    assert merged.complete
    found = alexnet_pipeline.verify(out, deep=True)
    assert (found.images, found.problems) == (20, ())
    sheet = tmp_path / "sheet.png"
    samples = alexnet_pipeline.inspect(f"{out}/nearest/val", limit=3, contact_sheet=str(sheet))
    assert [sample.image.shape for sample in samples] == [(32, 32, 3)] * 3
    assert sheet.read_bytes().startswith(b"\x89PNG")
    tar = next(Path(out).rglob("*.tar"))
    assert [s.key for s in alexnet_pipeline.inspect(tar, limit=3)] == [s.key for s in samples]
    for result in (made, found, samples):
        assert result._repr_html_().startswith("<table>")
    for result in (made[0], found, samples[0], alexnet_pipeline.open_shards(f"{out}/nearest/val")):
        assert len(repr(result)) < 200
    assert {method.name for method in alexnet_pipeline.methods()} >= {"lanczos", "antialias"}


def test_it_works_in_a_thread_and_twice(raw_folders, tmp_path) -> None:
    """Neither signals nor process-wide state stand in the way; the second call finds all done."""
    results = []

    def work() -> None:
        for _ in range(2):
            results.append(alexnet_pipeline.shard(raw_folders, tmp_path, split="val", size=16, workers=1)[0].images)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [20, 20]


def test_progress_is_events_in_order(raw_folders, tmp_path) -> None:
    """Stages, then counts that reach the total; what an earlier run did is counted, too."""
    events: list = []
    alexnet_pipeline.shard(raw_folders, tmp_path, split="val", size=16, shard_size=5, shard_range=(0, 2))
    alexnet_pipeline.shard(raw_folders, tmp_path, split="val", size=16, shard_size=5, progress=events.append)
    assert events[0] == Stage("listing the source")
    assert Stage("shard", 20, 10) in events
    assert events[-1] == Advance(20, "0 rejected")


def test_without_a_terminal_nothing_is_shown_and_warnings_are_logged(capfd, caplog) -> None:
    """In a script whose output goes to a file."""
    with reporting(True) as report:
        report(Stage("shard", 3))
        report(Advance(1))
        report(Message("odd", warning=True))
    with reporting(False) as report:
        report(Message("odd, too", warning=True))
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage() for record in caplog.records] == ["odd", "odd, too"]


def test_the_rate_counts_from_the_first_finished_unit(monkeypatch) -> None:
    """What comes before is start-up: compiling for ten seconds does not make an ETA of hours."""
    clock = iter([100.0, 110.0, 120.0, 121.0])
    monkeypatch.setattr("alexnet_pipeline.progress.time.monotonic", lambda: next(clock))
    rate = Rate()
    rate.add(50, 50)
    assert rate.per_second() == 0
    rate.add(50, 50)
    rate.add(60, 50)
    assert rate.per_second() == 0
    rate.add(65, 50)
    assert rate.per_second() == 5


def test_urls_are_refused_before_anything_is_written(raw_folders, tmp_path, monkeypatch) -> None:
    """If they cannot be written to; `ftp://host/out` once became a folder named `ftp:`."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match="ftp:// is not supported"):
        alexnet_pipeline.shard(raw_folders, "ftp://host/out")
    with pytest.raises(RefusedError, match="can only be read"):
        alexnet_pipeline.estimate(raw_folders, "https://example.org/data")
    with pytest.raises(RefusedError, match="is in an object store; give `cache`"):
        alexnet_pipeline.train("s3://bucket/shards", run_dir="run")
    assert not list(tmp_path.iterdir())
