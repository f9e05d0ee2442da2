"""Ask every layout whether it recognises a source: exactly one, or a refusal that says what was seen."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.account import Account
from alexnet_pipeline.raw.archive import ArchiveFolder, open_tar, open_zip
from alexnet_pipeline.raw.claim import Claim, Near, Question, holds_images
from alexnet_pipeline.raw.forms import add_faults
from alexnet_pipeline.raw.labels import read_classes, read_labels
from alexnet_pipeline.raw.layouts import LAYOUTS, Layout
from alexnet_pipeline.raw.listing import Listing, ListingBuilder
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.tree import DiskFolder, Folder, Names
from alexnet_pipeline.raw.words import words_of
from alexnet_pipeline.records import LabelOrder, Reason, SourceAccount
from alexnet_pipeline.text import counted, recorded

# A class with fewer images than this part of the median is mentioned.
FEW = 0.1
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
    path: Path
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
        self._check_classes(listings)
        self._check_rejects(listings)
        left = [form for split, form in self.claim.splits.items() if wanted and split not in wanted]
        why = {path: "a split that is not wanted" for form in left for path in form.taken()}
        taken, why = self._taken(wanted), {**self.claim.unlabelled, **why}
        if not wanted:
            _check_left_out(self.root, {*taken, *why, *self.claim.used})
        account.add_rest(self.root, taken, why)
        notes = (
            *self.claim.notes,
            *(note for listing in listings for note in _notes(listing, subset=self.options.classes is not None)),
        )
        evidence = recorded(self.claim.evidence)
        notes = tuple(map(recorded, notes))
        about = SourceAccount(self.layout.title, evidence, account.used, account.ignored(), notes)
        return Contents(tuple(listings), about)

    def _taken(self, wanted: Sequence[str]) -> frozenset[str]:
        forms = (form for split, form in self.claim.splits.items() if not wanted or split in wanted)
        return frozenset(path for form in forms for path in form.taken())

    def _check_rejects(self, listings: Sequence[Listing]) -> None:
        """Refuse a reading by which most images lie in the wrong place."""
        for listing in listings:
            astray = [reject for reject in listing.rejects if reject.reason in {Reason.NESTED, Reason.NO_LABEL}]
            if len(astray) > len(listing) and self.options.layout is None:
                raise RefusedError(
                    f"{listing.split} has {counted(len(listing), 'image')} as {self.layout.title}, and {len(astray):,} "
                    f"others like {astray[0].name} ({astray[0].reason}, {astray[0].detail}); move them, or choose "
                    f"`layout={self.layout.name!r}` to go on without them"
                )

    def _check_classes(self, listings: Sequence[Listing]) -> None:
        """Refuse splits with other classes, which would be a wrong reading more often than meant."""
        cut = any(reject.reason == Reason.TRUNCATED_ARCHIVE for listing in listings for reject in listing.rejects)
        if cut or self.options.classes:
            return
        present = {
            each.split: {n for n, total in zip(each.classes, each.class_totals(), strict=True) if total}
            for each in listings
        }
        if self.claim.class_list:
            lacking = set(self.claim.class_list) - present.get("train", set(self.claim.class_list))
            if lacking and "empty-classes" not in self.options.allow:
                raise RefusedError(
                    f"train lacks {counted(len(lacking), 'class')} of those that the source lists "
                    f"({names.first_names(lacking)}); add them, choose `allow='empty-classes'` to keep their labels, "
                    "or `layout='class-folders'` to number the others anew"
                )
        elif "different-classes" not in self.options.allow:
            _check_alike({split: set(form.classes()) for split, form in self.claim.splits.items()})
            _check_alike(present)


def _check_left_out(root: Folder, known: set[str]) -> None:
    """Refuse split folders, and archives named after a split, that the layout does not read."""
    for name in root.names.folders:
        inside = any(path == name or path.startswith(f"{name}/") for path in known)
        if names.split_of(name) and not inside and "" not in known and holds_images(root.folder(name)):
            raise RefusedError(
                f"{root.join(name)}/ holds images in another layout; convert one split at a time, by `split`"
            )
    for name in root.names.files:
        archive = names.suffix_of(name) in names.ARCHIVES | names.PARTIAL
        if archive and names.split_in(name) and root.join(name) not in known:
            raise RefusedError(
                f"{root.join(name)} is a split by its name, but is not read; unpack it, remove it, or name the splits "
                "to write with `split`"
            )


def _check_alike(classes: Mapping[str, set[str]]) -> None:
    """Refuse a val that has other classes than train, and a test that has more."""
    train = classes.get("train")
    if train is None:
        return
    for split in ("val", "test"):
        other = classes.get(split, train)
        only = {split: other - train, "train": train - other if split == "val" else set()}
        if any(only.values()):
            found = "; ".join(f"only {name}: {names.first_names(each)}" for name, each in only.items() if each)
            raise RefusedError(
                f"train and {split} have different classes ({found}); fix their order with `classes`, or choose "
                "`allow='different-classes'` to take the classes of both"
            )


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
    path: Path,
    label_order: LabelOrder = "wnid",
    options: SourceOptions | None = None,
    splits: Sequence[str] = (),
    out: Path | None = None,
) -> Source:
    """Recognise the layout of a source.

    Args:
        path: a folder, a tar or an uncompressed or deflated zip.
        label_order: the order of the labels.
        options: how to read what the source does not tell by itself.
        splits: the wanted splits; empty for all.
        out: where the output goes, which must lie apart from the source.

    Raises:
        RefusedError: no layout recognises it, or several do, or its classes cannot be brought in this order.
    """
    options = options or SourceOptions()
    labels = read_labels(options.labels) if options.labels else None
    question = Question(_root(path, out, options), options, tuple(splits), path.resolve().name, labels)
    with _naming(path):
        layout, claim, root = _recognised(question, path)
        if claim.complete:
            claim = dataclasses.replace(claim.complete(), evidence=claim.evidence)
    if options.labels and not any(str(options.labels) == getattr(form, "source", "") for form in claim.splits.values()):
        raise RefusedError(f"`labels` has no effect: {layout.title} has its own labels ({claim.evidence})")
    if options.columns and layout.name != "parquet":
        raise RefusedError(f"`columns` has no effect: {layout.title} has none")
    if len(set(splits)) < len(splits):
        raise RefusedError(f"`split`: {', '.join(splits)} names a split twice")
    claim = dataclasses.replace(claim, used=claim.used | _inside(path, options.labels))
    claim = dataclasses.replace(claim, splits={s: claim.splits[s] for s in SPLIT_ORDER if s in claim.splits})
    classes = _classes(claim, label_order, options, path)
    return Source(layout, claim, classes, words_of(classes, claim.words), root, path, options)


def _inside(path: Path, table: Path | None) -> frozenset[str]:
    """The path of a table from the source, if it lies in it."""
    if table is None or not path.is_dir() or not table.resolve().is_relative_to(path.resolve()):
        return frozenset()
    return frozenset({table.resolve().relative_to(path.resolve()).as_posix()})


def _root(path: Path, out: Path | None, options: SourceOptions) -> Folder:
    if not path.exists():
        raise RefusedError(f"{path}: no such file or directory")
    hidden = _apart(path, out, options) if out else None
    if path.is_dir():
        return DiskFolder(path, hidden=hidden)
    if not path.is_file():
        raise RefusedError(f"{path} is neither a file nor a folder")
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


def _first_fault(archive: ArchiveFolder) -> str:
    return f": {archive.faults[0].detail}" if archive.faults else ""


def _apart(path: Path, out: Path, options: SourceOptions) -> Path | None:
    """Refuse an output within the source, or a source within the output; the folder to hide where that is allowed."""
    source, target = path.resolve(), out.resolve()
    if source.is_relative_to(target):
        raise RefusedError(f"the source {path} lies in the output folder {out}; choose another output folder")
    if not target.is_relative_to(source):
        return None
    if "output-inside-source" not in options.allow:
        raise RefusedError(
            f"the output folder {out} lies in the source {path}, where it would be taken for input; choose another, or "
            "`allow='output-inside-source'` to leave it out of the source"
        )
    return target


def _recognised(question: Question, path: Path) -> tuple[Layout, Claim, Folder]:
    """The only layout that claims a source; in an archive, or the only folder of one."""
    claims, nears = _ask(question)
    root = question.root
    while not claims and isinstance(root, ArchiveFolder) and len(root.names.folders) == 1:
        root = root.folder(root.names.folders[0])
        claims, nears = _ask(dataclasses.replace(question, root=root))
    if len(claims) == 1:
        return (*claims[0], question.root)
    if claims:
        readings = "; ".join(f"{layout.title} ({claim.evidence})" for layout, claim in claims)
        choices = " or ".join(f"`layout={layout.name!r}`" for layout, _ in claims)
        raise RefusedError(f"{path} can be read in several ways: {readings}; choose {choices}")
    raise RefusedError(_unrecognised(question, path, nears))


def _ask(question: Question) -> tuple[list[tuple[Layout, Claim]], list[tuple[Layout, Near]]]:
    wanted = question.options.layout
    claims: list[tuple[Layout, Claim]] = []
    nears: list[tuple[Layout, Near]] = []
    for shape in (False, True):
        for layout in LAYOUTS:
            if layout.shape is not shape or (wanted and layout.name != wanted):
                continue
            answer = layout.recognise(question)
            if isinstance(answer, Claim):
                claims.append((layout, answer))
            elif isinstance(answer, Near):
                nears.append((layout, answer))
        if claims:
            break
    return claims, nears


def _unrecognised(question: Question, path: Path, nears: Sequence[tuple[Layout, Near]]) -> str:
    """What was seen, which layouts came near and what they lack, and what to do."""
    seen = question.root.names
    packed = [name for name in seen.files if names.unpacking(name)]
    if packed and not seen.folders:
        listed = names.first_names(packed)
        return f"{path} holds {listed}, without random access; unpack it: {names.unpacking(packed[0])} {packed[0]}"
    wanted = question.options.layout
    title = next((layout.title for layout in LAYOUTS if layout.name == wanted), "any layout of ImageNet")
    near = "".join(f"; not {layout.title}: {near.lacks}" for layout, near in nears)
    more = "" if nears else "; see `alexnet-pipeline layouts` for what is, and name the folder that holds it"
    return f"{path} is not recognised as {title}: it holds {_seen(seen)}{near}{more}"


def _seen(listed: Names) -> str:
    """The folders and files of a place in a few words."""
    parts = []
    if listed.folders:
        parts.append(f"{counted(len(listed.folders), 'folder')} ({names.first_names(listed.folders)})")
    if listed.files:
        suffixes = Counter(names.suffix_of(name) or "no suffix" for name in listed.files)
        counts = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(4))
        parts.append(f"{counted(len(listed.files), 'file')} ({counts}: {names.first_names(listed.files)})")
    return " and ".join(parts) or "nothing"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the source in refusals that say only what lies in it."""
    try:
        yield
    except RefusedError as error:
        text = str(error)
        raise (error if str(path) in text else RefusedError(f"{path}: {text}")) from error


