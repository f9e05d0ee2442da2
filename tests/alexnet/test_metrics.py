"""The log of a run says what happened, and is read again whatever a crash left of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from alexnet_pipeline.alexnet import metrics
from alexnet_pipeline.alexnet.error_rates import error_rates
from alexnet_pipeline.alexnet.exchange import Whole
from alexnet_pipeline.alexnet.metrics import MetricsWriter, StepLine, StepSums, ValidationLine, read_metrics
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.errors import PipelineError

ALONE = Process("one", 0, 1, Whole(torch.device("cpu")), None)
ERRORS = error_rates("centre crop", 20, 40.0, 7, 1)


def step_line(step: int, loss: float = 2.0) -> StepLine:
    return StepLine(step, 12 * step, step / 5, loss, 0.5, 0.01, 300.0, 0.25)


def validation(step: int, **change) -> ValidationLine:
    return ValidationLine(step, 12 * step, step / 5, change.get("errors", ERRORS))


def write(run: Path, *lines) -> None:
    writer = MetricsWriter(run)
    for line in lines:
        writer.append(line)
    writer.close()


def test_sums_are_means_over_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of loss and errors, without images that do not count; time waited and pace by the clock."""
    now = [100.0]
    monkeypatch.setattr(metrics, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    sums = StepSums.begin(ALONE.device)
    scores = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
    sums = sums.add(torch.tensor(3.0), scores, torch.tensor([0, 1, -1]), 0.5)
    sums = sums.add(torch.tensor(6.0), scores, torch.tensor([1, 1, 1]), 1.5)
    now[0] = 108.0
    line = sums.line(ALONE, step=2, images=5, epoch=0.5, learning_rate=0.1)
    assert line == StepLine(2, 5, 0.5, 9 / 5, 3 / 5, 0.1, images_per_s=5 / 8, data_wait=2 / 8)
    assert sums.means(ALONE) == (9 / 5, 3 / 5, 5)
    assert sums.steps == 2


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Both kinds of lines."""
    lines = [step_line(2), step_line(4), validation(5), step_line(5)]
    write(tmp_path, *lines)
    log = read_metrics(tmp_path)
    assert (list(log.steps), list(log.validations)) == ([lines[0], lines[1], lines[3]], [lines[2]])


def test_a_writer_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    """A refused resume changes no file."""
    write(tmp_path)
    assert not list(tmp_path.iterdir())
    assert read_metrics(tmp_path).steps == ()


@pytest.mark.parametrize(
    "cut", [b'{"kind": "step", "lo', b"[1]", b'{"kind": "step"}', b'{"kind": "epoch", "step": 3}', b"\xff\xfe", b""]
)
def test_cut_and_foreign_lines_are_left_out(tmp_path: Path, cut: bytes) -> None:
    """A crash in the middle of a line costs that line."""
    write(tmp_path, step_line(2))
    with (tmp_path / "metrics.jsonl").open("ab") as handle:
        handle.write(cut)
    write(tmp_path, step_line(4))
    assert [line.step for line in read_metrics(tmp_path).steps] == [2, 4]


def test_wrong_types_are_left_out(tmp_path: Path) -> None:
    """A step that is text is no step."""
    write(tmp_path, step_line(2))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes().replace(b'"step":2', b'"step":"3"'))
    assert [line.step for line in read_metrics(tmp_path).steps] == [2]


def test_a_resumed_run_supersedes_what_it_repeats(tmp_path: Path) -> None:
    """The last line of a step wins, and those after it are the resumed run's."""
    write(tmp_path, step_line(2), step_line(4), validation(5), step_line(6))
    write(tmp_path, step_line(4, loss=0.5), validation(5, errors=error_rates("centre crop", 20, 1.0, 2, 0)))
    log = read_metrics(tmp_path)
    assert [(line.step, line.loss) for line in log.steps] == [(2, 2.0), (4, 0.5)]
    assert [line.errors.top1_error for line in log.validations] == [0.1]


def test_a_log_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """With its path."""
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(PipelineError, match=r"cannot read .*metrics\.jsonl"):
        read_metrics(tmp_path)
