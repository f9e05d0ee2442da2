"""Checks of what was read of a source, before anything is written: classes, rejects, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Claim, holds_images
from alexnet_pipeline.raw.layouts import Layout
from alexnet_pipeline.raw.listing import Listing
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.records import Reason
from alexnet_pipeline.text import counted

# A class with fewer images than this part of the median is mentioned.
FEW = 0.1


def check_classes(claim: Claim, options: SourceOptions, listings: Sequence[Listing]) -> None:
    """Refuse splits with other classes than the source lists or than each other.

    That is a wrong reading more often than meant.

    Raises:
        RefusedError: nothing allows it.
    """
    cut = any(reject.reason == Reason.TRUNCATED_ARCHIVE for listing in listings for reject in listing.rejects)
    if cut or options.classes:
        return
    present = {
        each.split: {n for n, total in zip(each.classes, each.class_totals(), strict=True) if total}
        for each in listings
    }
    if claim.class_list:
        lacking = set(claim.class_list) - present.get("train", set(claim.class_list))
        if lacking and "empty-classes" not in options.allow:
            raise RefusedError(
                f"train lacks {counted(len(lacking), 'class')} of those that the source lists "
                f"({names.first_names(lacking)}); add what is missing, or choose `allow='empty-classes'` to keep the "
                "labels of the others"
            )
    elif "different-classes" not in options.allow:
        _check_alike({split: set(form.classes()) for split, form in claim.splits.items()})
        _check_alike(present)


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


def check_rejects(layout: Layout, listings: Sequence[Listing]) -> None:
    """Refuse a reading by which most images lie in the wrong place.

    Raises:
        RefusedError: most images of a split have no label or lie too deep.
    """
    for listing in listings:
        astray = [reject for reject in listing.rejects if reject.reason in {Reason.NESTED, Reason.NO_LABEL}]
        if len(astray) > len(listing):
            raise RefusedError(
                f"{listing.split} has {counted(len(listing), 'image')} as {layout.title}, and {len(astray):,} "
                f"others like {astray[0].name} ({astray[0].reason}, {astray[0].detail}); move them, or choose "
                f"`layout={layout.name!r}` to go on without them"
            )


def check_left_out(root: Folder, known: set[str]) -> None:
    """Refuse split folders, and archives named after a split, that the layout does not read.

    Args:
        root: the source's top folder.
        known: the paths that are read, or left out with a reason.

    Raises:
        RefusedError: there is one.
    """
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


def class_notes(listing: Listing, *, subset: bool) -> list[str]:
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
