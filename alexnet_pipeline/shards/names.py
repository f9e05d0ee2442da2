"""Names of the files in a data set's folder: those that are written here, and those of other tools."""

from __future__ import annotations

import re

from alexnet_pipeline.dataset.manifest import FIRST_VERSION, FORMAT_VERSION
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import SetOptions

STATE = ".state"
# Files that other tools keep beside shards: WebDataset indexes and Energon's folder, and what `datasets` once wrote.
_COMPANIONS = re.compile(r".+\.tar\.idx|\.nv-meta|dataset_infos\.json")


def shard_prefix(options: SetOptions, split: str, version: int = FORMAT_VERSION) -> str:
    """The start of the names of a data set's shards, which `-%06d.tar` follows.

    It has the method because webdataset's cache and wids know shards by their base names: without it, the shards of two
    methods were mixed up.

    Raises:
        RefusedError: this release does not know the method.
    """
    if version == FIRST_VERSION:
        return f"{options.name}-{split}"
    return f"{options.name}-{find_method(options.method).directory}-{split}"


def is_companion(name: str) -> bool:
    """Whether an entry of a data set's folder belongs to another tool, or is the state of the run that wrote it."""
    return name == STATE or bool(_COMPANIONS.fullmatch(name))
