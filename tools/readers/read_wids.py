"""Read shards with wids by their `shardindex.json`: over HTTP through one cache for all methods, and from disk."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import wids
from readings import Reading, Task, hash_bytes, hash_pixels, serving, write_readings
from wids.wids_decode import default_decoder


def read(task: Task) -> Iterator[Reading]:
    """Read every set as it is stored, over HTTP, and as wids decodes it, from disk."""
    with serving(task.shards) as url:
        for folder in task.sets():
            root = f"{url}/{folder.relative_to(task.shards)}"
            yield from read_set(task, folder, root, "http", "over HTTP, one cache for both methods", [])
    for folder in task.sets():
        decode = [partial(default_decoder, format="PIL")]
        yield from read_set(task, folder, str(folder), "files", "from disk, its own decoder", decode)


def read_set(task: Task, folder: Path, root: str, cache: str, way: str, transformations: list) -> Iterator[Reading]:
    """Read a set by positions, from the last to the first."""
    shards = wids.ShardListDataset(
        f"{root}/shardindex.json", cache_dir=str(task.scratch / cache), transformations=transformations, keep=True
    )
    for position in reversed(range(len(shards))):
        sample = shards[position]
        yield Reading(
            way,
            folder.parent.name,
            folder.name,
            number(sample[".cls"]),
            key=sample["__key__"],
            **hashes(sample[f".{task.extension}"]),
        )
    shards.close()


def number(label: Any) -> int:
    """The label, decoded or as a stream."""
    return label if isinstance(label, int) else int(label.read())


def hashes(image: Any) -> dict[str, str]:
    """The hash of an image, decoded or as a stream."""
    if isinstance(image, io.IOBase):
        return {"image": hash_bytes(image.read())}
    return {"pixels": hash_pixels(np.asarray(image))}


if __name__ == "__main__":
    write_readings(read)
