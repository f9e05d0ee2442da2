"""Checkpoints: folders that are whole or absent, whatever happens.

`RUN/checkpoints/step-000001234/` holds `weights.safetensors` and `momentum.safetensors`, both of both towers, so that
any arrangement of towers can load them; `random.safetensors`, every process's random generators; and `state.json`,
which names the others' sha256 and proves itself by its own. It holds the errors of these very weights, too, where they
were validated: the best checkpoint is told by the checkpoints themselves, and no other file can contradict them.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.identity import Identity
from alexnet_pipeline.alexnet.precision import FIRST_SCALE, LossScale
from alexnet_pipeline.alexnet.schedule import PlateauState
from alexnet_pipeline.batches.loader import LoaderState
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.files import PART, naming, read_whole, retry_passing, sync_folder, write_whole
from alexnet_pipeline.progress import Report, warn_to
from alexnet_pipeline.records import from_json, to_json

# The files of tensors, NAME.safetensors, and the one that proves them.
TENSORS, STATE = ("weights", "momentum", "random"), "state.json"
# Digits of a step in the name of its folder, and what stands before the name while another one takes its place.
STEP_DIGITS, OLD = 9, PART + "old-"
# Largest file of tensors that is read; the paper's network has 244 MB of weights.
MAX_TENSORS_BYTES = 8 << 30
# Change this with the meaning of a checkpoint's files.
FORMAT_VERSION = 1
_DIGEST = re.compile(rb'"digest": "[0-9a-f]{64}"')
_NO_DIGEST = b'"digest": ""'


@dataclass(frozen=True, slots=True)
class Validation:
    """What the weights of a checkpoint were measured to be worth.

    Attributes:
        errors: over the validation set.
        shards: digest of its manifest; errors on different sets are not compared.
    """

    errors: ErrorRates
    shards: str


@dataclass(frozen=True, slots=True)
class SavedState:
    """What a checkpoint's `state.json` says of the run.

    Attributes:
        step: steps taken.
        images: images seen.
        learning_rate: of the last step.
        plateau: state of the plateau schedule.
        loader: position in the data, the same in every process.
        size_px: side of the training images.
        identity: what a resumed run must have in common.
        validation: of these weights; None where they were not validated, or by a version that did not say.
        loss_scale: of fp16.
    """

    step: int
    images: int
    learning_rate: float
    plateau: PlateauState
    loader: LoaderState
    size_px: int
    identity: Identity
    validation: Validation | None = None
    loss_scale: LossScale = FIRST_SCALE


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training state at rest.

    Attributes:
        weights: parameters and statistics of both towers.
        momentum: the optimizer's buffers, by parameter; empty before the first step.
        random: states of random generators, by process and device.
        state: all else.
        digest: of its files; empty before it is written.
    """

    weights: dict[str, Tensor]
    momentum: dict[str, Tensor]
    random: dict[str, Tensor]
    state: SavedState
    digest: str = ""


@dataclass(frozen=True, slots=True)
class _StateFile:
    """`state.json`: the state, sha256 of the other files, and of this file with an empty digest."""

    format_version: int
    state: SavedState
    weights: str
    momentum: str
    random: str
    digest: str = ""


class DamagedCheckpointError(PipelineError):
    """A checkpoint lacks something, or its content is not what it says."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint below a folder, then remove all but it, the `keep` - 1 before it, and the best one.

    A kill at any moment leaves the newest of those before it, or it, and the best of them.

    Raises:
        PipelineError: it cannot be written; the older ones stay.
    """
    final = folder / f"step-{checkpoint.state.step:0{STEP_DIGITS}d}"
    part = folder / (PART + final.name)
    with naming(final):
        folder.mkdir(parents=True, exist_ok=True)
        _put_back(folder)
        _remove_parts(folder)
        part.mkdir()
        try:
            _write_files(part, checkpoint)
            if final.exists():  # of the same step: out of the way until the new one has its name
                final.replace(folder / (OLD + final.name))
            part.replace(final)
        finally:
            _put_back(folder)
            _remove_parts(folder)
        sync_folder(folder)
        _prune(folder, final, keep)
    return final


def load_newest(folder: Path, report: Report) -> Checkpoint | None:
    """The newest whole checkpoint, None where there is none; damaged ones are passed over with a warning.

    Raises:
        RefusedError: the newest one is of another version of this package.
        PipelineError: it cannot be read, which says nothing of its content; an older one would supersede it.
    """
    for path in _newest_first(folder):
        try:
            return load_checkpoint(path)
        except DamagedCheckpointError as error:
            warn_to(report)(f"{error}; trying the one before it")
    return None


def load_chosen(folder: Path, which: str, report: Report) -> Checkpoint | None:
    """The checkpoint that is asked for, None where there is none at all.

    Args:
        folder: of the checkpoints.
        which: `newest`, which passes over damaged ones with a warning; `best`, by top-1 error; or a step.
        report: gets warnings.

    Raises:
        RefusedError: there is no such checkpoint, or it is of another version of this package.
        PipelineError: it is damaged, or cannot be read.
    """
    there = {str(step_of(path)): path for path in _newest_first(folder)}
    if which == "newest" or not there:
        return load_newest(folder, report)
    best = best_checkpoint(folder) if which == "best" else None
    found = best[0] if best else there.get(which)
    if found is None:
        wanted = "no checkpoint was validated" if which == "best" else f"found none of {which!r}"
        raise RefusedError(f"`checkpoint`: {wanted}; expected newest, best, or one of the steps {', '.join(there)}")
    return load_checkpoint(found)


