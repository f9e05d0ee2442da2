"""Refuse to resume or restart with other settings, with other inputs, or over files of unknown origin."""

from __future__ import annotations

import dataclasses

from alexnet_pipeline.dataset.manifest import FORMAT_VERSION, read_manifest
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.journal import SetPlan, SetState
from alexnet_pipeline.shards.sets import PlannedSet

# Fields of a plan that are too long for a message, or that may differ.
LONG_FIELDS = frozenset({"options", "fingerprint", "classes", "class_words", "source", "source_rejects", "input"})


def check_restart(sets: list[PlannedSet], shard_range: tuple[int, int] | None) -> None:
    """Refuse a restart that would remove files of other ranges or of unknown origin.

    Raises:
        RefusedError: there are other ranges' shards, or tars that `shard` did not write.
    """
    if shard_range:
        raise RefusedError(
            "`restart` with `shard_range` would remove the shards of other ranges, too; restart without a range"
        )
    for planned in sets:
        tars = sorted(planned.state.folder.glob("*.tar"))
        if tars and not planned.state.started and not planned.state.finished:
            raise RefusedError(f"{tars[0]} was not written by `shard`, so `restart` will not remove it")


def check_resumable(planned: PlannedSet) -> None:
    """Refuse to resume a data set that was started with other settings or other inputs.

    Raises:
        RefusedError: the message names what differs.
    """
    state, begun = planned.state, planned.state.begun()
    if state.finished:
        manifest = read_manifest(state.folder)
        if begun is None or begun.fingerprint != manifest.fingerprint:
            raise RefusedError(f"{state.folder} is finished, but its .state belongs to another; choose another folder")
    if begun is None:
        tars = sorted(state.folder.glob("*.tar"))
        if tars:
            raise RefusedError(f"{tars[0]} exists, but there is no record of how it was made; choose another folder")
        return
    check_version(state, begun)
    if begun != planned.record:
        raise RefusedError(
            f"{state.folder} was started with other settings ({_difference(begun, planned.record)}); repeat those to "
            "resume, choose another folder, or begin again with `restart=True`"
        )
    if state.finished:
        _check_inputs(planned)


def check_version(state: SetState, begun: SetPlan) -> None:
    """Refuse to complete a data set of another format version, because its shards have other names and members.

    Raises:
        RefusedError: the message names both versions.
    """
    if begun.format_version == FORMAT_VERSION:
        return
    writer = "an earlier" if begun.format_version < FORMAT_VERSION else "a later"
    raise RefusedError(
        f"{state.folder} was written by {writer} version (format {begun.format_version}, this one writes "
        f"{FORMAT_VERSION}); choose another folder, or begin again with `restart=True`"
    )


def _check_inputs(planned: PlannedSet) -> None:
    journal = planned.state.journal()
    stale = [i for i, entry in journal.items() if entry.source_stamp != planned.plan.stamp(i)]
    if stale:
        raise RefusedError(
            f"{planned.state.folder} is finished, but inputs of {len(stale)} of its shards were modified since (first: "
            f"shard {stale[0]}); choose another folder, or begin again with `restart=True`"
        )


def _difference(begun: SetPlan, now: SetPlan) -> str:
    """The fields that differ, as `size: 64, now 96`."""
    names = {parameter.field: parameter.name for parameter in parameters_of(SetOptions)}
    then, new = ({**dataclasses.asdict(plan), **dataclasses.asdict(plan.options)} for plan in (begun, now))
    fields = sorted(field for field in then.keys() - LONG_FIELDS if then[field] != new[field])
    parts = [f"{names.get(field, field)}: {then[field]}, now {new[field]}" for field in fields]
    return ", ".join(parts) or "the source has other images, classes or damaged files"
