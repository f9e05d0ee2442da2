"""The public function: options, refusals, files, and several calls in one process."""

import inspect
import sys
import threading
from pathlib import Path

import cv2
import pytest

from alexnet_pipeline.comparison.compare import compare
from alexnet_pipeline.comparison.options import CompareOptions, NetworkTraining
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.progress import Advance
from alexnet_pipeline.records import SetOptions

SMALL = {"images": 4, "size": 32, "workers": 1, "progress": False}


def test_it_can_be_called_twice(raw_folders: Path, tmp_path: Path) -> None:
    """In one process, with a str as a path, for the same numbers; OpenCV stays as it was."""
    before = cv2.getNumThreads()
    first = compare(str(raw_folders), ["nearest", "area"], **SMALL, output=str(tmp_path / "a.html"))
    second = compare(raw_folders, ["nearest", "area"], **SMALL, figure=tmp_path / "a.svg")
    assert [image.sha256 for image in first.images] == [image.sha256 for image in second.images]
    assert first.verdict == second.verdict
    assert "</html>" in (tmp_path / "a.html").read_text()
    assert "</svg>" in (tmp_path / "a.svg").read_text()
    assert cv2.getNumThreads() == before
    assert repr(first) == f"Comparison(4 images of '{raw_folders}': nearest, area)"


def test_it_works_in_a_thread_with_progress_of_ones_own(raw_folders: Path) -> None:
    """As in a notebook's or a server's thread."""
    events: list = []
    results: list = []
    work = threading.Thread(
        target=lambda: results.append(compare(raw_folders, ["nearest", "area"], **SMALL | {"progress": events.append}))
    )
    work.start()
    work.join()
    assert len(results[0].images) == 4
    assert Advance(4) in events


def test_defaults_are_shards() -> None:
    """Size, geometry and quality are declared once, by `shard`."""
    choices, options = CompareOptions(), SetOptions()
    assert (choices.size_px, choices.geometry, choices.quality) == (256, "center-crop", 95)
    ours = {parameter.name: parameter for parameter in parameters_of(CompareOptions)}
    for parameter in parameters_of(type(options)):
        if parameter.name in {"size", "geometry", "quality"}:
            assert ours[parameter.name] == parameter


def test_every_option_is_documented() -> None:
    """Signature and docstring have each field of the records."""
    signature = inspect.signature(compare)
    for parameter in (*parameters_of(CompareOptions), *parameters_of(NetworkTraining)):
        assert parameter.name in signature.parameters
        assert f"\n        {parameter.name}: {parameter.option.help[:20]}" in compare.__doc__


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to compare"),
        ({"source": ".", "shards": ["a", "b"]}, "leave `source` and `train` out"),
        ({"shards": ["a", "b"], "train": True}, "leave `source` and `train` out"),
        ({"shards": ["a", "b"], "quality": 10}, "`quality` has no effect"),
        ({"shards": ["a", "b"], "methods": ["area", "nearest"]}, "`methods` has no effect"),
        ({"shards": ["a", "b"], "figure": "f.svg"}, "`figure` shows frequency responses"),
        ({"shards": "a"}, "at least two"),
        ({"source": ".", "steps": 3}, "`steps` has no effect here: it belongs to `train=True`"),
        ({"source": "/nowhere"}, "/nowhere"),
        ({"source": ".", "images": 1}, "`images`: 1 is out of range"),
        ({"source": ".", "scales": [1.0]}, "`scales`: 1.0 is out of range"),
        ({"source": ".", "scales": [17]}, "`scales`: 17.0 is out of range"),
        ({"source": ".", "size": 100_000}, "`size`: 100,000 is out of range"),
        ({"source": ".", "quality": 101}, "`quality`: 101 is out of range"),
        ({"source": ".", "workers": 0}, "`workers`: 0 is out of range"),
        ({"source": ".", "geometry": "crop"}, "`geometry`: 'crop' is not one of"),
        ({"source": ".", "seeds": 0, "train": True}, "`seeds`: 0 is out of range"),
        ({"source": ".", "output": "."}, "is a folder"),
        ({"source": ".", "output": "nowhere/r.html"}, "nowhere is no folder"),
        ({"source": ".", "figure": "nowhere/f.svg"}, "nowhere is no folder"),
        ({"source": ".", "figure": "f.eps"}, "`figure` f.eps: found .eps, expected one of .svg, .pdf, .png"),
        ({"source": ".", "figure": "f"}, "`figure` f: found no suffix, expected one of .svg, .pdf, .png"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, words) -> None:
    """In one sentence that names the parameter, and before anything is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match=words):
        compare(**options, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_one_method_as_text_is_one_method(raw_folders: Path) -> None:
    """A str where several are meant is not read letter by letter."""
    with pytest.raises(RefusedError, match="`methods`: lanczos; a comparison needs at least two"):
        compare(raw_folders, "lanczos", progress=False)


def test_an_unknown_option_is_a_type_error() -> None:
    """As for any function."""
    with pytest.raises(TypeError, match="'qualitee'"):
        compare(".", qualitee=3)


def test_networks_need_splits_and_a_folder(raw_folders: Path, tmp_path: Path) -> None:
    """Refused before anything is measured."""
    (tmp_path / "only").symlink_to(raw_folders / "train")
    with pytest.raises(RefusedError, match="`train=True` needs the splits train and val"):
        compare(tmp_path / "only", train=True, work_dir=tmp_path / "work", progress=False)
    with pytest.raises(RefusedError, match="`train=True` needs `work_dir`"):
        compare(raw_folders, train=True, progress=False)


def test_networks_without_torch_are_refused_in_a_line(
    raw_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("alexnet_pipeline.alexnet.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "alexnet_pipeline.comparison.networks", raising=False)
    monkeypatch.delattr("alexnet_pipeline.comparison.networks", raising=False)
    with pytest.raises(RefusedError, match=r"torch; pip install 'alexnet-pipeline\[train\]'"):
        compare(raw_folders, train=True, work_dir=tmp_path / "work", progress=False)


def test_a_report_that_cannot_be_written_is_an_error(raw_folders: Path) -> None:
    """One line with the path."""
    with pytest.raises(PipelineError, match=r"cannot write /proc/.*r\.html"):
        compare(raw_folders, ["nearest", "area"], **SMALL, output="/proc/r.html")
