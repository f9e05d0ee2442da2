"""What a run tells in, its folder's files out: `run.json`, `metrics.jsonl`, and a lock."""

from __future__ import annotations

import fcntl
import importlib.util
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.files import naming, write_whole

CHECKPOINTS, METRICS, RUN, MEAN, LOCK = "checkpoints", "metrics.jsonl", "run.json", "mean.npy", ".lock"
EVENTS = "tensorboard"


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Be the only writer of a run's folder.

    Raises:
        RefusedError: another process is.
    """
    with naming(run):
        run.mkdir(parents=True, exist_ok=True)
        handle = (run / LOCK).open("ab")
    with handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RefusedError(f"another run is writing {run}; wait for it, or choose another --run-dir") from error
        yield


def write_run(run: Path, record: dict[str, Any], mean: NDArray[np.float32]) -> None:
    """Say what is run here, and what is subtracted from every picture."""
    buffer = io.BytesIO()
    np.save(buffer, mean, allow_pickle=False)
    write_whole(run / MEAN, buffer.getvalue())
    write_whole(run / RUN, (json.dumps(record, indent=1) + "\n").encode("ascii"))


def read_mean(run: Path) -> NDArray[np.float32]:
    """What training subtracted: (3,), or (crop, crop, 3).

    Raises:
        PipelineError: it cannot be read.
    """
    try:
        return np.asarray(np.load(run / MEAN, allow_pickle=False), np.float32)
    except (OSError, ValueError) as error:
        raise PipelineError(f"cannot read {run / MEAN}: {error}; `train --resume auto` writes it again") from error


def shards_record(shards: ShardSet) -> dict[str, Any]:
    """What `run.json` says of a data set."""
    manifest = shards.manifest
    return {
        "folder": str(shards.folder),
        "method": manifest.options.method,
        "fingerprint": manifest.fingerprint,
        "total_images": manifest.total_images,
    }


class Metrics:
    """Appends lines to `metrics.jsonl`, and to TensorBoard's event files where asked to.

    Raises:
        RefusedError: TensorBoard is not installed.
    """

    def __init__(self, run: Path, *, tensorboard: bool = False) -> None:
        self._events = _event_writer(run) if tensorboard else None
        self._path = run / METRICS
        with naming(self._path):
            self._handle = self._path.open("ab")
            if self._handle.tell():  # a crash may have cut the last line; an empty one costs nothing
                self._handle.write(b"\n")

    def append(self, line: dict[str, Any]) -> None:
        """Add a line."""
        with naming(self._path):
            self._handle.write(json.dumps(line).encode("ascii") + b"\n")
            self._handle.flush()
        if self._events:
            group = {"step": "train", "evaluation": "val"}[line["kind"]]
            for name, value in line.items():
                if isinstance(value, float):
                    self._events.add_scalar(f"{group}/{name}", value, line["step"])

    def close(self) -> None:
        """Give back the files."""
        self._handle.close()
        if self._events:
            self._events.close()


def check_tensorboard() -> None:
    """Make sure that events can be written.

    Raises:
        RefusedError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise RefusedError(
            "--tensorboard needs TensorBoard: pip install 'alexnet-pipeline[tensorboard]' (it brings Pillow, which "
            "cannot stand beside Pillow-SIMD)"
        )


def _event_writer(run: Path) -> Any:
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

    return SummaryWriter(str(run / EVENTS))
