"""Finish a data set: merge the shards' statistics, write indexes, mean image and card, and the manifest last."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from alexnet_pipeline.dataset.index import TIMM, WIDS, timm_index, timm_split, wids_index
from alexnet_pipeline.dataset.manifest import MEAN, FileRecord, Manifest, ShardRecord, write_manifest
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.shards.card import describe, finished_splits
from alexnet_pipeline.shards.journal import SetPlan, SetState
from alexnet_pipeline.shards.names import STATE, shard_prefix
from alexnet_pipeline.shards.resume import check_version
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.writing import locked, write_whole


def finish(state: SetState, plan: SetPlan) -> Manifest:
    """Write the indexes, the mean image and the manifest of a data set, and describe it in its method's folder.

    Raises:
        RefusedError: shards are missing, or of a later format version.
        PipelineError: a shard's statistics cannot be read, or a file cannot be written.
    """
    check_version(state.folder, plan.format_version)
    journal = state.journal(expected=plan.shards)
    missing = [index for index in range(plan.shards) if index not in journal]
    if missing:
        raise RefusedError(
            f"{state.folder}: {len(missing)} of {plan.shards} shards are missing, the first is {missing[0]}; run "
            "`shard` for their range"
        )
    shards = [journal[index].shard for index in range(plan.shards)]
    sums = state.sums.total(range(plan.shards))
    name = shard_prefix(plan.options, plan.split, plan.format_version)
    files = {
        WIDS: wids_index(name, shards),
        TIMM: timm_index({plan.split: timm_split(name, shards)}),
        MEAN: sums.mean_file(),
    }
    for filename, data in files.items():
        write_whole(state.folder / filename, data)
    manifest = dataclasses.replace(
        manifest_of(plan, shards),
        class_totals_images=tuple(sums.labels.tolist()),
        total_images=int(sums.counts[1]),
        upsampled_images=int(sums.counts[2]),
        files=tuple(FileRecord.of(filename, data) for filename, data in files.items()),
        statistics=sums.statistics(),
    )
    sealed = _publish(state.folder, manifest)
    state.drop_sums()
    return sealed


def manifest_of(plan: SetPlan, shards: Sequence[ShardRecord]) -> Manifest:
    """What a plan and the records of its shards say of a data set, without statistics."""
    return Manifest(
        format_version=plan.format_version,
        split=plan.split,
        options=plan.options,
        fingerprint=plan.fingerprint,
        definition=plan.definition,
        geometry_definition=plan.geometry_definition,
        versions=plan.versions,
        classes=plan.classes,
        class_totals_images=(),
        total_images=sum(shard.samples_images for shard in shards),
        upsampled_images=0,
        shards=tuple(shards),
        files=(),
        statistics=None,
        source_rejects=plan.source_rejects,
        class_words=plan.class_words,
        source=plan.source,
    )


def _publish(folder: Location, manifest: Manifest) -> Manifest:
    """Describe a data set beside its siblings, and write its manifest last, so that resuming makes good a crash.

    The lock keeps two splits that finish at once from describing the method's folder without each other.
    """
    with locked(folder.parent / STATE / "lock", None):
        described = {**finished_splits(folder.parent), manifest.split: manifest}
        describe(folder.parent, described)
        sealed = write_manifest(folder, manifest)
        # A store has no lock, so another split may have finished meanwhile.
        splits = finished_splits(folder.parent)
        if splits.keys() != described.keys():
            describe(folder.parent, splits)
        return sealed
