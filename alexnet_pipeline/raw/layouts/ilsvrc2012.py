"""ILSVRC2012 as it was published: three archives, each of which may have been extracted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Answer, Claim, Near, Question, SplitFolders, split_folders, split_forms
from alexnet_pipeline.raw.devkit import META, Challenge, Devkit, read_devkit
from alexnet_pipeline.raw.forms import ClassFolders, Flat, Form, open_member
from alexnet_pipeline.raw.tree import DiskFolder, Folder
from alexnet_pipeline.storage.reading import exists

LOOKS_LIKE = "the original tars, or train/ and val/ extracted from them, with the devkit for the labels of val"
TREE = """\
ILSVRC2012/
  ILSVRC2012_img_train.tar      or train/n01440764/*.JPEG
  ILSVRC2012_img_val.tar        or val/ILSVRC2012_val_00000001.JPEG
  ILSVRC2012_devkit_t12.tar.gz  or ILSVRC2012_devkit_t12/"""
TRAIN_TAR = "ILSVRC2012_img_train.tar"
VAL_TAR = "ILSVRC2012_img_val.tar"
TARS = {"train": TRAIN_TAR, "val": VAL_TAR}
TEST_TARS = ("ILSVRC2012_img_test.tar", "ILSVRC2012_img_test_v10102019.tar")
DEVKIT = "ILSVRC2012_devkit_t12"
CHALLENGE = Challenge(2012)


def recognise(question: Question) -> Answer:
    """Claim a place with one of the original tars, or with the devkit beside split folders.

    Raises:
        RefusedError: a split is there twice, or has no labels.
    """
    root = question.root
    tars = {split: name for split, name in TARS.items() if name in root.names.files}
    devkit, devkit_name = find_devkit(root, DEVKIT, CHALLENGE)
    folders = split_folders(question, root)
    alone = None if tars or folders.by_class or folders.flat else _split_alone(question, devkit, devkit_name)
    if alone is not None:
        return alone
    if not tars and (devkit is None or not (folders.by_class or folders.flat)):
        return Near(f"the devkit is there, but neither {TRAIN_TAR} nor train/") if devkit else None
    unlabelled = dict.fromkeys(TEST_TARS, "no labels") | _replaced(question, folders, tars)
    if "test" in folders.flat and question.labels is None:
        unlabelled[folders.flat.pop("test").path] = "no labels"
    truth = {}
    if "val" in folders.flat and devkit and question.labels is None:
        truth["val"] = devkit_form(folders.flat["val"], devkit)
    forms, without = split_forms(question, folders, truth)
    read = {split: name for split, name in tars.items() if question.wants(split)}
    if "train" in read:
        forms["train"] = ClassFolders(open_member(root, TRAIN_TAR), allow=question.options.allow)
    if "val" in read:
        forms["val"] = _labelled(open_member(root, VAL_TAR), devkit)
    left_out = dict.fromkeys(tars.values(), "a split that is not wanted") | unlabelled | without
    evidence = [*tars.values(), *([devkit_name] if devkit_name else [])]
    claim = devkit_claim(evidence, forms, devkit)
    used = frozenset({*read.values(), *([devkit_name] if devkit_name else [])})
    return dataclasses.replace(claim, used=used, unlabelled=left_out)


def _split_alone(question: Question, devkit: Devkit | None, name: str) -> Claim | None:
    """A split's folder itself, with the devkit beside its classes or, if it is called train or val, beside it."""
    root = question.root
    here = root.file_path("")
    if devkit is None and here is not None and names.split_of(question.name):
        devkit, name = find_devkit(DiskFolder(here.resolve().parent), DEVKIT, CHALLENGE)
        name = f"../{name}"
    if devkit is None:
        return None
    if any(map(names.WNID.fullmatch, root.names.folders)):
        return devkit_claim([name], {question.only_split(): ClassFolders(root, allow=question.options.allow)}, devkit)
    if question.labels is None and names.number_of(next(iter(root.names.files), ""))[:2] == (CHALLENGE.year, "val"):
        return devkit_claim([name], {"val": devkit_form(root, devkit)}, devkit)
    return None


def devkit_claim(evidence: Sequence[str], forms: Mapping[str, Form], devkit: Devkit | None) -> Claim:
    """The claim of some splits, whose classes and words the devkit lists if there is one."""
    if devkit is None:
        return Claim(", ".join(evidence), forms)
    words = dict(zip(devkit.wnids, devkit.words, strict=True))
    return Claim(", ".join(evidence), forms, words, class_list=devkit.wnids, devkit_order=devkit.wnids)


def _replaced(question: Question, folders: SplitFolders, tars: Mapping[str, str]) -> dict[str, str]:
    """Take out the folders of splits whose tar is read; both at once need a choice."""
    replaced = {}
    for split, name in tars.items():
        if not question.wants(split):
            continue
        for found in (folders.by_class, folders.flat, folders.empty):
            folder = found.get(split)
            if folder is None:
                continue
            if not question.forced("ilsvrc2012"):
                raise RefusedError(
                    f"the split {split} is there twice, as {name} and as {folder.label()}; choose "
                    "`layout='ilsvrc2012'` to read the tar, or move the tar away to read the folder"
                )
            del found[split]
            replaced[folder.path] = f"{name} is read"
    return replaced


def find_devkit(root: Folder, name: str, challenge: Challenge) -> tuple[Devkit | None, str]:
    """Find the devkit in a folder, extracted or not, and its name there; not in an archive."""
    archive, folder = root.location(f"{name}.tar.gz"), root.location(name)
    if archive is None or folder is None:
        return None, ""
    if f"{name}.tar.gz" in root.names.files:
        return read_devkit(archive, challenge), archive.name
    if name in root.names.folders and exists(folder / META):
        return read_devkit(folder, challenge), name
    return None, ""


def _labelled(folder: Folder, devkit: Devkit | None) -> Form:
    if devkit is None:
        raise RefusedError(
            f"{folder.path} needs {DEVKIT}.tar.gz beside it for its labels; add that, or choose `split='train'`"
        )
    return devkit_form(folder, devkit)


def devkit_form(folder: Folder, devkit: Devkit) -> Flat:
    """The form of validation or test images whose labels the devkit has by their numbers.

    Raises:
        RefusedError: an image has a higher number than there are labels.
    """
    devkit.check_numbers(folder.names.files)
    return Flat(folder, devkit.class_of, devkit.wnids, devkit.path)
