"""Write one set of pictures as every layout that the program reads; each writer returns the path to give to it.

The same pictures always give the same bytes. A layout without labels for test has no test pictures, unless its writer
says otherwise. The writers of ImageNet's own layouts and of other libraries' data sets are in modules beside this one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from tests.raw.layouts_imagenet import (
    ilsvrc2010,
    ilsvrc2012,
    ilsvrc2012_mixed,
    kaggle_folder,
    kaggle_zip,
    kaggle_zip_of_tar_gz,
    put_devkit,
    tiny_imagenet,
)
from tests.raw.layouts_pictures import (
    APPLE_DOUBLE,
    DS_STORE,
    Member,
    Picture,
    members_below,
    of_split,
    pictures,
    put,
    put_classes,
    put_clutter,
    put_flat,
    real_pictures,
    tar_gz_of,
    tar_of,
    tar_of_class,
    wnids_of,
    words,
    zip_of,
)
from tests.raw.layouts_records import hf_archives, hf_files, hf_name, parquet, tfrecord, webdataset

__all__ = [
    "Picture",
    "class_folders",
    "class_folders_capitals",
    "class_folders_one",
    "class_folders_valid",
    "digits",
    "flat_labels",
    "flat_val_devkit",
    "half_extracted",
    "hf_archives",
    "hf_files",
    "hf_name",
    "ilsvrc2010",
    "ilsvrc2012",
    "ilsvrc2012_mixed",
    "imagenet21k",
    "imagenet_r",
    "kaggle_folder",
    "kaggle_zip",
    "kaggle_zip_of_tar_gz",
    "of_split",
    "parquet",
    "pictures",
    "plain_tar",
    "plain_tar_gz",
    "plain_zip",
    "real_pictures",
    "tfrecord",
    "tiny_imagenet",
    "webdataset",
    "wnid_tars",
    "wnid_tars_split",
    "wnids_of",
    "words",
]

Writer = Callable[[Path, Sequence[Picture]], Path]
LabelsForm = Literal["csv", "csv_plain", "tsv", "txt", "json"]


def class_folders(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write `train/` and `val/` with a folder for each class, and `test/` of the test pictures with a class."""
    return _split_folders(root, pictures, {"train": "train", "val": "val", "test": "test"})


