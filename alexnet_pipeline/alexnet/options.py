"""How a training run is run, what it tells on the way, and what it reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from alexnet_pipeline.alexnet.evaluate import Errors
from alexnet_pipeline.alexnet.processes import Towers

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How to run; none of it but `steps`, `seed` and `precision` changes what is learnt.

    Attributes:
        towers: arrangement, see `take_place`.
        device: `auto`, `cpu` or `cuda`.
        precision: of the arithmetic; weights are float32. `auto` is bf16 on a GPU, fp32 on a CPU.
        channels_last: memory layout; faster where convolutions run on tensor cores or AMX.
        compile: through `torch.compile`.
        steps: end after so many, None for the recipe's epochs.
        seed: of weights, dropout, order and views.
        resume: go on from the newest checkpoint where there is one.
        checkpoint_every_steps: beside the one at each epoch's end; None for none.
        keep_checkpoints: so many newest stay.
        log_every_steps: a line of metrics.
        tensorboard: also write event files to RUN/tensorboard.
        threads: that decode, None for as many as there are cores.
        timeout_s: a process silent for so long ends a distributed run.
        command: that a person would repeat.
    """

    towers: Towers = "auto"
    device: str = "auto"
    precision: Precision = "auto"
    channels_last: bool = True
    compile: bool = False
    steps: int | None = None
    seed: int = 0
    resume: bool = False
    checkpoint_every_steps: int | None = None
    keep_checkpoints: int = 3
    log_every_steps: int = 20
    tensorboard: bool = False
    threads: int | None = None
    timeout_s: float = 600.0
    command: str = ""


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a run reached.

    Attributes:
        run: folder.
        steps: taken, those of earlier starts included.
        images: seen, likewise.
        loss: mean over the last logged steps.
        errors: on the validation set at the end; None without one.
        checkpoint: the last one's folder.
    """

    run: str
    steps: int
    images: int
    loss: float | None
    errors: Errors | None
    checkpoint: str


class Watcher(Protocol):
    """Who is told how training goes."""

    def begin(self, steps: int, done: int, where: str) -> None:
        """So many steps in all, so many of them done before."""

    def step(self, line: dict[str, Any]) -> None:
        """A line of metrics of some steps."""

    def evaluated(self, line: dict[str, Any]) -> None:
        """A line of metrics of a validation."""

    def warn(self, line: str) -> None:
        """Something a person should know."""
