"""What a layout says of a place: that it recognises it and by what, or how near it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.forms import ClassFolders, Flat, Form, has_class_tars
from alexnet_pipeline.raw.labels import Labels, read_text
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.tree import DiskFolder, Folder

# Folders above a source that are looked into: val/, CLS-LOC/, Data/ and ILSVRC/ lie below Kaggle's tables.
PARENTS = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What a layout is asked.

    Attributes:
        root: the source.
        options: the options of the user.
        splits: the splits that the user wants; empty for all.
        name: name of the source's folder or file.
        labels: the table of labels that the user gave.
    """

    root: Folder
    options: SourceOptions
    splits: tuple[str, ...] = ()
    name: str = ""
    labels: Labels | None = None

    def wants(self, split: str) -> bool:
        """Whether a split is wanted."""
        return not self.splits or split in self.splits

    def forced(self, layout: str) -> bool:
        """Whether the user named this layout."""
        return self.options.layout == layout

    def only_split(self) -> str:
        """The split of a source without split folders: the one that the user or the source's name says, else train.

        Raises:
            RefusedError: the user and the name say different ones.
        """
        stem = self.name.removesuffix(".tar").removesuffix(".zip")
        named = names.split_in(stem) if names.is_part(stem) else None
        if len(self.splits) == 1 and named not in {None, self.splits[0]}:
            raise RefusedError(f"the source is called {self.name}, which is no {self.splits[0]}; leave `split` out")
        return self.splits[0] if len(self.splits) == 1 else named or "train"


