"""Read shards with Megatron-Energon, after `energon prepare` and `energon lint`, which must find nothing.

A method's folder is prepared as one data set with all splits, then each split as a data set of its own. This leaves
`.nv-meta/` in these folders, and `*.tar.idx` beside the tars.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from megatron.energon import DefaultTaskEncoder, SampleDecoder, WorkerConfig, get_loader, get_val_dataset
from readings import Reading, Task, hash_bytes, hash_pixels, write_readings

ENERGON = Path(sys.executable).with_name("energon")


class Stored(DefaultTaskEncoder):
    """Samples as they are stored."""

    decoder = None


class Decoded(DefaultTaskEncoder):
    """Samples as Energon decodes them, with images as uint8 HWC instead of float tensors."""

    decoder = SampleDecoder(image_decode="rgb8")


def read(task: Task) -> Iterator[Reading]:
    """Prepare, check and read every method's folder as it is decoded, and every split's as it is stored."""
    for method in task.methods():
        splits = [folder.name for folder in task.sets() if folder.parent == method]
        prepare(method, {split: f"{split}/.*" for split in splits}, task.extension)
        for split in splits:
            yield from read_split(method, method, split, Decoded(), "METHOD/ after prepare and lint, its own decoder")
        for split in splits:
            prepare(method / split, {split: ".*"}, task.extension)
            yield from read_split(method / split, method, split, Stored(), "METHOD/SPLIT/ after prepare and lint")


def prepare(folder: Path, splits: dict[str, str], extension: str) -> None:
    """Prepare a folder for image classification, and check the result, which fails if there is a fault."""
    fields = {"image": extension, "label": "cls"}
    parts = [word for split, pattern in splits.items() for word in ("--split-parts", f"{split}:{pattern}")]
    sample = ["--sample-type", "ImageClassificationSample", "--field-map", json.dumps(fields)]
    options = ["--non-interactive", "--force-overwrite", "--no-progress", "--num-workers", "2"]
    subprocess.run([str(ENERGON), "prepare", str(folder), *options, *parts, *sample], check=True)
    # By default, `lint` wants a test split.
    subprocess.run([str(ENERGON), "lint", str(folder), "--split-parts", ",".join(splits)], check=True)


def read_split(folder: Path, method: Path, split: str, encoder: DefaultTaskEncoder, way: str) -> Iterator[Reading]:
    """Read every sample of a split of a prepared folder, once and in order."""
    workers = WorkerConfig(rank=0, world_size=1, num_workers=0)
    samples = get_val_dataset(folder, split_part=split, worker_config=workers, batch_size=None, task_encoder=encoder)
    for sample in get_loader(samples):
        image = sample.image
        yield Reading(
            way,
            method.name,
            split,
            int(sample.label),
            key=sample.__key__,
            **{"image": hash_bytes(image)} if isinstance(image, bytes) else {"pixels": hash_pixels(image)},
        )


if __name__ == "__main__":
    write_readings(read)
