"""Indexes of the shards: write and read DALI's `.idx`, and write those of wids and timm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.manifest import ShardRecord, encode_json

WIDS, TIMM = "shardindex.json", "_info.json"
DALI_VERSION = "v1.2"
# Words per member in a line (extension, offset, size, name), and members per sample.
WORDS = 4
MEMBERS = 3

# An offset and a size below this have a sum that fits 64 bits.
MOST_BYTES = 1 << 62

# (extension, data offset, size, file name) of each member of a sample.
Components = list[tuple[str, int, int, str]]


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """The keys of the samples of one shard, and where their members lie.

    Attributes:
        keys: keys of the samples, in order.
        spans: by extension, (samples, 2) int64 offset and size of the member's data.
    """

    keys: list[str]
    spans: dict[str, NDArray[np.int64]]


def dali_index(samples: Sequence[Components]) -> bytes:
    """Make DALI's `.idx` v1.2. Its count must be right: with a smaller one, DALI silently drops samples."""
    lines = [f"{DALI_VERSION} {len(samples)}"]
    lines += [" ".join(f"{e} {o} {s} {n}" for e, o, s, n in components) for components in samples]
    return ("\n".join(lines) + "\n").encode("ascii")


def read_dali_index(data: bytes) -> ShardIndex:
    """Inverse of `dali_index`, for samples of three members each.

    Raises:
        ValueError: the data is not such an index, or its count is wrong.
    """
    lines = data.decode("ascii").splitlines()
    if not lines or lines[0] != f"{DALI_VERSION} {len(lines) - 1}":
        raise ValueError(f"it begins with {lines[:1]}, expected {DALI_VERSION} {len(lines) - 1}")
    words = " ".join(lines[1:]).split(" ")
    step = WORDS * MEMBERS
    if len(words) != step * (len(lines) - 1):
        raise ValueError(f"it has {len(words)} words, expected {step} per line")
    columns = {words[at]: [words[at + 1 :: step], words[at + 2 :: step]] for at in range(0, step, WORDS)}
    try:
        spans = {extension: np.array(column, np.int64).T for extension, column in columns.items()}
    except OverflowError as error:
        raise ValueError("it has an offset or a size beyond 64 bits") from error
    if any(span.size and not 0 <= span.min() <= span.max() < MOST_BYTES for span in spans.values()):
        raise ValueError(f"it has an offset or a size outside 0 to {MOST_BYTES - 1}")
    return ShardIndex([name.partition(".")[0] for name in words[WORDS - 1 :: step]], spans)


def wids_index(name: str, shards: Sequence[ShardRecord]) -> bytes:
    """Make the `shardindex.json` of wids, sorted by url."""
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
    return encode_json(index)


def timm_index(splits: Mapping[str, object]) -> bytes:
    """Make the `_info.json` of timm from the `timm_split` of each split."""
    return encode_json({"splits": splits})


def timm_split(name: str, shards: Sequence[ShardRecord], folder: str = "") -> dict[str, object]:
    """One split in the `_info.json` of timm, which lies in `folder` or, like `train/`, in the folder above."""
    kept = [(shard.tar.name, shard.samples_images) for shard in shards if shard.tar]
    return {
        "name": name,
        "num_samples": sum(samples for _, samples in kept),
        "filenames": [folder + filename for filename, _ in kept],
        "shard_lengths": [samples for _, samples in kept],
    }
