"""Read shards with Ray Data: `read_webdataset`, with its own decoder and without."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

from readings import Reading, Task, hash_bytes, hash_pixels, write_readings

WAYS = {"read_webdataset, the bytes": None, "read_webdataset, its own decoder": True}


def read(task: Task) -> Iterator[Reading]:
    """Read every set as it is stored and as Ray decodes it."""
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    import ray

    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    for way, decoder in WAYS.items():
        for folder in task.sets():
            paths = [str(path) for path in sorted(folder.glob("*.tar"))]
            for row in ray.data.read_webdataset(paths, decoder=decoder).iter_rows():
                yield Reading(
                    way,
                    folder.parent.name,
                    folder.name,
                    int(row["cls"]),
                    key=row["__key__"],
                    **hashes(row[task.extension]),
                )
    ray.shutdown()


def hashes(image: Any) -> dict[str, str]:
    """The hash of an image, decoded or as bytes."""
    return {"image": hash_bytes(image)} if isinstance(image, bytes) else {"pixels": hash_pixels(image)}


if __name__ == "__main__":
    write_readings(read)
