"""Checks of a data set's folder and of its method's folder against the manifests, without reading the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alexnet_pipeline.dataset.index import TIMM, WIDS
from alexnet_pipeline.dataset.manifest import MANIFEST, MEAN, FileRecord, Manifest
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import read_whole
from alexnet_pipeline.shards.card import finished_splits, splits_index
from alexnet_pipeline.shards.names import is_companion, shard_prefix

READ_BYTES = 1 << 20
# How all files but the tars are mended.
REINDEX = "; `reindex` rebuilds it from sound tars"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a file, with what was found and what was expected."""

    path: str
    text: str


def check_folder(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """The files beside the shards: missing, damaged, or not listed."""
    files = (*manifest.files, *(f for s in manifest.shards for f in (s.tar, s.idx) if f))
    listed = {MANIFEST, *(file.name for file in files)}
    for path in sorted(folder.iterdir()):
        if path.name not in listed and not is_companion(path.name):
            yield Problem(str(path), "is not in the manifest")
    if {file.name for file in manifest.files} != {WIDS, TIMM, MEAN}:
        yield Problem(str(folder / MANIFEST), f"lists other files than {WIDS}, {TIMM} and {MEAN}")
    for file in manifest.files:
        yield from check_file(folder, file, REINDEX)
    yield from _check_totals(folder, manifest)
    yield from _check_names(folder, manifest)


def check_file(folder: Path, file: FileRecord, hint: str = "") -> Iterator[Problem]:
    """A file's size and its sha256; the hint says how it is mended."""
    path = folder / file.name
    state = hashlib.sha256()
    try:
        size = path.stat().st_size
        if size != file.size_bytes:
            yield Problem(str(path), f"has {size} bytes, the manifest says {file.size_bytes}{hint}")
            return
        with path.open("rb") as handle:
            while block := handle.read(READ_BYTES):
                state.update(block)
    except OSError as error:
        yield Problem(str(path), f"cannot be read: {error.strerror}{hint}")
        return
    if state.hexdigest() != file.sha256:
        yield Problem(str(path), f"does not have the sha256 that the manifest says{hint}")


def check_splits_index(folder: Path) -> Iterator[Problem]:
    """The index of timm in a method's folder, if there is one, against the manifests of its splits.

    The card there is not checked, because it is the user's to edit.
    """
    path = folder / TIMM
    try:
        if path.exists() and read_whole(path) != splits_index(finished_splits(folder)):
            yield Problem(str(path), f"does not describe the finished splits beside it{REINDEX}")
    except OSError as error:
        yield Problem(str(path), f"cannot be read: {error.strerror}")


def _check_totals(folder: Path, manifest: Manifest) -> Iterator[Problem]:
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


def _check_names(folder: Path, manifest: Manifest) -> Iterator[Problem]:
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
