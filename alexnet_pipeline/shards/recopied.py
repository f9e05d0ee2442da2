"""Keep the shards of a source that was copied again: its files have other times or ETags, but the same content."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from alexnet_pipeline.dataset.index import read_dali_index
from alexnet_pipeline.dataset.manifest import ShardRecord
from alexnet_pipeline.dataset.open import SampleRecord
from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.progress import Advance, Message, Report, Stage
from alexnet_pipeline.raw.read import Reader, reading_order
from alexnet_pipeline.records import RawImage, from_json
from alexnet_pipeline.shards.journal import JournalEntry
from alexnet_pipeline.shards.options import RunOptions
from alexnet_pipeline.shards.sets import PlannedSet
from alexnet_pipeline.shards.workers import core_count
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import opened, read_whole
from alexnet_pipeline.text import counted


def keep_recopied(sets: Sequence[PlannedSet], run: RunOptions, report: Report) -> list[dict[int, JournalEntry]]:
    """Compare committed shards whose inputs seem modified with these inputs; keep those made from the same bytes.

    Each sample's record has the SHA-256 of its source file. A shard with rejects has none of those, and is not kept.

    Returns:
        For each set the records of the shards whose inputs were modified.

    Raises:
        PipelineError: an input cannot be read.
    """
    modified = [_stale(planned, run) for planned in sets]
    by_split: dict[str, list[int]] = {}
    for number, planned in enumerate(sets):
        if modified[number]:
            by_split.setdefault(planned.record.split, []).append(number)
    for split, group in by_split.items():
        plan = sets[group[0]].plan
        indices = sorted({index for number in group for index in modified[number]})
        shards = counted(len(indices), "shard")
        report(Message(f"{split}: inputs of {shards} have other times than when they were read"))
        report(Stage("comparing their content", len(indices), unit="shards"))
        with ThreadPoolExecutor(run.workers or core_count()) as pool:
            digests = pool.map(lambda index: _digests(plan.images(index)), indices)  # noqa: B023 - used in this turn
            for done, (index, found) in enumerate(zip(indices, digests, strict=True), 1):
                for number in group:
                    if index in modified[number] and _keep(sets[number], modified[number][index], found):
                        del modified[number][index]
                report(Advance(done))
        changed = len({index for number in group for index in modified[number]})
        report(Message(f"{split}: {len(indices) - changed:,} of them have the same content, {changed:,} do not"))
    return modified


def _stale(planned: PlannedSet, run: RunOptions) -> dict[int, JournalEntry]:
    """The committed shards of the run's range whose inputs seem modified."""
    stamps, wanted = planned.plan.stamps, range(*planned.range(run))
    journal = planned.state.journal()
    return {
        index: journal[index] for index in wanted if index in journal and journal[index].source_stamp != stamps[index]
    }


def _keep(planned: PlannedSet, entry: JournalEntry, digests: dict[str, str]) -> bool:
    """Give a shard's record the stamp of its present inputs, if these have the recorded content."""
    shard, state = entry.shard, planned.state
    if shard.rejects or _recorded(state.folder, shard) != digests:
        return False
    state.commit(dataclasses.replace(entry, source_stamp=planned.plan.stamps[shard.index]))
    return True


def _digests(images: Sequence[RawImage]) -> dict[str, str]:
    """SHA-256 of the files of images, by key; empty if one of them is no image any more."""
    found: dict[str, str] = {}
    with Reader(images) as reader:
        for position in reading_order(images):
            reader.prefetch(position)
            try:
                found[images[position].key] = hashlib.sha256(reader.read(position)).hexdigest()
            except RejectedImageError:
                return {}
    return found


def _recorded(folder: Location, shard: ShardRecord) -> dict[str, str] | None:
    """The SHA-256 of source files by key, as a shard's samples record them; None if it cannot be read."""
    if not shard.tar or not shard.idx:
        return None
    try:
        index = read_dali_index(read_whole(folder / shard.idx.name))
        with opened(folder / shard.tar.name) as tar:
            spans = zip(index.keys, index.spans["json"].tolist(), strict=True)
            return {key: from_json(tar.pread(size, at), SampleRecord).sha256 for key, (at, size) in spans}
    except (OSError, KeyError, ValueError):
        return None
