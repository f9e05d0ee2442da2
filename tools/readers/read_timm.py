"""Read shards with timm: `create_dataset` with the root of all splits, by `.cls` and by the label in `.json`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import numpy as np
import torch
from readings import Reading, Task, hash_pixels, write_readings


def import_torchvision() -> None:
    """Import torchvision, if need be without its compiled operators.

    timm imports it, and uses only its transforms of PIL images. Beside a build of torch that its operators were not
    compiled for (PyPI's torchvision beside a CPU build), importing it fails, unless the two operators exist for which
    it registers a Python version.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
        importlib.import_module("torchvision")


def read(task: Task) -> Iterator[Reading]:
    """Read every set in order and, as for training, shuffled; timm returns PIL images and labels, but no keys."""
    import_torchvision()
    from timm.data import create_dataset

    for way, options in {
        "wds/, label from .cls": {},
        "wds/, target_key label": {"target_key": "label"},
        "wds/, shuffled for training": {"target_key": "label", "is_training": True, "batch_size": 1},
    }.items():
        for folder in task.sets():
            method, split = folder.parent, folder.name
            for image, label in create_dataset("wds/", root=str(method), split=split, **options):
                yield Reading(way, method.name, split, label, pixels=hash_pixels(np.asarray(image)))


if __name__ == "__main__":
    write_readings(read)