@dataclass(frozen=True, slots=True)
class Claim:
    """A layout recognises a source.

    Attributes:
        evidence: what it was recognised by, in words.
        splits: how the images of each split lie.
        words: words of classes, by class.
        class_list: the classes that the source itself lists; they define the labels, and a split may lack some of them.
        order: class names in label order, where the source has numeric labels.
        devkit_order: class names in the order of a devkit, where there is one.
        used: paths of the files that were read for labels, from the source.
        unlabelled: paths of folders and files with images that are left out, and why.
        ignored: images that are left out and do not lie in files of their own, by (what, why).
        notes: oddities that a user should know of.
        complete: reads what takes long, once no other layout claims the source; its claim has all but the evidence.
    """

    evidence: str
    splits: Mapping[str, Form]
    words: Mapping[str, str] = field(default_factory=dict)
    class_list: tuple[str, ...] | None = None
    order: tuple[str, ...] | None = None
    devkit_order: tuple[str, ...] | None = None
    used: frozenset[str] = frozenset()
    unlabelled: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[tuple[str, str], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    complete: Callable[[], Claim] | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """A layout comes near: what it found, and what it lacks."""

    lacks: str


Answer = Claim | Near | None


@dataclass(frozen=True, slots=True)
class SplitFolders:
    """The split folders of a place.

    Attributes:
        by_class: those that hold class folders or tars, by split.
        flat: those that hold images themselves, by split.
        empty: those that hold nothing.
        others: folders that are none of these.
    """

    by_class: dict[str, Folder]
    flat: dict[str, Folder]
    empty: dict[str, Folder]
    others: tuple[str, ...]


def split_folders(question: Question, place: Folder) -> SplitFolders:
    """Sort the folders of a place by what they are.

    Raises:
        RefusedError: a wanted split is two folders, such as `val` and `validation`, or a link that leads nowhere.
    """
    found: dict[str, str] = {}
    for name in place.names.broken:
        split = names.split_of(name)
        if split and question.wants(split):
            raise RefusedError(f"{place.join(name)} is a split, but leads nowhere; mend it or remove it")
    for name in place.names.folders:
        split = names.split_of(name)
        if split is None:
            continue
        if split in found and question.wants(split):
            raise RefusedError(
                f"{place.join(found[split])}/ and {place.join(name)}/ are both the split {split}; keep one of them"
            )
        found[split] = name
    others = tuple(name for name in place.names.folders if name not in found.values())
    sorted_out = SplitFolders({}, {}, {}, others)
    for split, name in found.items():
        folder = place.folder(name)
        if len(folder.names.folders) == 1 and names.is_part(folder.names.folders[0]) and not folder.glance().images:
            folder = folder.folder(folder.names.folders[0])  # test/images/
        inner = folder.names
        images = sum(map(names.looks_like_image, inner.files))
        links = [each for each in inner.broken if not names.looks_like_image(each)]
        if has_class_tars(folder) or (images <= len(inner.folders) and (inner.folders or links)):
            sorted_out.by_class[split] = folder
        elif any(map(names.may_be_image, inner.files)):
            sorted_out.flat[split] = folder
        else:
            sorted_out.empty[split] = folder
    return sorted_out


def split_forms(
    question: Question, folders: SplitFolders, truth: Mapping[str, Flat]
) -> tuple[dict[str, Form], dict[str, str]]:
    """How the images of split folders lie, and the folders that are left out with the reason.

    Args:
        question: what is asked.
        folders: the split folders.
        truth: forms of flat folders whose labels are known, by split.

    Raises:
        RefusedError: a wanted split is flat and has no labels, or is empty.
    """
    allow = question.options.allow
    forms: dict[str, Form] = {split: ClassFolders(folder, allow=allow) for split, folder in folders.by_class.items()}
    labels = question.labels
    # A table that lies in a split's folder is about that split.
    owners = [folder for folder in folders.flat.values() if labels and labels.lies_in(folder)]
    unlabelled: dict[str, str] = {}
    refused = []
    for split, folder in folders.flat.items():
        if split in truth:
            forms[split] = truth[split]
        elif labels and (folder in owners or not owners) and (found := flat_form(folder, labels)):
            forms[split] = found
        elif question.wants(split):
            refused.append(folder)
        unlabelled |= {} if split in forms else {folder.path: "no labels"}
    empty = [folder for split, folder in folders.empty.items() if question.wants(split)]
    if empty:
        raise RefusedError(f"{empty[0].label()} holds no images; remove it, or name the splits to write with `split`")
    if refused:
        _refuse_unlabelled(refused, forms)
    if labels:
        wanted = [each for split, each in folders.flat.items() if split not in truth and question.wants(split)]
        labels.check_ambiguous(wanted)
    return forms, unlabelled


def flat_form(folder: Folder, labels: Labels) -> Flat | None:
    """The form of a flat folder with labels of a table; None if the table has none of its files."""
    mine = labels.of_folder(folder)
    if mine is None:
        return None
    table = Path(labels.source)
    inside = folder.file_path(table.name)
    used = {table.name} if inside is not None and inside.resolve() == table.resolve() else set()
    return Flat(folder, mine.class_by_file.get, mine.classes, labels.source, used=frozenset(used))


def _refuse_unlabelled(folders: list[Folder], forms: Mapping[str, Form]) -> NoReturn:
    """Refuse flat folders without labels, and say where labels come from."""
    which = " and ".join(folder.label() for folder in folders)
    verb = "hold" if len(folders) > 1 else "holds"
    first = next((folder for folder in folders if "val" in folder.path), folders[0]).names.files
    rest = f", or write only `split={','.join(forms)!r}`" if forms else ""
    year, split, _ = names.number_of(first[0])
    source = {
        (2012, "val"): "put ILSVRC2012_devkit_t12.tar.gz or LOC_val_solution.csv beside them, or name",
        (2010, "val"): "put ILSVRC2010_devkit-1.0.tar.gz beside the original tars, or name",
    }.get((year, split), "name")
    raise RefusedError(
        f"{which} {verb} images without class folders ({names.first_names(first, 2)}); {source} a table of (file, "
        f"class) with `labels`{rest}"
    )


def holds_images(folder: Folder) -> bool:
    """Whether a folder holds images by their names, at any depth."""
    return folder.glance().images or any(holds_images(folder.folder(name)) for name in folder.names.folders)


def likely_folders(root: Folder) -> list[Folder]:
    """The folders where a data set in containers keeps them: the top, `data/` and split folders."""
    inner = [name for name in root.names.folders if names.split_of(name) or name.lower() == "data"]
    return [root, *map(root.folder, inner)]


def find_beside(question: Question, places: list[Folder], name: str) -> tuple[str, str] | None:
    """Find a small file in some folders of the source, or on disk in the parents of the source.

    Returns:
        Its path from the source, empty if it lies in a parent, and its text; None if there is none.

    Raises:
        RefusedError: it cannot be read.
    """
    for place in places:
        if name in place.names.files:
            return place.join(name), place.read(name).decode("utf-8-sig", "replace")
    if isinstance(question.root, DiskFolder):
        for folder in list(question.root.directory.absolute().parents)[:PARENTS]:
            if (folder / name).is_file():
                question.root.watch(folder / name)
                return "", read_text(folder / name)
    return None
