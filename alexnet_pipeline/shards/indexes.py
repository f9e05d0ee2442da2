"""Shard records in, the indexes that other readers want out: DALI, wids, timm."""

from __future__ import annotations

import json
from collections.abc import Sequence

from alexnet_pipeline.records import ShardRecord

# (ext, data offset, size, filename) of each member of a sample.
Components = list[tuple[str, int, int, str]]


def dali_index(samples: Sequence[Components]) -> bytes:
    """DALI's `.idx` v1.2; a count below the number of lines would silently truncate."""
    lines = [f"v1.2 {len(samples)}"]
    lines += [" ".join(f"{e} {o} {s} {n}" for e, o, s, n in components) for components in samples]
    return ("\n".join(lines) + "\n").encode("ascii")


def wids_index(name: str, shards: Sequence[ShardRecord]) -> bytes:
    """Wids' `shardindex.json`, sorted by url."""
    entries = [
        {
            "url": shard.tar.name,
            "md5sum": shard.md5,
            "nsamples": shard.samples_images,
            "filesize": shard.tar.size_bytes,
        }
        for shard in shards
        if shard.tar
    ]
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": sorted(entries, key=lambda entry: str(entry["url"])),
        "name": name,
        "base": "",
        "info": "",
    }
    return _json(index)


def timm_index(split: str, name: str, shards: Sequence[ShardRecord]) -> bytes:
    """Timm's `_info.json`."""
    kept = [(shard.tar.name, shard.samples_images) for shard in shards if shard.tar]
    entry = {
        "name": name,
        "num_samples": sum(samples for _, samples in kept),
        "filenames": [filename for filename, _ in kept],
        "shard_lengths": [samples for _, samples in kept],
    }
    return _json({"splits": {split: entry}})


def _json(value: object) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode("ascii")
