"""Shard records in, `manifest.json` out: the last file of a data set, without which it is none."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.records import (
    FileRecord,
    Manifest,
    MethodOptions,
    Reject,
    ShardRecord,
    manifest_from_json,
)
from alexnet_pipeline.shards.commit import DatasetState, write_whole
from alexnet_pipeline.shards.indexes import timm_index, wids_index
from alexnet_pipeline.shards.statistics import Sums

FORMAT_VERSION = 1
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


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and prove that not a bit of it has changed.

    Raises:
        RefusedError: there is none, or of a version this release does not know.
        PipelineError: it is damaged.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise RefusedError(f"{path} is missing: no finished data set; `shard` resumes an unfinished one") from error
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from error
    try:
        data = json.loads(text)
        version = data["format_version"]
        manifest = manifest_from_json(data) if version == FORMAT_VERSION else None
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"{path} is damaged: {error}; shard the source again with --restart") from error
    if manifest is None:
        raise RefusedError(f"{path} has format version {version}; this release reads {FORMAT_VERSION}")
    blank = manifest_text(dataclasses.replace(manifest, digest=""))
    if manifest_text(manifest) != text or hashlib.sha256(blank).hexdigest() != manifest.digest:
        raise PipelineError(f"{path} is damaged: its digest does not match; shard the source again with --restart")
    return manifest


def manifest_text(manifest: Manifest) -> bytes:
    """The one text of a manifest: sorted keys, ASCII, one space of indentation."""
    return (json.dumps(dataclasses.asdict(manifest), sort_keys=True, indent=1) + "\n").encode("ascii")


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
