"""Open a source: recognise it, bring its classes in order, list its images and account for every other file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.account import Account
from alexnet_pipeline.raw.archive import ArchiveFolder, open_tar, open_zip
from alexnet_pipeline.raw.bucket import open_bucket
from alexnet_pipeline.raw.checks import check_classes, check_left_out, check_rejects, class_notes
from alexnet_pipeline.raw.claim import Claim, Question
from alexnet_pipeline.raw.forms import add_faults
from alexnet_pipeline.raw.labels import read_classes, read_labels
from alexnet_pipeline.raw.layouts import Layout
from alexnet_pipeline.raw.listing import Listing, ListingBuilder
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.recognise import recognise
from alexnet_pipeline.raw.tree import DiskFolder, Folder
from alexnet_pipeline.raw.words import words_of
from alexnet_pipeline.records import LabelOrder, SourceAccount
from alexnet_pipeline.storage.place import Location, lies_in, resolved
from alexnet_pipeline.storage.reading import exists
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.text import counted, recorded

SPLIT_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class Source:
    """A recognised source.

    Attributes:
        layout: the layout that recognised it.
        claim: what it recognised.
        classes: class names in label order.
        words: the words of each class, empty where they are not known.
        root: its top folder.
        path: where it lies.
        options: the user's options.
    """

    layout: Layout
    claim: Claim
    classes: tuple[str, ...]
    words: tuple[str, ...]
    root: Folder
    path: Location
    options: SourceOptions = field(default_factory=SourceOptions)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have labels."""
        return tuple(self.claim.splits)

    def read(self, wanted: Sequence[str] = ()) -> Contents:
        """List the wanted splits, or all, and account for every file of the source.

        Raises:
            RefusedError: a wanted split is missing or holds no images, a class is empty, or splits have other classes.
        """
        with _naming(self.path):
            return self._read(wanted)

    def _read(self, wanted: Sequence[str]) -> Contents:
        missing = [split for split in wanted if split not in self.splits]
        if missing:
            raise RefusedError(f"the source has no split {missing[0]!r}; it has {', '.join(self.splits)}")
        account = Account(self.claim)
        listings: list[Listing] = []
        for split in wanted or self.splits:
            builder = ListingBuilder(split, self.classes)
            self.claim.splits[split].fill(builder)
            if not listings and "" not in self._taken(wanted):
                add_faults(builder, self.root)
            listings.append(builder.build())
            account.add(builder)
        empty = [listing.split for listing in listings if not len(listing)]
        if empty:
            raise RefusedError(f"no images found in the split {empty[0]!r}{_first_reject(listings)}")
        check_classes(self.claim, self.options, listings)
        if self.options.layout is None:
            check_rejects(self.layout, listings)
        left = [form for split, form in self.claim.splits.items() if wanted and split not in wanted]
        why = {path: "a split that is not wanted" for form in left for path in form.taken()} | dict(
            self.claim.unlabelled
        )
        taken = self._taken(wanted)
        if not wanted and self.options.layout is None:
            check_left_out(self.root, self.splits, {*taken, *why, *self.claim.used})
        account.add_rest(self.root, taken, why)
        notes = [*self.claim.notes]
        for listing in listings:
            notes += class_notes(listing, subset=self.options.classes is not None)
        about = SourceAccount(
            layout=self.layout.title,
            evidence=recorded(self.claim.evidence),
            used=account.used,
            ignored=account.ignored(),
            notes=tuple(map(recorded, notes)),
        )
        return Contents(tuple(listings), about)

    def _taken(self, wanted: Sequence[str]) -> frozenset[str]:
        forms = (form for split, form in self.claim.splits.items() if not wanted or split in wanted)
        return frozenset(path for form in forms for path in form.taken())


@dataclass(frozen=True, slots=True)
class Contents:
    """The images of a source, and an account of its other files.

    Attributes:
        listings: the images of each split.
        account: what was recognised, and what else there is.
    """

    listings: tuple[Listing, ...]
    account: SourceAccount


def open_source(
    path: Location,
    label_order: LabelOrder = "wnid",
    options: SourceOptions | None = None,
    splits: Sequence[str] = (),
    out: Location | None = None,
) -> Source:
    """Recognise the layout of a source.

    Args:
        path: a folder, a tar or an uncompressed or deflated zip, on this machine or in an object store.
        label_order: the order of the labels.
        options: how to read what the source does not tell by itself.
        splits: the wanted splits; empty for all.
        out: where the output goes, which must lie apart from the source.

    Raises:
        RefusedError: no layout recognises it, or several do, or its classes cannot be brought in this order.
        PipelineError: the store that it lies in cannot be asked.
    """
    options = options or SourceOptions()
    labels = read_labels(options.labels) if options.labels else None
    question = Question(_root(path, out, options), options, tuple(splits), resolved(path).name, labels)
    with _naming(path):
        layout, claim = recognise(question, path)
        if claim.complete:
            claim = dataclasses.replace(claim.complete(), evidence=claim.evidence)
    if not claim.splits:
        raise RefusedError(
            f"{path} has no {'wanted ' if splits else ''}split with labels, read as {layout.title} ({claim.evidence}); "
            "see `alexnet-pipeline layouts` for where labels come from"
        )
    if options.labels and not any(str(options.labels) == getattr(form, "source", "") for form in claim.splits.values()):
        raise RefusedError(f"`labels` has no effect: {layout.title} has its own labels ({claim.evidence})")
    if options.columns and layout.name != "parquet":
        raise RefusedError(f"`columns` has no effect: {layout.title} has none")
    if len(set(splits)) < len(splits):
        raise RefusedError(f"`split`: {', '.join(splits)} names a split twice")
    claim = dataclasses.replace(claim, used=claim.used | _inside(path, options.labels))
    claim = dataclasses.replace(claim, splits={s: claim.splits[s] for s in SPLIT_ORDER if s in claim.splits})
    classes = _classes(claim, label_order, options, path)
    return Source(layout, claim, classes, words_of(classes, claim.words), question.root, path, options)


