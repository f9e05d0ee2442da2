"""A training state in, a folder that is whole or absent out, and back.

`RUN/checkpoints/step-000001234/` holds `weights.safetensors` and `momentum.safetensors`, both of both towers, so that
any arrangement of towers opens them; `random.safetensors`, every process's generators; and `state.json`, which
names the others' sha256 and is proved by its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.files import PART, naming, sync_folder

WEIGHTS, MOMENTUM, RANDOM, STATE = "weights.safetensors", "momentum.safetensors", "random.safetensors", "state.json"
_NAME = re.compile(r"step-(\d{9})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training state at rest.

    Attributes:
        step: steps taken.
        weights: parameters and statistics of both towers.
        momentum: the optimiser's buffers, by parameter; empty before the first step.
        random: generator states, by process and device.
        state: all else, as JSON: options, schedule, position in the data.
    """

    step: int
    weights: dict[str, Tensor]
    momentum: dict[str, Tensor]
    random: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint below a folder, then remove all but it and the `keep` - 1 before it.

    Raises:
        PipelineError: it cannot be written; the older ones stay.
    """
    final = folder / f"step-{checkpoint.step:09d}"
    part = folder / (PART + final.name)
    tensors = {WEIGHTS: checkpoint.weights, MOMENTUM: checkpoint.momentum, RANDOM: checkpoint.random}
    with naming(final):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_parts(folder)
        part.mkdir()
        try:
            digests = {}
            for name, values in tensors.items():
                data = save({key: value.contiguous() for key, value in values.items()})
                digests[name] = hashlib.sha256(data).hexdigest()
                _write(part / name, data)
            _write(part / STATE, _sealed({**checkpoint.state, "step": checkpoint.step, "sha256": digests}))
            sync_folder(part)
            if final.exists():  # of the same step: out of the way until the new one has its name
                final.replace(folder / (PART + "old-" + final.name))
            part.replace(final)
            _remove_parts(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    sync_folder(folder)
    # What lies beyond this step could not be resumed, or this step would not have been taken.
    beyond = [path for path in _newest_first(folder) if path.name > final.name]
    older = [path for path in _newest_first(folder) if path.name <= final.name]
    for old in (*beyond, *older[keep:]):
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_newest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that is whole; those that are not are left out with a warning."""
    for path in _newest_first(folder):
        try:
            return load_checkpoint(path)
        except PipelineError as error:
            warn(f"{error}; looking for one before it")
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's folder and prove it.

    Raises:
        PipelineError: something is missing or damaged.
    """
    try:
        state = _unsealed((path / STATE).read_bytes())
        for name, digest in state["sha256"].items():
            if hashlib.sha256((path / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} has changed")
        weights, momentum, random = (load_file(path / name) for name in (WEIGHTS, MOMENTUM, RANDOM))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise PipelineError(f"checkpoint {path} is damaged: {error}") from error
    return Checkpoint(state["step"], weights, momentum, random, state)


def newest_path(folder: Path) -> Path | None:
    """Where the newest checkpoint is, unproved."""
    return next(_newest_first(folder), None)


def _newest_first(folder: Path) -> Iterator[Path]:
    named = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return iter(sorted(named, reverse=True))


def _remove_parts(folder: Path) -> None:
    for path in folder.glob(PART + "*"):
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _sealed(state: dict[str, Any]) -> bytes:
    blank = _text({**state, "digest": ""})
    return _text({**state, "digest": hashlib.sha256(blank).hexdigest()})


def _unsealed(text: bytes) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(text)
    if _sealed({key: value for key, value in state.items() if key != "digest"}) != text:
        raise ValueError(f"{STATE} does not match its digest")
    return state


def _text(state: dict[str, Any]) -> bytes:
    return (json.dumps(state, sort_keys=True, indent=1) + "\n").encode("ascii")
