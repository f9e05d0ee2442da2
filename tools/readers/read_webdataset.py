"""Read shards with webdataset: over HTTP through one cache for all methods, then from that cache alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import webdataset
from readings import Reading, Task, hash_bytes, hash_pixels, serving, write_readings


def read(task: Task) -> Iterator[Reading]:
    """Read every set twice; in between, the server stops."""
    with serving(task.shards) as url:
        for folder in task.sets():
            yield from read_set(task, folder, url, "over HTTP, one cache for both methods")
    for folder in task.sets():
        yield from read_set(task, folder, url, "from that cache, with the server stopped")


def read_set(task: Task, folder: Path, url: str, way: str) -> Iterator[Reading]:
    """Read the tars of one set; webdataset decodes labels and arrays, and leaves JPEG and PNG as they are."""
    urls = [f"{url}/{path.relative_to(task.shards)}" for path in sorted(folder.glob("*.tar"))]
    for sample in webdataset.WebDataset(urls, cache_dir=str(task.scratch), shardshuffle=False).decode():
        image = sample[task.extension]
        yield Reading(
            way,
            folder.parent.name,
            folder.name,
            sample["cls"],
            key=sample["__key__"],
            wnid=sample["json"]["wnid"],
            **{"image": hash_bytes(image)} if isinstance(image, bytes) else {"pixels": hash_pixels(image)},
        )


if __name__ == "__main__":
    write_readings(read)
