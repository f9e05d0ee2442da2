"""Read shards with Hugging Face's `datasets`: `load_dataset` of a method's folder, plain and streaming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from datasets import Image, load_dataset
from readings import Reading, Task, hash_bytes, hash_pixels, write_readings

# Our names of the splits, by those that `datasets` uses.
SPLITS = {"train": "train", "validation": "val", "test": "test"}


def read(task: Task) -> Iterator[Reading]:
    """Load every method's folder by its path alone, and read all splits that are found."""
    for way, streaming in (("load_dataset", False), ("load_dataset, streaming", True)):
        for method in task.methods():
            cache = str(task.scratch / "cache")
            for name, split in load_dataset(str(method), streaming=streaming, cache_dir=cache).items():
                classes = split.features["cls"].names
                for row, image in zip(split, images(split, task.extension), strict=True):
                    yield Reading(
                        way,
                        method.name,
                        SPLITS[name],
                        row["cls"],
                        key=row["__key__"],
                        wnid=classes[row["cls"]],
                        image=image,
                        pixels=hash_pixels(np.asarray(row[task.extension], np.uint8)),
                    )


def images(split: Any, extension: str) -> Iterator[str | None]:
    """Hashes of the encoded images; None where `datasets` keeps only pixels."""
    if extension == "npy":
        return (None for _ in split)
    return (hash_bytes(row[extension]["bytes"]) for row in split.cast_column(extension, Image(decode=False)))


if __name__ == "__main__":
    write_readings(read)