def class_folders_valid(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write `train/`, `valid/` and `test/` with a folder for each class."""
    return _split_folders(root, pictures, {"train": "train", "val": "valid", "test": "test"})


def class_folders_capitals(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write `Train/`, `Validation/` and `Test/` with a folder for each class."""
    return _split_folders(root, pictures, {"train": "Train", "val": "Validation", "test": "Test"})


def _split_folders(root: Path, pictures: Sequence[Picture], names: dict[str, str]) -> Path:
    labelled = [picture for picture in pictures if picture.wnid]
    for split, name in names.items():
        put_classes(root / name, of_split(labelled, split))
    put(root / ".DS_Store", DS_STORE)
    put_clutter(root / names["train"], of_split(labelled, "train"))
    return root


def class_folders_one(root: Path, pictures: Sequence[Picture], split: str = "train") -> Path:
    """Write one split as a folder for each class, without a folder for the split."""
    put_classes(root, of_split(pictures, split))
    put_clutter(root, of_split(pictures, split))
    return root


def digits(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write `train/` and `val/` whose class folders are named 0, 1, 2 ... in the order of the wnids."""
    wnids = wnids_of(pictures)
    for picture in pictures:
        if picture.wnid:
            put(root / picture.split / str(wnids.index(picture.wnid)) / picture.file, picture.data)
    put(root / "train" / "0" / ".DS_Store", DS_STORE)
    return root


def flat_val_devkit(root: Path, pictures: Sequence[Picture], extracted: bool = False) -> Path:
    """Write class folders in `train/`, a flat `val/`, and the devkit as its archive or extracted."""
    put_classes(root / "train", of_split(pictures, "train"))
    put_clutter(root / "train", of_split(pictures, "train"))
    _put_flat_val(root, pictures, extracted)
    return root


def _put_flat_val(root: Path, pictures: Sequence[Picture], extracted: bool = False) -> None:
    put_flat(root / "val", of_split(pictures, "val"))
    put(root / "val" / ".DS_Store", DS_STORE)
    put_devkit(root, pictures, extracted=extracted)


def flat_labels(
    root: Path, pictures: Sequence[Picture], form: LabelsForm = "csv", split: str = "val"
) -> tuple[Path, Path]:
    """Write the pictures of one split into one folder, and their labels into a file; return both paths.

    `csv_plain` is CSV without a header. The lines are not in the order of the file names.
    """
    chosen = of_split(pictures, split)
    put_flat(root / "pictures", chosen)
    put(root / "pictures" / ".DS_Store", DS_STORE)
    pairs = [(picture.file, picture.wnid) for picture in (*chosen[1::2], *chosen[::2])]
    if form == "json":
        text = json.dumps(dict(pairs))
    else:
        separator = {"tsv": "\t", "txt": " "}.get(form, ",")
        header = [("file", "class")] if form in {"csv", "tsv"} else []
        text = "".join(f"{file}{separator}{name}\n" for file, name in (*header, *pairs))
    labels = root / f"labels.{form.removesuffix('_plain')}"
    put(labels, text)
    return root / "pictures", labels


def wnid_tars(root: Path, pictures: Sequence[Picture], split: str = "train") -> Path:
    """Write one split as a folder of archives, one for each class."""
    chosen = of_split(pictures, split)
    for wnid in wnids_of(chosen):
        put(root / f"{wnid}.tar", tar_of_class(chosen, wnid))
    put(root / ".DS_Store", DS_STORE)
    return root


def wnid_tars_split(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write `train/` of archives, one for each class, beside a flat `val/` and the devkit."""
    wnid_tars(root / "train", pictures)
    _put_flat_val(root, pictures)
    return root


def half_extracted(root: Path, pictures: Sequence[Picture]) -> Path:
    """The same, but every second archive is extracted into its folder and removed."""
    wnid_tars_split(root, pictures)
    train = of_split(pictures, "train")
    for wnid in wnids_of(train)[::2]:
        (root / "train" / f"{wnid}.tar").unlink()
        put_classes(root / "train", [picture for picture in train if picture.wnid == wnid])
    return root


def imagenet21k(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write the train pictures as ImageNet-21k's folder of archives, one for each class."""
    return wnid_tars(root / "winter21_whole", pictures)


def imagenet_r(root: Path, pictures: Sequence[Picture], split: str = "val") -> Path:
    """Write every second class of one split as ImageNet-R's class folders."""
    chosen = of_split(pictures, split)
    kept = set(wnids_of(chosen)[1::2])
    put_classes(root / "imagenet-r", [picture for picture in chosen if picture.wnid in kept])
    put(root / "imagenet-r" / "README.txt", "".join(f"{wnid} {words(wnid)}\n" for wnid in sorted(kept)))
    return root / "imagenet-r"


def plain_tar(root: Path, pictures: Sequence[Picture], inner: Writer = class_folders) -> Path:
    """Write another layout as one tar with one top-level folder."""
    put(root / "imagenet.tar", tar_of(_members(root, pictures, inner)))
    return root / "imagenet.tar"


def plain_tar_gz(root: Path, pictures: Sequence[Picture], inner: Writer = class_folders) -> Path:
    """The same, compressed with gzip (to be refused)."""
    put(root / "imagenet.tar.gz", tar_gz_of(_members(root, pictures, inner)))
    return root / "imagenet.tar.gz"


def plain_zip(root: Path, pictures: Sequence[Picture], deflated: bool = False, inner: Writer = class_folders) -> Path:
    """Write another layout as one zip with one top-level folder, and `__MACOSX` beside it as macOS makes it."""
    members = [*_members(root, pictures, inner), ("__MACOSX", None), ("__MACOSX/._imagenet", APPLE_DOUBLE)]
    put(root / "imagenet.zip", zip_of(members, deflated))
    return root / "imagenet.zip"


def _members(root: Path, pictures: Sequence[Picture], inner: Writer) -> list[Member]:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        return members_below(inner(Path(folder), pictures), "imagenet")
