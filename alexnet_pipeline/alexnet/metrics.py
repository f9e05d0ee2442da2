"""The log of a run, `metrics.jsonl`: a line per few steps and per validation, written, and read for the report."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import BinaryIO, Literal, Self, TypeVar

import torch
from torch import Tensor

from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.trackers import Tracker
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.files import naming, read_whole
from alexnet_pipeline.records import from_json, to_json

METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class StepLine:
    """Training between two lines of the log.

    Attributes:
        step: steps taken at its end.
        images: images seen at its end.
        epoch: passes over the training set at its end.
        loss: mean over augmented training images.
        top1_error: share of them, from 0 to 1.
        learning_rate: of the last step.
        images_per_s: over all processes.
        data_wait: share of the time that steps waited for images.
    """

    step: int
    images: int
    epoch: float
    loss: float
    top1_error: float
    learning_rate: float
    images_per_s: float
    data_wait: float
    kind: Literal["step"] = "step"


@dataclass(frozen=True, slots=True)
class ValidationLine:
    """A validation during training; see `StepLine`."""

    step: int
    images: int
    epoch: float
    errors: ErrorRates
    kind: Literal["validation"] = "validation"


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """A run was resumed with another rate or length.

    Attributes:
        step: steps taken before.
        changes: each like `learning_rate: 0.01, now 0.001`.
    """

    step: int
    changes: tuple[str, ...]
    kind: Literal["change"] = "change"


Line = StepLine | ValidationLine | ChangeLine
_Line = TypeVar("_Line", StepLine, ValidationLine, ChangeLine)


@dataclass(frozen=True, slots=True)
class Log:
    """What `metrics.jsonl` holds, each by ascending step."""

    steps: tuple[StepLine, ...]
    validations: tuple[ValidationLine, ...]
    changes: tuple[ChangeLine, ...] = ()


@dataclass(frozen=True, slots=True)
class StepSums:
    """Sums over the steps since the last line of the log.

    Attributes:
        totals: (3,) float64 on the device: loss, wrong images, images.
        started_s: when the first step began, by `time.perf_counter`.
        told_s: when progress was last reported, by the same clock.
        waited_s: time that steps waited for images.
        steps: number of steps.
    """

    totals: Tensor
    started_s: float
    told_s: float
    waited_s: float = 0.0
    steps: int = 0

    @classmethod
    def begin(cls, device: torch.device) -> StepSums:
        """Sums over nothing, from now on."""
        now_s = time.perf_counter()
        return cls(torch.zeros(3, dtype=torch.float64, device=device), now_s, now_s)

    def add(self, loss_sum: Tensor, scores: Tensor, labels: Tensor, waited_s: float) -> StepSums:
        """Count a step; an image with a label below 0 does not count."""
        counted = labels >= 0
        wrong = (scores.argmax(1) != labels).logical_and_(counted).sum()
        step = torch.stack([loss_sum.double(), wrong.double(), counted.sum().double()])
        return replace(self, totals=self.totals + step, waited_s=self.waited_s + waited_s, steps=self.steps + 1)

    def means(self, process: Process) -> tuple[float, float, float]:
        """Mean loss and top-1 error, and the number of images; waits for the device."""
        loss, wrong, images = process.sum_over_replicas(self.totals.clone()).tolist()
        return loss / max(1.0, images), wrong / max(1.0, images), images

    def here(self, process: Process) -> tuple[float, float, float]:
        """Mean loss of this process's network, images/s over all, and data wait, so far; waits for this device only."""
        loss, _, images = self.totals.tolist()
        return loss / max(1.0, images), *self._pace(images * process.replica_count)

    def line(self, process: Process, *, step: int, images: int, epoch: float, learning_rate: float) -> StepLine:
        """The line of the log for these steps; waits for the device."""
        loss, top1_error, counted = self.means(process)
        images_per_s, data_wait = self._pace(counted)
        return StepLine(
            step=step,
            images=images,
            epoch=epoch,
            loss=loss,
            top1_error=top1_error,
            learning_rate=learning_rate,
            images_per_s=images_per_s,
            data_wait=data_wait,
        )

    def _pace(self, images: float) -> tuple[float, float]:
        spent_s = max(1e-9, time.perf_counter() - self.started_s)
        return images / spent_s, self.waited_s / spent_s


class MetricsWriter:
    """Appends lines to `metrics.jsonl`, opened by the first of them, and gives their numbers to trackers."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._handle: BinaryIO | None = None
        self._trackers: list[Tracker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *details: object) -> None:
        self.close(failed=kind is not None)

    def track(self, trackers: list[Tracker]) -> None:
        """Give the numbers of the lines from now on to trackers, too."""
        self._trackers = trackers

    def append(self, line: Line) -> None:
        """Add a line."""
        with naming(self._run / METRICS):
            handle = self._handle or self._open()
            handle.write(to_json(line))
            handle.flush()
        if isinstance(line, ChangeLine):
            return
        group, record = ("train", line) if isinstance(line, StepLine) else ("val", line.errors)
        values = {f"{group}/{field.name}": getattr(record, field.name) for field in fields(record)}
        for tracker in self._trackers:
            tracker.log({name: value for name, value in values.items() if isinstance(value, float)}, line.step)

    def close(self, *, failed: bool = False) -> None:
        """Close the file and the trackers; `failed`: the run ended by an error."""
        if self._handle:
            self._handle.close()
        for tracker in self._trackers:
            tracker.close(failed=failed)

    def _open(self) -> BinaryIO:
        self._handle = (self._run / METRICS).open("ab")
        if self._handle.tell():  # a crash may have cut the last line; an empty one costs nothing
            self._handle.write(b"\n")
        return self._handle


def read_metrics(run: Path) -> Log:
    """Read a run's log; blank, cut and foreign lines are left out.

    Raises:
        PipelineError: the file cannot be read.
    """
    try:
        texts = read_whole(run / METRICS).splitlines()
    except FileNotFoundError:
        texts = []
    except OSError as error:
        raise PipelineError(f"cannot read {run / METRICS}: {error.strerror}") from error
    return Log(_lines_of(texts, StepLine), _lines_of(texts, ValidationLine), _lines_of(texts, ChangeLine))


def _lines_of(texts: list[bytes], kind: type[_Line]) -> tuple[_Line, ...]:
    """The lines of a kind.

    A resumed run begins at a checkpoint and repeats what came after it: a line supersedes those of its step and later.
    """
    lines: list[_Line] = []
    for text in texts:
        try:
            line = from_json(text, kind)
        except ValueError:
            continue
        while lines and lines[-1].step >= line.step:
            lines.pop()
        lines.append(line)
    return tuple(lines)
