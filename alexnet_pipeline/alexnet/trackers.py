"""Where a run's numbers go beside `metrics.jsonl`: TensorBoard's event files, and Weights & Biases."""

from __future__ import annotations

import dataclasses
import importlib.util
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from alexnet_pipeline.alexnet.options import TrainOptions
from alexnet_pipeline.alexnet.run_folder import RunRecord
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import read_whole, write_whole
from alexnet_pipeline.records import from_json, to_json

EVENTS, WANDB = "tensorboard", "wandb.json"
# What installs the package of each option, and what else it brings.
NEEDS = {
    "tensorboard": "pip install 'alexnet-pipeline[tensorboard]' (it brings Pillow, which cannot be installed beside "
    "Pillow-SIMD)",
    "wandb": "pip install 'alexnet-pipeline[wandb]'",
}


class Tracker(Protocol):
    """A program that shows numbers by step."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take the numbers of a step, by names like `train/loss`."""

    def close(self, *, failed: bool) -> None:
        """Write what is left; `failed`: the run ended by an error."""


@dataclass(frozen=True, slots=True)
class WandbRun:
    """What `wandb.json` says: the run of Weights & Biases that a resumed run continues.

    Attributes:
        project: of Weights & Biases.
        id: of the run there.
    """

    project: str
    id: str


def check_trackers(options: TrainOptions) -> None:
    """Make sure that what is asked for is installed.

    Raises:
        RefusedError: it is not.
    """
    for name, how in NEEDS.items():
        if getattr(options, name) and not _is_installed(name):
            raise RefusedError(f"`{name}` needs the package {name}: {how}")


def start_trackers(run: Path, options: TrainOptions, record: RunRecord) -> tuple[list[Tracker], list[str]]:
    """Start what is asked for, and say where it can be seen.

    Raises:
        RefusedError: Weights & Biases does not start.
    """
    trackers: list[Tracker] = [TensorBoard(run)] if options.tensorboard else []
    if not options.wandb:
        return trackers, []
    wandb = WeightsAndBiases(run, options.wandb, record)
    return [*trackers, wandb], [wandb.where]


class TensorBoard:
    """Event files in RUN/tensorboard."""

    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

        self._events: Any = SummaryWriter(str(run / EVENTS))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take the numbers of a step."""
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self, *, failed: bool) -> None:
        """Close the file."""
        self._events.close()


class WeightsAndBiases:
    """A run of Weights & Biases; its own variables, like WANDB_MODE=offline, say how it works.

    A resumed run repeats the steps after its checkpoint: Weights & Biases keeps the numbers that it got first.

    Attributes:
        where: where it can be seen.
    """

    def __init__(self, run: Path, project: str, record: RunRecord) -> None:
        import wandb  # noqa: PLC0415 - an extra

        known = _read_wandb(run / WANDB)
        mine = known if known and known.project == project else WandbRun(project, secrets.token_hex(4))
        try:
            self._run = wandb.init(
                project=project,
                id=mine.id,
                name=run.resolve().name,
                dir=str(run),
                resume="allow",
                config=dataclasses.asdict(dataclasses.replace(record, class_words=())),
                settings=wandb.Settings(console="off", silent=True),  # stdout and stderr stay as they are
            )
        except wandb.errors.Error as error:
            reason = str(error).partition("\n")[0]
            raise RefusedError(f"`wandb`: {reason}; WANDB_MODE=offline writes files only") from error
        if mine != known:
            write_whole(run / WANDB, to_json(mine, indent=1))
        folder = Path(self._run.dir).parent
        self.where = f"wandb: {f'{folder}; `wandb sync` uploads it' if self._run.offline else self._run.url}"

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take the numbers of a step."""
        self._run.log(dict(values), step=step)

    def close(self, *, failed: bool) -> None:
        """Finish it."""
        self._run.finish(exit_code=int(failed))


def _is_installed(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of that name, as both programs make one, has none


def _read_wandb(path: Path) -> WandbRun | None:
    try:
        return from_json(read_whole(path), WandbRun)
    except (OSError, ValueError):  # absent, or damaged: a new one
        return None
