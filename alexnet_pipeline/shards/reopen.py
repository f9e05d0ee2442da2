"""Reopen a finished data set, so that the shards that lack rejected images can be written anew."""

from __future__ import annotations

from alexnet_pipeline.dataset.manifest import Manifest, ShardRecord
from alexnet_pipeline.dataset.open import open_shards
from alexnet_pipeline.progress import Message, Report
from alexnet_pipeline.shards.journal import JournalEntry
from alexnet_pipeline.shards.recompute import sums_of_shards
from alexnet_pipeline.shards.sets import PlannedSet
from alexnet_pipeline.text import counted


def reopen(planned: PlannedSet, report: Report) -> None:
    """Make an unfinished set of a finished one whose shards without rejects stay as they are.

    Their statistics, which went into the manifest, are computed again from their encoded images. The caller holds the
    lock of the whole set.

    Raises:
        PipelineError: a sample is damaged, or a file cannot be written.
    """
    state, manifest = planned.state, planned.manifest
    assert manifest
    kept = [shard for shard in manifest.shards if shard.tar and not shard.rejects]
    report(
        Message(
            f"{state.folder}: trying again what {counted(len(manifest.shards) - len(kept), 'shard')} rejected; the "
            f"statistics of the other {len(kept):,} are taken from their encoded images"
        )
    )
    if kept:
        opened = open_shards(state.folder)
        for index, sums in sums_of_shards(opened, (shard.index for shard in kept), report):
            state.sums.put(index, sums)
    if not state.started:  # copied without its hidden folder
        state.begin(planned.record)
    _restore_records(planned, manifest)
    state.reopen()


def _restore_records(planned: PlannedSet, manifest: Manifest) -> None:
    """Add the records of the shards that lack one, as they are where a set was copied without its hidden folder."""
    committed = planned.state.journal()
    lacking: list[ShardRecord] = [shard for shard in manifest.shards if shard.index not in committed]
    for shard in lacking:
        planned.state.commit(JournalEntry(shard, planned.plan.stamps[shard.index]))
