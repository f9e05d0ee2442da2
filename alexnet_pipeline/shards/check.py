"""Checks of a data set's folder and of its method's folder against the manifests, without reading the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from alexnet_pipeline.dataset.index import TIMM, WIDS
from alexnet_pipeline.dataset.manifest import MANIFEST, MEAN, FileRecord, Manifest
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.shards.card import finished_splits, splits_index
from alexnet_pipeline.shards.names import is_companion, shard_prefix
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import blocks_of, exists, names_in, read_whole, status_of

# How all files but the tars are mended.
REINDEX = "; `reindex` rebuilds it from sound tars"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a file, with what was found and what was expected."""

    path: str
    text: str


def check_folder(folder: Location, manifest: Manifest) -> Iterator[Problem]:
    """The files beside the shards: missing, damaged, or not listed."""
    files = (*manifest.files, *(f for s in manifest.shards for f in (s.tar, s.idx) if f))
    listed = {MANIFEST, *(file.name for file in files)}
    try:
        folders, others = names_in(folder)
    except OSError as error:
        yield Problem(str(folder), f"cannot be listed ({error.strerror}), so what is in it was not checked")
        return
    for name in sorted((*folders, *others)):
        if name not in listed and not is_companion(name):
            yield Problem(str(folder / name), "is not in the manifest")
    if {file.name for file in manifest.files} != {WIDS, TIMM, MEAN}:
        yield Problem(str(folder / MANIFEST), f"lists other files than {WIDS}, {TIMM} and {MEAN}")
    for file in manifest.files:
        yield from check_file(folder, file, REINDEX)
    yield from _check_totals(folder, manifest)
    yield from _check_names(folder, manifest)


def check_file(folder: Location, file: FileRecord, hint: str = "") -> Iterator[Problem]:
    """A file's size and its sha256; the hint says how it is mended."""
    path = folder / file.name
    state = hashlib.sha256()
    try:
        size = status_of(path).size_bytes
        if size != file.size_bytes:
            yield Problem(str(path), f"has {size} bytes, the manifest says {file.size_bytes}{hint}")
            return
        for block in blocks_of(path):
            state.update(block)
    except OSError as error:
        yield Problem(str(path), f"cannot be read: {error.strerror}{hint}")
        return
    if state.hexdigest() != file.sha256:
        yield Problem(str(path), f"does not have the sha256 that the manifest says{hint}")


def check_splits_index(folder: Location) -> Iterator[Problem]:
    """The index of timm in a method's folder, if there is one, against the manifests of its splits.

    The card there is not checked, because it is the user's to edit.
    """
    path = folder / TIMM
    try:
        if exists(path) and read_whole(path) != splits_index(finished_splits(folder)):
            yield Problem(str(path), f"does not describe the finished splits beside it{REINDEX}")
    except OSError as error:
        yield Problem(str(path), f"cannot be read: {error.strerror}")


def _check_totals(folder: Location, manifest: Manifest) -> Iterator[Problem]:
    path = str(folder / MANIFEST)
    samples = sum(shard.samples_images for shard in manifest.shards)
    if samples != manifest.total_images or sum(manifest.class_totals_images) != samples:
        yield Problem(path, f"the totals say {manifest.total_images} images, the shards hold {samples}")
    if [shard.index for shard in manifest.shards] != list(range(len(manifest.shards))):
        yield Problem(path, "the shards are not numbered 0, 1, 2 ...")
    if len(manifest.class_totals_images) != len(manifest.classes):
        yield Problem(path, f"lists {len(manifest.classes)} classes, but {len(manifest.class_totals_images)} totals")
    if len(manifest.class_words) not in {0, len(manifest.classes)}:
        yield Problem(path, f"lists {len(manifest.classes)} classes, but words for {len(manifest.class_words)}")


def _check_names(folder: Location, manifest: Manifest) -> Iterator[Problem]:
    path = str(folder / MANIFEST)
    try:
        prefix = shard_prefix(manifest.options, manifest.split, manifest.format_version)
    except RefusedError as error:
        yield Problem(path, str(error))
        return
    for shard in manifest.shards:
        for file, suffix in ((shard.tar, ".tar"), (shard.idx, ".idx")):
            wanted = f"{prefix}-{shard.index:06d}{suffix}"
            if file and file.name != wanted:
                yield Problem(path, f"shard {shard.index} is named {file.name}, expected {wanted}")
