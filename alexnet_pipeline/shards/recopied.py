"""Keep the shards of a source that was copied again: its files have other times or ETags, but the same content."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from alexnet_pipeline.cores import core_count
from alexnet_pipeline.dataset.index import read_dali_index
from alexnet_pipeline.dataset.manifest import ShardRecord
from alexnet_pipeline.dataset.open import SampleRecord
from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.progress import Advance, Message, Report, Stage
from alexnet_pipeline.raw.read import Reader, reading_order
from alexnet_pipeline.records import RawImage, SetOptions, from_json
from alexnet_pipeline.shards.journal import JournalEntry
from alexnet_pipeline.shards.options import RunOptions
from alexnet_pipeline.shards.sets import PlannedSet
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import opened, read_whole
from alexnet_pipeline.text import counted


def keep_recopied(sets: Sequence[PlannedSet], run: RunOptions, report: Report) -> list[dict[int, JournalEntry]]:
    """Compare committed shards whose inputs seem modified with these inputs; keep those made from the same bytes.

    Each sample's record has the SHA-256 of its source file. An image that was rejected must be rejected again, for the
    same reason.

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
            suspects = _rejected(modified[number] for number in group)
            options = sets[group[0]].record.options
            contents = pool.map(lambda index: _contents(plan.images(index), suspects, options), indices)  # noqa: B023
            for done, (index, found) in enumerate(zip(indices, contents, strict=True), 1):
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


def _rejected(journals: Iterable[Mapping[int, JournalEntry]]) -> set[str]:
    """The names of all images that were rejected."""
    return {reject.name for journal in journals for entry in journal.values() for reject in entry.shard.rejects}


def _keep(planned: PlannedSet, entry: JournalEntry, found: dict[str, str]) -> bool:
    """Give a shard's record the stamp of its present inputs, if these have the recorded content."""
    if _recorded(planned.state.folder, entry.shard) != found:
        return False
    planned.state.commit(dataclasses.replace(entry, source_stamp=planned.plan.stamps[entry.shard.index]))
    return True


def _contents(images: Sequence[RawImage], suspects: Collection[str], options: SetOptions) -> dict[str, str]:
    """For the name of each image the SHA-256 of its file, or why it is rejected; only suspects are decoded."""
    found: dict[str, str] = {}
    with Reader(images) as reader:
        for position in reading_order(images):
            image = images[position]
            reader.prefetch(position)
            try:
                data = reader.read(position)
                if image.name in suspects:
                    codec.decode_remarked(data, max_pixels=options.max_pixels, orientation=options.orientation)
                found[image.name] = hashlib.sha256(data).hexdigest()
            except RejectedImageError as error:
                found[image.name] = str(error)
    return found


def _recorded(folder: Location, shard: ShardRecord) -> dict[str, str] | None:
    """The same of a shard's images, as it records them; None if it cannot be read."""
    rejected = {reject.name: str(RejectedImageError(reject.reason, reject.detail)) for reject in shard.rejects}
    if not shard.tar or not shard.idx:
        return rejected
    try:
        index = read_dali_index(read_whole(folder / shard.idx.name))
        with opened(folder / shard.tar.name) as tar:
            records = (from_json(tar.pread(size, at), SampleRecord) for at, size in index.spans["json"].tolist())
            return rejected | {record.name: record.sha256 for record in records}
    except (OSError, KeyError, ValueError):
        return None
