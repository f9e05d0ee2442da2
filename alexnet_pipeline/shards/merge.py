"""Complete data sets whose ranges of shards were written by separate jobs, into one folder or into several."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

from alexnet_pipeline.dataset.manifest import FileRecord, read_manifest
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.shards.finish import finish
from alexnet_pipeline.shards.journal import JournalEntry, SetPlan, SetState, find_states
from alexnet_pipeline.shards.names import STATE
from alexnet_pipeline.shards.ranges import ranges_text
from alexnet_pipeline.shards.resume import check_version
from alexnet_pipeline.shards.summary import SetSummaries, summary_of_set
from alexnet_pipeline.storage.place import Location, StrPath, locate, writable
from alexnet_pipeline.storage.reading import blocks_of, read_whole
from alexnet_pipeline.storage.writing import make_folder, part_of, sync_folder, write_whole
from alexnet_pipeline.text import counted

# Files that are copied at the same time.
COPIED_AT_ONCE = 8


def merge(out: StrPath, *others: StrPath) -> SetSummaries:
    """Complete every data set below a folder whose ranges of shards were written by separate jobs.

    Args:
        out: the folder; its data sets are completed.
        *others: folders that hold other ranges of the same data sets; the shards that `out` lacks are copied from them.

    Raises:
        RefusedError: no run was started there, a folder holds another data set, or shards are missing; the message
            names all of them.
        PipelineError: a file cannot be read or written, or differs from its record.
    """
    target = writable(locate(out))
    for other in others:
        _collect(target, locate(other))
    states = find_states(target)
    if not states:
        raise RefusedError(f"{out}: no run was started here; run `shard` first")
    plans = [(state, plan) for state in states if (plan := state.begun()) is not None]
    _check_complete(plans)
    summaries = []
    for state, plan in plans:
        if state.finished:
            summaries.append(summary_of_set(state.folder, read_manifest(state.folder)))
            continue
        with state.locked(0, plan.shards):
            summaries.append(summary_of_set(state.folder, finish(state, plan)))
    return SetSummaries(summaries)


def _check_complete(plans: list[tuple[SetState, SetPlan]]) -> None:
    """Refuse if shards are missing, and name them all."""
    lacking = []
    for state, plan in plans:
        check_version(state.folder, plan.format_version)
        if state.finished:
            continue
        journal = state.journal(expected=plan.shards)
        missing = [index for index in range(plan.shards) if index not in journal]
        if missing:
            text = f"{len(missing):,} of {counted(plan.shards, 'shard')} are missing: {ranges_text(missing)}"
            lacking.append(f"{state.folder}: {text}")
    if lacking:
        raise RefusedError(f"{'; '.join(lacking)}; run `shard` with `shard_range` or `part` for them, then merge again")


def _collect(target: Location, other: Location) -> None:
    """Copy the shards that a folder lacks from another one with ranges of the same data sets."""
    states = find_states(other)
    if not states:
        raise RefusedError(f"{other}: no run was started here; run `shard` first")
    for theirs in states:
        mine = SetState(target / theirs.folder.parent.name / theirs.folder.name)
        plan = theirs.begun()
        assert plan is not None
        if mine.finished:
            continue
        if theirs.finished:
            raise RefusedError(f"{theirs.folder} is complete; nothing of it needs to be merged")
        begun = mine.begun()
        if begun is None:
            mine.begin(plan)
        elif begun.fingerprint != plan.fingerprint:
            raise RefusedError(f"{theirs.folder} and {mine.folder} are different data sets; merge parts of one run")
        with mine.locked(0, plan.shards):
            _copy_missing(mine, theirs)


def _copy_missing(mine: SetState, theirs: SetState) -> None:
    committed, entries = mine.journal(), theirs.journal()
    wanted = entries.keys() - committed.keys()
    make_folder(mine.folder / STATE)
    with_sums = set(_copy_sums(mine, theirs, wanted))
    # A shard without statistics would be written again by the next run, so it counts as missing.
    entries_to_copy = [entries[index] for index in sorted(wanted & with_sums)]
    files = [file for entry in entries_to_copy for file in (entry.shard.idx, entry.shard.tar) if file]
    with ThreadPoolExecutor(COPIED_AT_ONCE) as pool:
        list(pool.map(lambda file: _copy(theirs.folder, mine.folder, file), files))
    sync_folder(mine.folder)
    _commit(mine, entries_to_copy)


def _commit(state: SetState, entries: list[JournalEntry]) -> None:
    for entry in entries:
        state.commit(entry)


def _copy_sums(mine: SetState, theirs: SetState, wanted: Collection[int]) -> Iterator[int]:
    """Copy the statistics of wanted shards, and name the shards whose statistics are there then."""
    there = mine.sums.shards()
    yield from there
    for name, members in theirs.sums.files().items():
        if members.isdisjoint(there) and not members.isdisjoint(wanted):
            write_whole(mine.folder / STATE / name, read_whole(theirs.folder / STATE / name))
            yield from members


def _copy(source: Location, target: Location, file: FileRecord) -> None:
    """Copy a file, whose content must be what its record says."""
    state = hashlib.sha256()
    try:
        with part_of(target / file.name) as part:
            for block in blocks_of(source / file.name):
                state.update(block)
                part.write(block)
            if state.hexdigest() != file.sha256:
                raise PipelineError(f"{source / file.name} is not what its record says; write its shard again")
            part.commit()
    except OSError as error:
        raise PipelineError(f"cannot read {source / file.name}: {error.strerror}") from error
