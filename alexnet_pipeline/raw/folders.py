"""Class folders: a folder per class, or split folders that hold them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.listing import Listing, ListingBuilder
from alexnet_pipeline.records import Reason

SPLIT_OF_FOLDER = {"train": "train", "val": "val", "validation": "val", "test": "test"}
# Files that file managers leave behind; they are ignored, as hidden files are.
CLUTTER = frozenset({"Thumbs.db", "desktop.ini"})


def find_splits(root: Path) -> dict[str, Path]:
    """Find the split folders: `train`, `val` and `test` if the root holds no other folders, else the root as train."""
    folders = [entry for entry in _visible(root) if entry.is_dir()]
    named = {SPLIT_OF_FOLDER[e.name]: Path(e.path) for e in folders if e.name in SPLIT_OF_FOLDER}
    if named and len(named) == len(folders) and all(_class_folders(path) for path in named.values()):
        return named
    return {"train": root} if folders else {}


def list_classes(splits: dict[str, Path]) -> tuple[str, ...]:
    """The class names of all splits, sorted."""
    return tuple(sorted({name for path in splits.values() for name in _class_folders(path)}))


def list_split(path: Path, split: str, classes: tuple[str, ...]) -> Listing:
    """List every file of every class folder, sorted by name.

    Raises:
        RefusedError: the folder cannot be read.
    """
    builder = ListingBuilder(split, classes)
    for wnid in _class_folders(path):
        for entry in sorted(_visible(path / wnid), key=lambda entry: entry.name):
            _add_file(builder, wnid, entry)
    return builder.build()


def _add_file(builder: ListingBuilder, wnid: str, entry: os.DirEntry[str]) -> None:
    name = f"{wnid}/{entry.name}"
    try:
        status = entry.stat()  # follows symbolic links, by which people make subsets of their data
    except OSError as error:
        builder.reject(name, Reason.UNREADABLE, error.strerror or str(error))
        return
    if stat.S_ISREG(status.st_mode):
        file = builder.add_file(entry.path)
        builder.add(wnid, name, file, 0, status.st_size, status.st_mtime_ns)
    else:
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "neither file nor folder"
        builder.reject(name, Reason.SPECIAL_MEMBER, found)


def _class_folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in _visible(path) if entry.is_dir())


def _visible(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from (e for e in entries if not e.name.startswith(".") and e.name not in CLUTTER)
    except OSError as error:
        raise RefusedError(f"cannot list {path}: {error.strerror}") from error
