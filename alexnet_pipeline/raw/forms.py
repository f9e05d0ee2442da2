"""How the images of one split lie: in class folders and tars of classes, or in one folder with labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.archive import ArchiveFolder, open_tar
from alexnet_pipeline.raw.listing import ListingBuilder
from alexnet_pipeline.raw.tree import Entry, Folder
from alexnet_pipeline.records import Reason
from alexnet_pipeline.storage.place import locate

TAR = ".tar"
# Why a file is ignored whose suffix says what it is.
NO_IMAGE = "not an image"


class Form(Protocol):
    """How the images of one split lie, and under which class names."""

    def classes(self) -> tuple[str, ...]:
        """The class names of the split, in any order, or in label order if the source has numeric labels."""

    def fill(self, builder: ListingBuilder) -> None:
        """Add every image to a builder, and account for every other file.

        Raises:
            RefusedError: a class is empty or cannot be read, which nothing allows.
        """

    def taken(self) -> tuple[str, ...]:
        """The paths, from the source, of the folders and files that `fill` accounts for."""


@dataclass(frozen=True)
class ClassFolders:
    """A folder that holds a folder for each class, or a tar of that name, or some of each.

    Attributes:
        folder: the folder.
        inside: name of the folder in each class folder that holds the images; empty if the class folder does.
        allow: what is allowed; see `SourceOptions`.
    """

    folder: Folder
    inside: str = ""
    allow: Collection[str] = ()

    def classes(self) -> tuple[str, ...]:
        """The names of class folders and tars."""
        return tuple(
            sorted({*self.folder.names.folders, *self._tars, *map(_class_of, filter(self._keeps_label, self._lost))})
        )

    def taken(self) -> tuple[str, ...]:
        """The folder."""
        return (self.folder.path,)

    def fill(self, builder: ListingBuilder) -> None:
        """Add the images of every class."""
        self._check_names()
        add_faults(builder, self.folder)
        tars = self._tars
        for name in self.folder.names.folders:
            before = len(builder)
            self._fill_folder(builder, name)
            self._check_class(name, len(builder) - before)
        for name, tar in tars.items():
            before = len(builder)
            self._fill_tar(builder, name, tar)
            self._check_class(name, len(builder) - before)
        archives, broken = {tar.name for tar in tars.values()}, self._lost
        for entry in self.folder.entries():
            if entry.name in archives:
                builder.used += 1
            elif entry.name in broken:
                builder.reject(self.folder.join(entry.name), Reason.UNREADABLE, "a class that cannot be read")
            elif entry.fault:
                builder.reject(self.folder.join(entry.name), entry.fault, entry.detail)
            elif names.looks_like_image(entry.name) and not names.is_clutter(entry.name):
                builder.reject(self.folder.join(entry.name), Reason.NO_LABEL, "it lies beside the class folders")
            else:
                ignore_file(builder, entry.name)
        for name in self.folder.every_folder():
            if names.is_clutter(name):
                ignore_tree(builder, self.folder.folder(name), clutter_of(name), "left by other programs")

    def _check_names(self) -> None:
        both = sorted(self._tars.keys() & set(self.folder.names.folders))
        if both:
            raise RefusedError(
                f"the class {both[0]} is both a folder and a tar in {self.folder.label()}; remove the one that is "
                "incomplete"
            )
        lost = self._lost
        if lost and "broken-classes" not in self.allow:
            what = "is not unpacked"
            keep = "keep its label" if self._keeps_label(lost[0]) else "leave it out"
            if lost[0] in self.folder.names.broken:
                path = self.folder.file_path(lost[0])
                nowhere = path is not None and path.is_symlink()
                what = "is a link that leads nowhere" if nowhere else "is neither a folder nor a file"
            raise RefusedError(
                f"{self.folder.join(lost[0])} {what}, and its class would be missing; mend it, remove it, or choose "
                f"`allow='broken-classes'` to {keep}"
            )

    def _check_class(self, name: str, images: int) -> None:
        if images or "empty-classes" in self.allow:
            return
        if name in self._tars:
            path, advice = self.folder.join(self._tars[name].name), "fetch it again"
        elif self.folder.folder(name).is_readable():
            path, advice = f"{self.folder.join(name)}/", "add some"
        else:
            return
        raise RefusedError(
            f"{path} holds no images{self._contents(name)}; {advice}, remove it, or choose `allow='empty-classes'`"
        )

    def _contents(self, name: str) -> str:
        if name in self._tars:
            return ""
        inner = self.folder.folder(name).names
        if inner.folders:
            return f", only folders ({names.first_names(inner.folders)})"
        return f", only {names.first_names(inner.files)}" if inner.files else " and is empty"

    def _fill_folder(self, builder: ListingBuilder, wnid: str) -> None:
        folder = outer = self.folder.folder(wnid)
        if not outer.is_readable():
            if "broken-classes" not in self.allow:
                raise RefusedError(
                    f"{outer.path}/ cannot be listed, and its class would be missing; make it readable, or choose "
                    "`allow='broken-classes'` to keep its label without images"
                )
            builder.reject(outer.path, Reason.UNREADABLE, "a class that cannot be listed")
            return
        if self.inside and self.inside in outer.names.folders:
            for entry in outer.entries():
                if sort_out(builder, f"{wnid}/{entry.name}", entry):
                    builder.reject(f"{wnid}/{entry.name}", Reason.NESTED, f"it lies beside {self.inside}/")
            folder = outer.folder(self.inside)
        place = builder.add_place(folder.place)
        for entry in folder.entries():
            if sort_out(builder, f"{wnid}/{entry.name}", entry):
                builder.add(wnid, entry.name, place, entry.size_bytes, entry.version, entry.offset)
        beside = [each for each in outer.every_folder() if each != self.inside] if folder is not outer else []
        for parent, inner in [(folder, each) for each in folder.every_folder()] + [(outer, each) for each in beside]:
            reject_nested(builder, parent.folder(inner), f"{wnid}/{inner}")

    def _fill_tar(self, builder: ListingBuilder, wnid: str, tar: Entry) -> None:
        archive = open_inner_tar(self.folder, tar)
        place = builder.add_place(archive.place)
        add_faults(builder, archive, wnid)
        for entry in every_file(archive):
            if sort_out(builder, f"{wnid}/{entry.name}", entry):
                builder.add(wnid, entry.name, place, entry.size_bytes, entry.version, entry.offset)

    @cached_property
    def _tars(self) -> dict[str, Entry]:
        if not has_class_tars(self.folder):
            return {}
        return {
            entry.name[: -len(TAR)]: entry
            for entry in self.folder.entries()
            if entry.fault is None and is_class_tar(entry.name)
        }

    def _keeps_label(self, name: str) -> bool:
        """Whether what cannot be read is a class for certain: a link, or something named after a WordNet ID."""
        return name in self.folder.names.broken or names.WNID.fullmatch(name.partition(".")[0]) is not None

    @cached_property
    def _lost(self) -> tuple[str, ...]:
        """Classes that cannot be read, whose absence would shift labels: links that lead nowhere, and archives."""
        listed = self.folder.names
        links = [name for name in listed.broken if names.may_be_image(name) and not names.looks_like_image(name)]
        links += [name for name in listed.broken if names.suffix_of(name) in names.ARCHIVES]
        known = {*listed.folders, *self._tars}
        files = [name for name in listed.files if names.may_be_class(name, known) and not is_class_tar(name)]
        return tuple(sorted((*links, *files)))


@dataclass(frozen=True)
class Flat:
    """A folder of images of all classes, whose labels come from elsewhere.

    Attributes:
        folder: the folder.
        class_of: gives the class of a file by its name; None if it has no label.
        class_names: the class names.
        source: where the labels come from, for messages.
        class_at_end: whether the class is the last part of every name.
        used: names of files in the folder that were read for labels.
    """

    folder: Folder
    class_of: Callable[[str], str | None]
    class_names: tuple[str, ...]
    source: str
    class_at_end: bool = False
    used: frozenset[str] = frozenset()

    def classes(self) -> tuple[str, ...]:
        """The class names of the labels."""
        return self.class_names

    def taken(self) -> tuple[str, ...]:
        """The folder."""
        return (self.folder.path,)

    def fill(self, builder: ListingBuilder) -> None:
        """Add every image with its label."""
        add_faults(builder, self.folder)
        here = self.folder.place
        place = builder.add_place(here._replace(class_at_end=self.class_at_end and here.folder))
        for entry in self.folder.entries():
            if entry.name in self.used:
                builder.used += 1
                continue
            if not sort_out(builder, self.folder.join(entry.name), entry):
                continue
            wnid = self.class_of(entry.name)
            if wnid is None:
                builder.reject(self.folder.join(entry.name), Reason.NO_LABEL, f"it is not in {self.source}")
                continue
            ending = names.class_at_end(entry.name) if self.class_at_end else None
            file = ending[0] if ending else entry.name
            builder.add(wnid, file, place, entry.size_bytes, entry.version, entry.offset)
        for name in self.folder.every_folder():
            reject_nested(builder, self.folder.folder(name), self.folder.join(name))


@dataclass(frozen=True)
class Several:
    """Several forms of one split, one after the other."""

    forms: tuple[Form, ...]

    def classes(self) -> tuple[str, ...]:
        """The class names of all forms."""
        return tuple(sorted({name for form in self.forms for name in form.classes()}))

    def taken(self) -> tuple[str, ...]:
        """What the forms take."""
        return tuple(path for form in self.forms for path in form.taken())

    def fill(self, builder: ListingBuilder) -> None:
        """Add the images of each form."""
        for form in self.forms:
            form.fill(builder)


def is_class_tar(name: str) -> bool:
    """Whether a file is a tar that is named after a WordNet ID."""
    return name.lower().endswith(TAR) and names.WNID.fullmatch(name[: -len(TAR)]) is not None


def _class_of(name: str) -> str:
    """The class of an archive or link that cannot be read."""
    stem = name.partition(".")[0]
    return stem if names.WNID.fullmatch(stem) or names.suffix_of(name) in names.ARCHIVES else name


def has_class_tars(folder: Folder) -> bool:
    """Whether a folder holds such tars."""
    return any(map(is_class_tar, folder.names.files))


def open_inner_tar(folder: Folder, tar: Entry) -> ArchiveFolder:
    """List a tar that lies in a folder, be that on disk or in another tar.

    Raises:
        RefusedError: it lies in a zip.
    """
    location = folder.location(tar.name)
    if location is not None:
        return open_tar(location, tar.name)
    if folder.place.packing == "zip":
        raise RefusedError(f"{folder.join(tar.name)} is a tar in a zip, which has no random access; unpack the zip")
    return open_tar(locate(folder.place.path), tar.name, tar.offset, tar.size_bytes)


def open_member(folder: Folder, name: str) -> Folder:
    """List a tar that lies in a folder; where all of it lies in one folder, the result is that folder.

    Raises:
        RefusedError: it cannot be read, or lies in a zip.
    """
    entry = next(entry for entry in folder.entries() if entry.name == name)
    return top_of(open_inner_tar(folder, entry))


def top_of(archive: ArchiveFolder) -> ArchiveFolder:
    """The folder that holds all of an archive; the archive itself if it holds more than a folder."""
    top = archive
    while len(top.names.folders) == 1 and not top.names.files:
        top = top.folder(top.names.folders[0])
    top.faults = archive.faults
    return top


def every_file(folder: Folder) -> Iterator[Entry]:
    """Every file at or below a folder."""
    yield from folder.entries()
    for name in folder.every_folder():
        yield from every_file(folder.folder(name))


def sort_out(builder: ListingBuilder, name: str, entry: Entry) -> bool:
    """Whether an entry may be an image; if not, account for it. An archive among images is rejected by name."""
    if names.suffix_of(entry.name) in names.ARCHIVES and entry.fault is None and not names.is_clutter(entry.name):
        builder.reject(name, Reason.NOT_AN_IMAGE, "an archive by its name")
        return False
    if names.is_clutter(entry.name) or (entry.fault is None and not names.may_be_image(entry.name)):
        ignore_file(builder, entry.name)
        return False
    if entry.fault:
        builder.reject(name, entry.fault, entry.detail)
        return False
    return True


def reject_nested(builder: ListingBuilder, folder: Folder, name: str) -> None:
    """Reject every image in a folder that lies where images were expected; its other files are ignored."""
    if names.is_clutter(name.rpartition("/")[2]):
        ignore_tree(builder, folder, clutter_of(name.rpartition("/")[2]), "left by other programs")
        return
    for entry in folder.entries():
        if sort_out(builder, f"{name}/{entry.name}", entry):
            builder.reject(f"{name}/{entry.name}", Reason.NESTED, "it lies in a folder inside its class")
    for inner in folder.every_folder():
        reject_nested(builder, folder.folder(inner), f"{name}/{inner}")


def ignore_file(builder: ListingBuilder, name: str) -> None:
    """Count a file that is not an image by its name."""
    builder.ignored[ignored_as(name)] += 1


def ignore_tree(builder: ListingBuilder, folder: Folder, what: str, why: str) -> None:
    """Count every file at or below a folder."""
    builder.ignored[what, why] += count_files(folder)


def count_files(folder: Folder) -> int:
    """The number of files at or below a folder; one that may not be listed, like `lost+found`, counts as one file."""
    try:
        return sum(1 for _ in every_file(folder))
    except RefusedError:
        return 1


def ignored_as(name: str) -> tuple[str, str]:
    """How a file that is not an image is counted: (what, why)."""
    if names.is_clutter(name):
        return clutter_of(name), "left by other programs"
    return names.suffix_of(name) or name, NO_IMAGE


def clutter_of(name: str) -> str:
    """What to call clutter in a count."""
    if name.startswith("._"):
        return "._*"
    return "hidden files" if name.startswith(".") and name != ".DS_Store" else name


def add_faults(builder: ListingBuilder, folder: Folder, wnid: str = "") -> None:
    """Reject what is wrong with the archive whose top folder this is; there is nothing in other folders."""
    for fault in folder.faults if isinstance(folder, ArchiveFolder) else []:
        inside = wnid and fault.reason != Reason.TRUNCATED_ARCHIVE
        builder.reject(f"{wnid}/{fault.name}" if inside else fault.name, Reason(fault.reason), fault.detail)
