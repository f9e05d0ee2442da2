"""Class folders: a folder for each class, at the top or in split folders."""

from __future__ import annotations

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import (
    Answer,
    Claim,
    Near,
    Question,
    SplitFolders,
    holds_images,
    split_folders,
    split_forms,
)
from alexnet_pipeline.raw.forms import ClassFolders, Form, has_class_tars
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.text import counted

LOOKS_LIKE = "a folder for each class, at the top or in train/ and val/ (valid/, validation/), test/, in any case"
TREE = """\
imagenet/
  train/n01440764/n01440764_10026.JPEG
  val/n01440764/ILSVRC2012_val_00000293.JPEG"""
TABLES = frozenset({".csv", ".tsv", ".json", ".txt"})


def recognise(question: Question) -> Answer:
    """Claim a place whose folders hold images, or whose split folders hold such folders.

    Raises:
        RefusedError: it is this layout, but a split or a folder cannot be read without a wrong guess.
    """
    folders = split_folders(question, question.root)
    if (
        folders.by_class
        and not question.forced("class-folders")
        and any(map(has_class_tars, folders.by_class.values()))
    ):
        return None
    if folders.by_class:
        return _splits(question, folders)
    return _classes(question, folders)


def _splits(question: Question, folders: SplitFolders) -> Answer:
    alike = len({folder.names.folders for folder in folders.by_class.values()}) == 1 < len(folders.by_class)
    for folder in folders.by_class.values():
        lacks = _lacks(question, folder, classes=alike)
        if lacks:
            return Near(lacks)
    extra = [name for name in folders.others if holds_images(question.root.folder(name))]
    if extra and not question.splits:
        found = "/, ".join(folder.path for folder in folders.by_class.values())
        raise RefusedError(
            f"{question.name} holds the split folders {found}/ and besides them images in {names.first_names(extra)}; "
            "move what does not belong to it, or name the splits to write with `split`"
        )
    forms, unlabelled = split_forms(question, folders, {})
    where = ", ".join(form.taken()[0] + "/" for form in forms.values())
    return Claim(f"class folders in {where}", forms, unlabelled=unlabelled)


def _classes(question: Question, folders: SplitFolders) -> Answer:
    root = question.root
    listed = root.names
    if not listed.folders and not listed.broken:
        return None
    forced = question.forced("class-folders")
    if has_class_tars(root) and not forced:
        return None
    if folders.flat and not folders.others and not forced:
        return None  # flat split folders are the layout `flat`
    lacks = _lacks(question, root)
    if lacks:
        return Near(lacks)
    tables = [name for name in listed.files if names.suffix_of(name) in TABLES and not _is_note(name)]
    if len(listed.folders) == 1 and not listed.broken and tables and not forced:
        return Near(
            f"{listed.folders[0]}/ beside {names.first_names(tables)} would be the only class; if it is one, choose "
            "`layout='class-folders'`, else name the table of its labels with `labels`"
        )
    return Claim(counted(len(listed.folders), "class folder"), {question.only_split(): _form(question, root)})


def _form(question: Question, root: Folder) -> Form:
    return ClassFolders(root, allow=question.options.allow)


def _lacks(question: Question, folder: Folder, *, classes: bool = False) -> str:
    """What keeps a folder from being one of class folders; empty if nothing does.

    With `classes`, its folders are known to be classes, because every split has them.
    """
    if not folder.names.folders:
        return "" if folder.names.broken else f"{folder.label()} holds no folders"
    parts = [] if classes or question.forced("class-folders") else names.parts_among(folder.names.folders)
    if parts:
        return (
            f"{names.first_names(map(folder.join, parts))} may be parts of a data set rather than classes; name the "
            "folder that holds train/ and val/ or the one that holds the classes, give labels with `labels`, or choose "
            "`layout='class-folders'` if they are classes"
        )
    found = {name: folder.folder(name).glance() for name in folder.names.folders}
    only_folders = [name for name, each in found.items() if each.folders and not each.files]
    if only_folders and not any(each.images for each in found.values()):
        inner = folder.folder(only_folders[0]).names.folders
        what = "a data set" if any(map(names.is_part, inner)) else "the classes"
        return (
            f"{folder.join(only_folders[0])} holds only folders ({names.first_names(inner)}), no images; if these are "
            f"{what}, name {folder.join(only_folders[0])}/ as the source"
        )
    if any(each.images for each in found.values()):
        return ""
    inside = next((name for name in folder.names.folders if _holds_a_set(folder.folder(name))), None)
    hint = f", but {folder.join(inside)}/ holds a data set: name it as the source" if inside else ""
    return f"none of its folders holds images{hint}"


def _holds_a_set(folder: Folder) -> bool:
    listed = folder.names
    return any(map(names.split_of, listed.folders)) or any(
        names.suffix_of(name) in names.ARCHIVES for name in listed.files
    )


def _is_note(name: str) -> bool:
    return name.lower().startswith(("readme", "license", "licence"))
