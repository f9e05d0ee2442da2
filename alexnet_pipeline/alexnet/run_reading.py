"""A run's folder in, what its files say out: the log of training, evaluations, the run's own record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from alexnet_pipeline.alexnet.evaluate import ClassErrors, Confusion, Errors
from alexnet_pipeline.alexnet.run_folder import RUN
from alexnet_pipeline.errors import PipelineError, RefusedError

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Window:
    """Training between two lines of the log.

    Attributes:
        step: steps taken at its end.
        epoch: passes over the training set at its end.
        loss: mean.
        top1_error: share of augmented training images, from 0 to 1.
        learning_rate: at its end.
        images_per_s: of all processes.
        input_wait: share of the time in which the step waited for pictures.
    """

    step: int
    epoch: float
    loss: float
    top1_error: float
    learning_rate: float
    images_per_s: float
    input_wait: float


@dataclass(frozen=True, slots=True)
class Rates(Errors):
    """Error rates at a step."""

    step: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """An evaluation that was kept with the run.

    Attributes:
        rates: over all images, at the newest model's step.
        shards: folder.
        models: run folders.
        classes: per class.
        confusions: most frequent first.
    """

    rates: Rates
    shards: str
    models: tuple[str, ...]
    classes: tuple[ClassErrors, ...]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """What `metrics.jsonl` holds, both by ascending step; an evaluation has its epoch beside it."""

    windows: tuple[Window, ...]
    rates: tuple[Rates, ...]
    epochs: tuple[float, ...]


class _AtStep(Protocol):
    @property
    def step(self) -> int: ...


_Line = TypeVar("_Line", bound=_AtStep)


def read_training(path: Path) -> Training:
    """Read a run's log; blank, cut and foreign lines are left out.

    A resumed run begins at a checkpoint and repeats what came after it: a line supersedes those of its step and later.
    """
    windows: list[Window] = []
    rates: list[Rates] = []
    epochs: dict[int, float] = {}
    for line in _json_lines(path):
        try:
            if line["kind"] == "step":
                _supersede(windows, _window(line))
            elif line["kind"] == "evaluation" and line["split"] == "val":
                _supersede(rates, _rates(line, int(line["step"])))
                epochs[int(line["step"])] = float(line["epoch"])
        except (KeyError, TypeError, ValueError):
            continue
    return Training(tuple(windows), tuple(rates), tuple(epochs[one.step] for one in rates))


def read_run(run: Path) -> dict[str, Any]:
    """What a run says of itself.

    Raises:
        RefusedError: the folder holds no run.
        PipelineError: its record cannot be read.
    """
    path = run / RUN
    if not path.is_file():
        raise RefusedError(f"{run} holds no run: {RUN} is missing; name a folder that `train --run-dir` wrote")
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PipelineError(f"cannot read {path}: {error}; `train --resume auto` writes it again") from error
    if not isinstance(record, dict):
        raise PipelineError(f"{path} holds no record; `train --resume auto` writes it again")
    return record


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from error
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _supersede(lines: list[_Line], line: _Line) -> None:
    while lines and lines[-1].step >= line.step:
        lines.pop()
    lines.append(line)


def _window(line: dict[str, Any]) -> Window:
    return Window(
        step=int(line["step"]),
        epoch=float(line["epoch"]),
        loss=float(line["loss"]),
        top1_error=float(line["top1_error"]),
        learning_rate=float(line["learning_rate"]),
        images_per_s=float(line["images_per_s"]),
        input_wait=float(line["input_wait"]),
    )


def _rates(line: dict[str, Any], step: int) -> Rates:
    return Rates(
        step=step,
        protocol=str(line["protocol"]),
        total_images=int(line["total_images"]),
        loss=float(line["loss"]),
        top1_error=float(line["top1_error"]),
        top5_error=float(line["top5_error"]),
        top1_interval=_interval(line["top1_interval"]),
        top5_interval=_interval(line["top5_interval"]),
    )


def _interval(pair: Sequence[Any]) -> tuple[float, float]:
    low, high = pair
    return (float(low), float(high))


def read_recorded(folder: Path, warn: Warn) -> tuple[Recorded, ...]:
    """Every evaluation that is kept with a run; what is none is told of and left out."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(_recorded(json.loads(path.read_bytes())))
        except (OSError, KeyError, TypeError, ValueError) as error:
            warn(f"{path} is no evaluation ({type(error).__name__}: {error}); left out, run `evaluate` again")
    return tuple(found)


def _recorded(record: dict[str, Any]) -> Recorded:
    return Recorded(
        rates=_rates(record, max(map(int, record["steps"]))),
        shards=str(record["shards"]),
        models=tuple(map(str, record["models"])),
        classes=tuple(
            ClassErrors(str(row["class"]), int(row["images"]), float(row["top1_error"]), float(row["top5_error"]))
            for row in record["per_class"]
        ),
        confusions=tuple(
            Confusion(str(row["truth"]), str(row["predicted"]), int(row["count"]), tuple(map(int, row["examples"])))
            for row in record["confusions"]
        ),
    )
