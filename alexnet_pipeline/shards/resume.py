"""Resume a data set as it was started, or refuse: other settings, other inputs, or files of unknown origin."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from alexnet_pipeline.dataset.manifest import FORMAT_VERSION, Manifest, read_manifest
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.journal import JournalEntry, SetPlan
from alexnet_pipeline.shards.options import RunOptions
from alexnet_pipeline.shards.sets import PlannedSet
from alexnet_pipeline.storage.place import Location

# The fields of a plan that decide the bytes and are short enough for a message.
SHORT_FIELDS = ("format_version", "split", "definition", "geometry_definition", "images", "shards")
# Between the versions of a library that were used for one set.
AND = " and "


def check_restart(sets: list[PlannedSet], run: RunOptions) -> None:
    """Refuse a restart that would remove files of other ranges or of unknown origin.

    Raises:
        RefusedError: there are other ranges' shards, or tars that `shard` did not write.
    """
    if run.shard_range or run.part:
        choice = "part" if run.part else "shard_range"
        raise RefusedError(
            f"`restart` with `{choice}` would remove the shards of other ranges, too; restart without a range"
        )
    for planned in sets:
        tars = planned.state.tars()
        if tars and not planned.state.started and not planned.state.finished:
            raise RefusedError(f"{tars[0]} was not written by `shard`, so `restart` will not remove it")


def resumed(planned: PlannedSet, run: RunOptions) -> PlannedSet:
    """A planned set as it is to be resumed: in the format, and with the versions, that it was started with.

    Raises:
        RefusedError: it was started with other settings or inputs; the message names what differs.
    """
    state = planned.state
    manifest = read_manifest(state.folder) if state.finished else None
    begun: SetPlan | Manifest | None = state.begun() or manifest
    if begun is None:
        tars = state.tars()
        if tars:
            raise RefusedError(f"{tars[0]} exists, but there is no record of how it was made; choose another folder")
        return planned
    if manifest and begun.fingerprint != manifest.fingerprint:
        raise RefusedError(f"{state.folder} is finished, but its .state belongs to another; choose another folder")
    check_version(state.folder, begun.format_version)
    record = _in_format(planned.record, begun.format_version)
    joined = _joined(begun.versions, record.versions)
    if begun.versions in (record.versions, joined):
        record = dataclasses.replace(record, versions=begun.versions).sealed()
    elif run.other_versions and not manifest:
        before = dataclasses.replace(record, versions=begun.versions).sealed()
        if before.fingerprint == begun.fingerprint:
            return dataclasses.replace(planned, record=dataclasses.replace(record, versions=joined).sealed())
    if begun.fingerprint != record.fingerprint:
        raise RefusedError(_refusal(state.folder, begun, record))
    return dataclasses.replace(planned, record=record, manifest=manifest)


def check_version(folder: Location, format_version: int) -> None:
    """Refuse to complete a data set of a later format version.

    Raises:
        RefusedError: the message names both versions.
    """
    if format_version > FORMAT_VERSION:
        raise RefusedError(
            f"{folder} was written by a later version (format {format_version}, this one writes up to "
            f"{FORMAT_VERSION}); install that version, or choose another folder"
        )


def _in_format(record: SetPlan, format_version: int) -> SetPlan:
    """The plan of the same set in a format version; the first one had no other orientation than `apply`."""
    return dataclasses.replace(record, format_version=format_version).sealed()


def _joined(then: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Versions of libraries that include those of now, like `5.0.0 and 5.0.1`."""
    used = {name: then.get(name, "none").split(AND) for name in {*then, *now}}
    for name, versions in used.items():
        version = now.get(name, "none")
        if version not in versions:
            versions.append(version)
    return {name: AND.join(versions) for name, versions in used.items()}


def check_inputs(planned: PlannedSet, modified: Mapping[int, JournalEntry], run: RunOptions) -> None:
    """Refuse to go on with a finished set some of whose shards have modified inputs, unless they are written anew.

    Raises:
        RefusedError: the message says how many, and the first.
    """
    stale = [i for i, entry in sorted(modified.items()) if not (run.retry_rejects and entry.shard.rejects)]
    if planned.manifest and stale:
        lacking = any(modified[index].shard.rejects for index in stale)
        hint = ", or try what was rejected again with `retry_rejects=True`" if lacking else ""
        raise RefusedError(
            f"{planned.state.folder} is finished, but inputs of {len(stale)} of its shards were modified since (first: "
            f"shard {stale[0]}); choose another folder{hint}; `restart=True` would remove what is there and begin again"
        )


def _refusal(folder: Location, begun: SetPlan | Manifest, now: SetPlan) -> str:
    """Why a set is not resumed; nothing here is to be removed, so the way to remove it comes last."""
    removal = "`restart=True` would remove what is there and begin again"
    if isinstance(begun, SetPlan) and dataclasses.replace(now, versions=begun.versions).sealed() == begun:
        return (
            f"{folder} was started with other versions of libraries that determine the bytes "
            f"({_difference(begun, now)}); install those to resume, or go on with `other_versions=True`, which the "
            f"manifest will say; {removal}"
        )
    return (
        f"{folder} was started with other settings ({_difference(begun, now)}); repeat those to resume, or choose "
        f"another folder; {removal}"
    )


def _difference(begun: SetPlan | Manifest, now: SetPlan) -> str:
    """What differs, as `size: 64, now 96; opencv: 5.0.0, now 5.0.1`."""
    then, new = _short(begun), _short(now)
    parts = [
        f"{name}: {then.get(name, 'none')}, now {new.get(name, 'none')}"
        for name in sorted({*then, *new})
        if then.get(name) != new.get(name) and not (isinstance(begun, Manifest) and name in {"images", "shards"})
    ]
    return "; ".join(parts) or "the source has other images, classes or damaged files"


def _short(plan: SetPlan | Manifest) -> dict[str, object]:
    """What a message can tell of a plan, by the names that users know."""
    names = {parameter.field: parameter.name for parameter in parameters_of(SetOptions)}
    options = {names.get(field, field): value for field, value in dataclasses.asdict(plan.options).items()}
    fields = {name: getattr(plan, name) for name in SHORT_FIELDS if hasattr(plan, name)}
    return {**fields, **options, **plan.versions}
