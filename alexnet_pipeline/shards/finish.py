"""Shard records in, `manifest.json` out: the last file of a data set, without which it is none."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from typing import Any

import numpy as np

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.dataset.manifest import FORMAT_VERSION, manifest_text
from alexnet_pipeline.records import FileRecord, Manifest, MethodOptions, Reject, ShardRecord
from alexnet_pipeline.shards.journal import DatasetState
from alexnet_pipeline.dataset.index import timm_index, wids_index
from alexnet_pipeline.shards.statistics import Sums
from alexnet_pipeline.files import write_whole

WIDS, TIMM, MEAN = "shardindex.json", "_info.json", "mean.npy"


def write_manifest(state: DatasetState, plan: dict[str, Any], shards: list[ShardRecord]) -> Manifest:
    """Merge the shards' statistics, write the indexes of the whole set, the mean image and the manifest.

    Args:
        state: of the data set.
        plan: what was begun, see `build.plan_record`.
        shards: one record per planned shard, in order.

    Raises:
        PipelineError: a shard's statistics are missing, or a file cannot be written.
    """
    sums = _merge_sums(state, shards)
    options = MethodOptions(**plan["options"])
    name = f"{options.name}-{plan['split']}"
    files = {
        WIDS: wids_index(name, shards),
        TIMM: timm_index(plan["split"], name, shards),
        MEAN: _npy(sums.mean_image()),
    }
    for filename, data in files.items():
        write_whole(state.folder / filename, data)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        split=plan["split"],
        options=options,
        fingerprint=plan["fingerprint"],
        definition=plan["definition"],
        geometry_definition=plan["geometry_definition"],
        versions=plan["versions"],
        classes=tuple(plan["classes"]),
        class_totals_images=tuple(sums.labels.tolist()),
        total_images=int(sums.counts[1]),
        upsampled_images=int(sums.counts[2]),
        shards=tuple(shards),
        files=tuple(FileRecord(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in files.items()),
        statistics=sums.statistics(),
        source_rejects=tuple(Reject(**reject) for reject in plan["source_rejects"]),
    )
    digested = dataclasses.replace(manifest, digest=hashlib.sha256(manifest_text(manifest)).hexdigest())
    write_whole(state.manifest, manifest_text(digested))
    state.drop_sums()
    return digested


def _merge_sums(state: DatasetState, shards: list[ShardRecord]) -> Sums:
    total: Sums | None = None
    for shard in shards:
        path = state.sums_path(shard.index)
        try:
            sums = Sums.from_bytes(path.read_bytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise PipelineError(f"{path} cannot be read ({error}); shard the source again with --restart") from error
        if total is None:
            total = sums
        else:
            total.merge(sums)
    if total is None:
        raise PipelineError(f"{state.folder}: there is no shard to gather")
    return total


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
