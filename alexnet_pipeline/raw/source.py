"""Recognise the layout of a source, and list it with the module for that layout."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import folders, ilsvrc
from alexnet_pipeline.raw.devkit import Devkit, read_devkit
from alexnet_pipeline.raw.listing import Listing
from alexnet_pipeline.records import LabelOrder


@dataclass(frozen=True, slots=True)
class Source:
    """A recognised source.

    Attributes:
        layout: `class folders` or `ILSVRC2012`.
        classes: class names in label order.
        splits: for each split of the source, the function that lists it.
    """

    layout: str
    classes: tuple[str, ...]
    splits: dict[str, Callable[[], Listing]]

    def listings(self, wanted: Sequence[str] = ()) -> list[Listing]:
        """List the wanted splits, or all.

        Raises:
            RefusedError: a wanted split is missing, or holds no images.
        """
        missing = [split for split in wanted if split not in self.splits]
        if missing:
            raise RefusedError(f"the source has no split {missing[0]!r}; it has {', '.join(self.splits)}")
        listings = [self.splits[split]() for split in wanted or self.splits]
        empty = [listing.split for listing in listings if not len(listing)]
        if empty:
            raise RefusedError(f"no images found in the split {empty[0]!r}")
        return listings


def open_source(path: Path, label_order: LabelOrder = "wnid") -> Source:
    """Recognise the layout of a source.

    Raises:
        RefusedError: the path has no known layout, or the label order needs a devkit that is missing.
    """
    if not path.exists():
        raise RefusedError(f"{path}: no such file or directory")
    if not path.is_dir():
        raise RefusedError(f"{path} is a file; expected a folder that holds class folders or the tars of ILSVRC2012")
    devkit = read_devkit(path / ilsvrc.DEVKIT) if (path / ilsvrc.DEVKIT).exists() else None
    if label_order == "devkit" and devkit is None:
        raise RefusedError(f"`label_order='devkit'` needs {ilsvrc.DEVKIT} in {path}")
    if (path / ilsvrc.TRAIN_TAR).exists() or (path / ilsvrc.VAL_TAR).exists():
        return _ilsvrc(path, devkit, label_order)
    splits = folders.find_splits(path)
    if not splits:
        raise RefusedError(f"{path} holds neither class folders nor {ilsvrc.TRAIN_TAR} or {ilsvrc.VAL_TAR}")
    classes = _in_order(folders.list_classes(splits), devkit, label_order)
    return Source(
        "class folders",
        classes,
        {split: functools.partial(folders.list_split, splits[split], split, classes) for split in sorted(splits)},
    )


def _ilsvrc(path: Path, devkit: Devkit | None, label_order: LabelOrder) -> Source:
    train, val = path / ilsvrc.TRAIN_TAR, path / ilsvrc.VAL_TAR
    names = set(ilsvrc.train_classes(train)) if train.exists() else set()
    if devkit is not None:
        names |= set(devkit.validation_wnids())
    classes = _in_order(tuple(sorted(names)), devkit, label_order)
    splits: dict[str, Callable[[], Listing]] = {}
    if train.exists():
        splits["train"] = functools.partial(ilsvrc.list_train, train, classes)
    if val.exists() and devkit is None:
        splits["val"] = functools.partial(_refuse_unlabelled, val)
    elif val.exists() and devkit is not None:
        splits["val"] = functools.partial(ilsvrc.list_val, val, classes, devkit.validation_wnids())
    return Source("ILSVRC2012", classes, splits)


def _in_order(names: tuple[str, ...], devkit: Devkit | None, label_order: LabelOrder) -> tuple[str, ...]:
    if label_order == "wnid" or devkit is None:
        return names
    rank = {wnid: number for number, wnid in enumerate(devkit.wnids)}
    unknown = [name for name in names if name not in rank]
    if unknown:
        raise RefusedError(f"class {unknown[0]!r} is not in the devkit; use `label_order='wnid'`")
    return tuple(sorted(names, key=rank.__getitem__))


def _refuse_unlabelled(val: Path) -> Listing:
    raise RefusedError(f"{val} needs {ilsvrc.DEVKIT} beside it for its labels; add that, or choose `split='train'`")
