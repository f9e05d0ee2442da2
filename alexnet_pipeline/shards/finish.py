"""Finish a data set: merge the shards' statistics, write indexes, mean image and card, and the manifest last."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pipeline.dataset.index import TIMM, WIDS, timm_index, timm_split, wids_index
from alexnet_pipeline.dataset.manifest import FORMAT_VERSION, MEAN, FileRecord, Manifest, ShardRecord, write_manifest
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.files import locked, read_whole, write_whole
from alexnet_pipeline.shards.card import describe, finished_splits
from alexnet_pipeline.shards.journal import SetPlan, SetState
from alexnet_pipeline.shards.names import STATE, shard_prefix
from alexnet_pipeline.shards.resume import check_version
from alexnet_pipeline.shards.statistics import Sums


def finish(state: SetState, plan: SetPlan) -> Manifest:
    """Write the indexes, the mean image and the manifest of a data set, and describe it in its method's folder.

    Raises:
        RefusedError: shards are missing, or of another format version.
        PipelineError: a shard's statistics cannot be read, or a file cannot be written.
    """
    check_version(state, plan)
    journal = state.journal()
    missing = [index for index in range(plan.shards) if index not in journal]
    if missing:
        raise RefusedError(
            f"{state.folder}: {len(missing)} of {plan.shards} shards are missing, the first is {missing[0]}; run "
            "`shard` for their range"
        )
    shards = [journal[index].shard for index in range(plan.shards)]
    sums = _merge_sums(state, shards)
    name = shard_prefix(plan.options, plan.split)
    files = {
        WIDS: wids_index(name, shards),
        TIMM: timm_index({plan.split: timm_split(name, shards)}),
        MEAN: _npy(sums.mean_image()),
    }
    for filename, data in files.items():
        write_whole(state.folder / filename, data)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        split=plan.split,
        options=plan.options,
        fingerprint=plan.fingerprint,
        definition=plan.definition,
        geometry_definition=plan.geometry_definition,
        versions=plan.versions,
        classes=plan.classes,
        class_totals_images=tuple(sums.labels.tolist()),
        total_images=int(sums.counts[1]),
        upsampled_images=int(sums.counts[2]),
        shards=tuple(shards),
        files=tuple(FileRecord.of(filename, data) for filename, data in files.items()),
        statistics=sums.statistics(),
        source_rejects=plan.source_rejects,
        class_words=plan.class_words,
        source=plan.source,
    )
    sealed = _publish(state.folder, manifest)
    state.drop_sums()
    return sealed


def _publish(folder: Path, manifest: Manifest) -> Manifest:
    """Describe a data set beside its siblings, and write its manifest last, so that resuming makes good a crash.

    The lock keeps two splits that finish at once from describing the method's folder without each other.
    """
    with locked(folder.parent / STATE / "lock", None):
        describe(folder.parent, {**finished_splits(folder.parent), manifest.split: manifest})
        return write_manifest(folder, manifest)


def _merge_sums(state: SetState, shards: list[ShardRecord]) -> Sums:
    total: Sums | None = None
    for shard in shards:
        path = state.sums_path(shard.index)
        try:
            sums = Sums.from_bytes(read_whole(path))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise PipelineError(
                f"{path} cannot be read ({error}); remove it, and `shard` writes its shard again"
            ) from error
        if total is None:
            total = sums
        else:
            total.merge(sums)
    if total is None:
        raise PipelineError(f"{state.folder}: there are no shards to merge")
    return total


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