def _inside(path: Location, table: Path | None) -> frozenset[str]:
    """The path of a table from the source, if it lies in it."""
    if table is None or isinstance(path, RemotePath) or not path.is_dir():
        return frozenset()
    here, there = path.resolve(), table.resolve()
    return frozenset({there.relative_to(here).as_posix()} if there.is_relative_to(here) else ())


def _root(path: Location, out: Location | None, options: SourceOptions) -> Folder:
    folder = _folder(path, out, options)
    if folder is not None:
        return folder
    command = names.unpacking(path.name)
    if command:
        raise RefusedError(f"{path} has no random access; unpack it: {command} {path.name}")
    suffix = names.suffix_of(path.name)
    if suffix not in {".tar", ".zip"}:
        raise RefusedError(f"{path} is a file; expected a folder, a .tar or a .zip; see `alexnet-pipeline layouts`")
    opened = open_tar(path) if suffix == ".tar" else open_zip(path)
    if not opened.names.folders and not opened.names.files:
        raise RefusedError(f"{path} holds no files{_first_fault(opened)}; fetch it again")
    return opened


def _folder(path: Location, out: Location | None, options: SourceOptions) -> Folder | None:
    """The folder at a path; None if there is a file.

    Raises:
        RefusedError: there is neither.
        PipelineError: the store cannot be asked.
    """
    hidden = _apart(path, out, options) if out else None
    if isinstance(path, RemotePath):
        if names.suffix_of(path.name) in {".tar", ".zip", ".gz", ".tgz"} and _is_object(path):
            return None
        bucket = open_bucket(path, hidden if isinstance(hidden, RemotePath) else None)
        if not bucket.names.folders and not bucket.names.files:
            raise RefusedError(f"{path}: no objects with this prefix")
        return bucket
    if not path.exists():
        raise RefusedError(f"{path}: no such file or directory")
    if path.is_dir():
        return DiskFolder(path, hidden=hidden if isinstance(hidden, Path) else None)
    if not path.is_file():
        raise RefusedError(f"{path} is neither a file nor a folder")
    return None


def _is_object(path: RemotePath) -> bool:
    try:
        return exists(path)
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from error


def _first_fault(archive: ArchiveFolder) -> str:
    return f": {archive.faults[0].detail}" if archive.faults else ""


def _apart(path: Location, out: Location, options: SourceOptions) -> Location | None:
    """Refuse an output within the source, or a source within the output; the folder to hide where that is allowed."""
    source, target = resolved(path), resolved(out)
    if lies_in(source, target):
        raise RefusedError(f"the source {path} lies in the output folder {out}; choose another output folder")
    if not lies_in(target, source):
        return None
    if "output-inside-source" not in options.allow:
        raise RefusedError(
            f"the output folder {out} lies in the source {path}, where it would be taken for input; choose another, or "
            "`allow='output-inside-source'` to leave it out of the source"
        )
    return target


@contextmanager
def _naming(path: Location) -> Iterator[None]:
    """Name the source in refusals that say only what lies in it."""
    try:
        yield
    except RefusedError as error:
        text = str(error)
        raise (error if text.startswith((f"{path} ", f"{path}:")) else RefusedError(f"{path}: {text}")) from error


def _classes(claim: Claim, label_order: LabelOrder, options: SourceOptions, path: Location) -> tuple[str, ...]:
    """The class names in label order."""
    found = {name for form in claim.splits.values() for name in form.classes()}
    if options.classes and label_order == "devkit":
        raise RefusedError("`classes` and `label_order='devkit'` are two orders; choose one")
    order = claim.class_list
    if options.classes:
        order = read_classes(options.classes, found)
    unknown = found - set(order or found)
    if unknown:
        listed = options.classes or "the source's own list of classes"
        raise RefusedError(
            f"{path} holds {counted(len(unknown), 'class')} that {listed} lacks ({names.first_names(unknown)}); add "
            "what is missing to the list, or remove it from the source"
        )
    if options.classes and order:
        return order
    if label_order == "file":
        raise RefusedError("`label_order='file'` needs `classes`, a list of the classes in order")
    if label_order == "devkit":
        if claim.devkit_order is None:
            raise RefusedError(f"`label_order='devkit'` needs ILSVRC2012_devkit_t12.tar.gz in {path}")
        return claim.devkit_order
    odd = "" if claim.order or claim.class_list else names.oddities(found)
    if odd and "odd-classes" not in options.allow:
        raise RefusedError(
            f"{path}: {odd}, so labels may not be what they seem; fix their order with `classes`, remove what is no "
            "class, or choose `allow='odd-classes'` to number them by name"
        )
    return claim.order or names.in_order(claim.class_list or found)


def _first_reject(listings: Sequence[Listing]) -> str:
    reject = next((reject for listing in listings if not len(listing) for reject in listing.rejects), None)
    return f": {reject.name}: {reject.reason}, {reject.detail}" if reject else ""
