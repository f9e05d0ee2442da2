"""`run.json` is read as it was written, or refused in one line."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from alexnet_pipeline.alexnet.run_folder import read_mean, read_run, utf8, write_run
from alexnet_pipeline.errors import PipelineError, RefusedError
from tests.alexnet.made import RECORD


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Record and mean, with a validation set and without."""
    for record in (RECORD, dataclasses.replace(RECORD, val=RECORD.train)):
        write_run(tmp_path, record, np.array([1.5, 2.5, 3.5], np.float32))
        assert read_run(tmp_path) == record
        assert read_mean(tmp_path).tolist() == [1.5, 2.5, 3.5]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """One line says what is missing."""
    with pytest.raises(RefusedError, match=r"run\.json is missing"):
        read_run(tmp_path)
    with pytest.raises(PipelineError, match=r"mean\.npy"):
        read_mean(tmp_path)


@pytest.mark.parametrize(
    "change", [{"seed": "0"}, {"recipe": None}, {"recipe": {"width": "wide"}}, {"train": []}, {"parameters": 1.5}]
)
def test_wrong_types_are_one_line(tmp_path: Path, change: dict) -> None:
    """With the place, and no traceback."""
    write_run(tmp_path, RECORD, np.zeros(3, np.float32))
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(PipelineError, match=r"cannot read .*run\.json: .*\$\."):
        read_run(tmp_path)


def test_undecodable_paths_are_kept_as_escapes(tmp_path: Path) -> None:
    """JSON holds no lone surrogates."""
    text = utf8(b"/data/\xff".decode("utf-8", "surrogateescape"))
    assert text == "/data/\\udcff"
    write_run(tmp_path, dataclasses.replace(RECORD, command=text), np.zeros(3, np.float32))
    assert read_run(tmp_path).command == text
