"""Read shards with DALI on the CPU: `fn.readers.webdataset`, with the index files beside the shards and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nvidia.dali import fn, pipeline_def, types
from readings import Reading, Task, hash_bytes, hash_pixels, write_readings

BATCH_IMAGES = 16


def read(task: Task) -> Iterator[Reading]:
    """Read every set once; the encoded image, its label, its record and, but for arrays, the decoded pixels."""
    for way, indexed in (("readers.webdataset with .idx", True), ("readers.webdataset without .idx", False)):
        for folder in task.sets():
            yield from read_set(task, folder, way, indexed=indexed)


def read_set(task: Task, folder: Path, way: str, *, indexed: bool) -> Iterator[Reading]:
    """Read one epoch of a set; DALI repeats samples to fill the last batch, which are left out."""
    tars = sorted(folder.glob("*.tar"))
    names = {"paths": [str(path) for path in tars]}
    if indexed:
        names["index_paths"] = [str(path.with_suffix(".idx")) for path in tars]
    build = pipeline_def(graph, batch_size=BATCH_IMAGES, num_threads=2, device_id=None)
    pipeline = build(names, task.extension, prefetch_queue_depth=1)
    pipeline.build()
    remaining = pipeline.epoch_size("shards")
    while remaining > 0:
        outputs = pipeline.run()
        for position in range(min(BATCH_IMAGES, remaining)):
            image, label, record, pixels = (output.at(position) for output in outputs)
            yield Reading(
                way,
                folder.parent.name,
                folder.name,
                int(label.tobytes()),
                record=hash_bytes(record.tobytes()),
                image=hash_bytes(image.tobytes()),
                pixels=hash_pixels(pixels) if task.extension != "npy" else None,
            )
        remaining -= BATCH_IMAGES


def graph(names: dict[str, list[str]], extension: str) -> tuple[object, ...]:
    """The members of each sample, and its pixels."""
    image, label, record = fn.readers.webdataset(
        name="shards", ext=[extension, "cls", "json"], missing_component_behavior="error", **names
    )
    pixels = image if extension == "npy" else fn.decoders.image(image, device="cpu", output_type=types.RGB)
    return image, label, record, pixels


if __name__ == "__main__":
    write_readings(read)