def best_checkpoint(folder: Path) -> tuple[Path, ErrorRates] | None:
    """The folder of the checkpoint with the lowest top-1 error on the validation set, unproved, and its errors.

    None where none was validated. Of equals it is the earliest, and of several validation sets those of the last count.

    Raises:
        PipelineError: a checkpoint cannot be read.
    """
    return _best(_newest_first(folder))


def step_of(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name[-STEP_DIGITS:])


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and prove it.

    Raises:
        DamagedCheckpointError: something is missing or damaged.
        PipelineError: it cannot be read.
        RefusedError: it is whole, but of another version of this package.
    """
    with _proving(path):
        file = _read_state(path)
        tensors = {name: _load(path / f"{name}.safetensors", getattr(file, name)) for name in TENSORS}
        return Checkpoint(**tensors, state=file.state, digest=file.digest)


@contextmanager
def _proving(path: Path) -> Iterator[None]:
    """Tell damage, which another checkpoint may stand in for, from what says nothing of the content."""
    try:
        yield
    except (FileNotFoundError, ValueError, SafetensorError) as error:
        raise DamagedCheckpointError(f"checkpoint {path} is damaged: {error}") from error
    except OSError as error:
        if error.errno in {errno.EFBIG, errno.EINVAL, errno.EISDIR, errno.ENOTDIR}:  # not what a checkpoint holds
            raise DamagedCheckpointError(f"checkpoint {path} is damaged: {error}") from error
        raise PipelineError(
            f"cannot read checkpoint {path}: {error.strerror}; mend that, then run the same command again"
        ) from error


def find_not_finite(checkpoint: Checkpoint) -> str:
    """The name of a parameter whose weights or momentum are not all finite; empty if there is none."""
    tensors = (item for part in (checkpoint.weights, checkpoint.momentum) for item in part.items())
    return next((name for name, tensor in tensors if not bool(tensor.isfinite().all())), "")


def newest_path(folder: Path) -> Path | None:
    """The folder of the newest checkpoint, unproved."""
    return next(iter(_newest_first(folder)), None)


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    digests = {}
    for name in TENSORS:
        data = save({key: value.contiguous() for key, value in getattr(checkpoint, name).items()})
        digests[name] = hashlib.sha256(data).hexdigest()
        write_whole(folder / f"{name}.safetensors", data)
    write_whole(folder / STATE, _sealed(to_json(_StateFile(FORMAT_VERSION, checkpoint.state, **digests), indent=1)))


def _sealed(blank: bytes) -> bytes:
    """The text of `state.json` with its digest, which is of the text without it."""
    return blank.replace(_NO_DIGEST, b'"digest": "%s"' % hashlib.sha256(blank).hexdigest().encode("ascii"), 1)


def _read_state(path: Path) -> _StateFile:
    text = retry_passing(lambda: read_whole(path / STATE))
    if _sealed(_DIGEST.sub(_NO_DIGEST, text, count=1)) != text:
        raise ValueError(f"{STATE} does not match its digest")
    try:
        file = from_json(text, _StateFile)
        if file.format_version != FORMAT_VERSION:
            raise ValueError(f"format version {file.format_version}, expected {FORMAT_VERSION}")
    except ValueError as error:
        raise RefusedError(
            f"checkpoint {path} was written by another version of this package ({error}); train again, in another "
            "folder"
        ) from error
    return file


def _load(path: Path, digest: str) -> dict[str, Tensor]:
    data = retry_passing(lambda: read_whole(path, MAX_TENSORS_BYTES))
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"{path.name} has changed")
    return load(data)


def _newest_first(folder: Path) -> list[Path]:
    """All checkpoints; one that was about to be replaced when its run was killed still counts."""
    name = "step-" + "[0-9]" * STEP_DIGITS
    found = {step_of(path): path for pattern in (OLD + name, name) for path in folder.glob(pattern)}
    return [found[step] for step in sorted(found, reverse=True)]


def _best(paths: Sequence[Path]) -> tuple[Path, ErrorRates] | None:
    """Of checkpoints, newest first."""
    validated: list[tuple[Path, Validation]] = []
    for path in paths:
        try:
            with _proving(path):
                validation = _read_state(path).state.validation
        except (DamagedCheckpointError, RefusedError):
            continue
        if validation:
            validated.append((path, validation))
    compared = [(path, each.errors) for path, each in validated if each.shards == validated[0][1].shards]
    return min(compared, key=lambda pair: (pair[1].top1_error, step_of(pair[0])), default=None)


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Remove what is not to be kept, each checkpoint at once: none is ever there in part."""
    there = _newest_first(folder)
    # Checkpoints beyond this step could not be resumed, or this step would not have been taken.
    past = [path for path in there if path.name <= newest.name]
    try:
        best = _best(past)
    except PipelineError:  # what cannot be read now may be the best
        return
    for path in {*there} - {*past[:keep], *([best[0]] if best else [])}:
        path.replace(folder / (PART + "gone-" + path.name))
    _remove_parts(folder)


def _put_back(folder: Path) -> None:
    """Give a checkpoint its name again that was moved for another one, which never came."""
    for path in folder.glob(OLD + "*"):
        final = folder / path.name.removeprefix(OLD)
        if not final.exists():
            path.replace(final)


def _remove_parts(folder: Path) -> None:
    for path in folder.glob(PART + "*"):
        shutil.rmtree(path, ignore_errors=True)