def _classes(claim: Claim, label_order: LabelOrder, options: SourceOptions, path: Path) -> tuple[str, ...]:
    """The class names in label order."""
    found = {name for form in claim.splits.values() for name in form.classes()}
    if options.classes and label_order == "devkit":
        raise RefusedError("`classes` and `label_order='devkit'` are two orders; choose one")
    order = claim.class_list
    if options.classes:
        order = read_classes(options.classes, found)
    unknown = found - set(order or found)
    if unknown:
        listed = options.classes or "what the source lists"
        raise RefusedError(f"{path} holds the classes {names.first_names(unknown)}, which {listed} lacks")
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


def _notes(listing: Listing, *, subset: bool) -> list[str]:
    """Classes without images, unless a subset is meant, and classes with far fewer than the others."""
    totals = dict(zip(listing.classes, listing.class_totals(), strict=True))
    present = sorted(total for total in totals.values() if total)
    median = present[len(present) // 2]
    found = (
        ("without images", [name for name, total in totals.items() if not total and not subset]),
        (
            f"with under a tenth of the median of {median:,} images",
            [n for n, t in totals.items() if 0 < t < FEW * median],
        ),
    )
    return [
        f"{listing.split}: {counted(len(classes), 'class')} {words}: {names.first_names(classes)}"
        for words, classes in found
        if classes
    ]
