"""The samples of a shard, from its tar alone."""

from __future__ import annotations

from collections.abc import Iterable

from alexnet_pipeline.dataset.index import Components
from alexnet_pipeline.raw.tarscan import Member, scan_tar
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import opened


def scan_samples(path: Location) -> tuple[list[Components], str]:
    """List the samples of a tar, and say what is wrong with it; "" if nothing is.

    Raises:
        OSError: it cannot be read.
    """
    with opened(path) as file:
        members = list(scan_tar(file.pread, 0, file.size_bytes))
    bad = next((member for member in members if member.kind != "file"), None)
    return _grouped(members), f"is not a sound tar: {bad.name}" if bad else ""


def _grouped(members: Iterable[Member]) -> list[Components]:
    samples: list[Components] = []
    key = None
    for member in members:
        if member.kind == "file":
            stem, _, extension = member.name.partition(".")
            if stem != key:
                samples.append([])
                key = stem
            samples[-1].append((extension, member.offset, member.size_bytes, member.name))
    return samples
