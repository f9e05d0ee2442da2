"""Checkpoints: folders that are whole or absent, whatever happens.

`RUN/checkpoints/step-000001234/` holds `weights.safetensors` and `momentum.safetensors`, both of both towers, so that
any arrangement of towers can load them; `random.safetensors`, every process's random generators; and `state.json`,
which names the others' sha256 and proves itself by its own.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from alexnet_pipeline.alexnet.options import Precision
from alexnet_pipeline.alexnet.recipe import NetworkOptions, Recipe
from alexnet_pipeline.alexnet.schedule import PlateauState
from alexnet_pipeline.batches.loader import LoaderState
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.files import PART, naming, read_whole, retry_passing, sync_folder, write_whole
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.progress import Report, warn_to
from alexnet_pipeline.records import from_json, to_json

# The files of tensors, NAME.safetensors, and the one that proves them.
TENSORS, STATE = ("weights", "momentum", "random"), "state.json"
# Largest file of tensors that is read; the paper's network has 244 MB of weights.
MAX_TENSORS_BYTES = 8 << 30
# Change this with the meaning of a checkpoint's files.
FORMAT_VERSION = 1
# Settings that a resumed run may have others of, which its log then says: those of its rate and length.
CHANGEABLE = frozenset(
    {"learning_rate", "schedule", "drops_epochs", "final_learning_rate", "patience_epochs", "drops"}
    | {"epochs", "total_steps"}
)
_DIGEST = re.compile(rb'"digest": "[0-9a-f]{64}"')
_NO_DIGEST = b'"digest": ""'


@dataclass(frozen=True, slots=True)
class Identity:
    """What a resumed run must have in common with its checkpoint.

    Attributes:
        recipe: every number of the training.
        network: that is trained.
        seed: of the run.
        total_steps: of the whole run.
        precision: of the arithmetic.
        classes: class names, in label order.
        training_set: digest of its manifest.
        validation_set: likewise, which counts where its errors decide the rate; empty without one, and in a checkpoint
            of a version that did not record it.
    """

    recipe: Recipe
    network: NetworkOptions
    seed: int
    total_steps: int
    precision: Precision
    classes: tuple[str, ...]
    training_set: str
    validation_set: str = ""


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
    """

    step: int
    images: int
    learning_rate: float
    plateau: PlateauState
    loader: LoaderState
    size_px: int
    identity: Identity


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
    """Write a checkpoint below a folder, then remove all but it and the `keep` - 1 before it.

    Raises:
        PipelineError: it cannot be written; the older ones stay.
    """
    final = folder / f"step-{checkpoint.state.step:09d}"
    part = folder / (PART + final.name)
    with naming(final):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_parts(folder)
        part.mkdir()
        try:
            _write_files(part, checkpoint)
            if final.exists():  # of the same step: out of the way until the new one has its name
                final.replace(folder / (PART + "old-" + final.name))
            part.replace(final)
        finally:
            _remove_parts(folder)
    sync_folder(folder)
    # Checkpoints beyond this step could not be resumed, or this step would not have been taken.
    kept = [path for path in _newest_first(folder) if path.name <= final.name][:keep]
    for path in {*_newest_first(folder)} - {*kept}:
        shutil.rmtree(path, ignore_errors=True)
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


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and prove it.

    Raises:
        DamagedCheckpointError: something is missing or damaged.
        PipelineError: it cannot be read.
        RefusedError: it is whole, but of another version of this package.
    """
    try:
        text = retry_passing(lambda: read_whole(path / STATE))
        if _sealed(_DIGEST.sub(_NO_DIGEST, text, count=1)) != text:
            raise ValueError(f"{STATE} does not match its digest")
        file = _read_state(path, text)
        tensors = {name: _load(path / f"{name}.safetensors", getattr(file, name)) for name in TENSORS}
        return Checkpoint(**tensors, state=file.state, digest=file.digest)
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


def check_identity(saved: SavedState, mine: Identity, *, strict: bool = False) -> tuple[str, ...]:
    """Make sure that a checkpoint is of this very run; or, unless `strict`, of one with another rate and length.

    Returns:
        What differs, like `learning_rate: 0.01, now 0.001`.

    Raises:
        RefusedError: it was made with other settings; the message says which.
    """
    then, now = _settings(saved.identity), _settings(mine)
    plateau = saved.identity.recipe.schedule == mine.recipe.schedule == "plateau"
    if not (plateau and then["validation_set"]):
        del then["validation_set"], now["validation_set"]
    changed = {name: f"{name}: {then[name]!s:.60}, now {now[name]!s:.60}" for name in now if then[name] != now[name]}
    refused = [text for name, text in changed.items() if strict or name not in CHANGEABLE]
    if refused:
        raise RefusedError(
            f"the checkpoint of step {saved.step} was made with other settings ({'; '.join(refused)}); repeat those "
            "settings, or choose another `run_dir`"
        )
    if mine.total_steps < saved.step:
        raise RefusedError(
            f"the run has taken {saved.step:,} steps, more than the {mine.total_steps:,} that are asked for; choose "
            "more `steps` or `epochs`, or another `run_dir`"
        )
    return tuple(changed.values())


def continued(recipe: Recipe, saved: Identity, given: Collection[str]) -> Recipe:
    """A recipe with the rate and length of a checkpoint's, but for the parameters that are given now."""
    fields = {parameter.field: parameter.name for parameter in parameters_of(Recipe)}
    kept = [field.name for field in dataclasses.fields(Recipe) if fields.get(field.name, field.name) in CHANGEABLE]
    return dataclasses.replace(
        recipe, **{name: getattr(saved.recipe, name) for name in kept if fields.get(name, name) not in given}
    )


def _settings(identity: Identity) -> dict[str, object]:
    """All that counts, flat, by the names of parameters where there are any."""
    names = {parameter.field: parameter.name for parameter in parameters_of(Recipe)}
    plain = dataclasses.asdict(identity)
    parts = {**plain.pop("recipe"), **plain.pop("network"), **plain}
    return {names.get(field, field): value for field, value in parts.items()}


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


def _read_state(path: Path, text: bytes) -> _StateFile:
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
    return sorted(folder.glob("step-" + "[0-9]" * 9), reverse=True)


def _remove_parts(folder: Path) -> None:
    for path in folder.glob(PART + "*"):
        shutil.rmtree(path, ignore_errors=True)
