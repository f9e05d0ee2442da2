"""Checks of what was read of a source, before anything is written: classes, rejects, and what is left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Claim, holds_images
from alexnet_pipeline.raw.forms import is_class_tar
from alexnet_pipeline.raw.layouts import Layout
from alexnet_pipeline.raw.listing import Listing
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.records import Reason, Reject
from alexnet_pipeline.text import counted

# A class with fewer images than this part of the median is mentioned.
FEW = 0.1


def check_classes(claim: Claim, options: SourceOptions, listings: Sequence[Listing]) -> None:
    """Refuse splits with other classes than the source lists or than each other.

    That is a wrong reading more often than meant.

    Raises:
        RefusedError: nothing allows it.
    """
    damaged = [each for listing in listings for each in listing.rejects if each.reason == Reason.TRUNCATED_ARCHIVE]
    if options.classes or claim.order:  # labels that nothing can shift
        return
    if damaged:
        _check_damage(claim, options, damaged)
        return
    train = next((listing for listing in listings if listing.split == "train"), None)
    if claim.class_list is None:
        if "different-classes" not in options.allow:
            _check_alike({split: set(form.classes()) for split, form in claim.splits.items()})
    elif train is not None and "empty-classes" not in options.allow:
        totals = zip(train.classes, train.class_totals(), strict=True)
        lacking = [name for name, total in totals if not total]
        if lacking:
            raise RefusedError(
                f"train lacks {counted(len(lacking), 'class')} of those that the source lists "
                f"({names.first_names(lacking)}); add what is missing, or choose `allow='empty-classes'` to keep the "
                "labels of the others"
            )


def _check_damage(claim: Claim, options: SourceOptions, damaged: Sequence[Reject]) -> None:
    """Refuse a damaged archive whose classes are its members: some may be lost, which shifts the labels of others."""
    whole = next((each for each in damaged if not is_class_tar(each.name)), None)
    if whole and not claim.class_list and "broken-classes" not in options.allow:
        raise RefusedError(
            f"{whole.name} is damaged ({whole.detail}), so classes may be missing; fetch it again, list the classes "
            "with `classes`, or choose `allow='broken-classes'` to go on with those before the damage"
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


def check_left_out(root: Folder, splits: Collection[str], known: set[str]) -> None:
    """Refuse folders and archives named after a split that the layout does not read.

    Args:
        root: the source's top folder.
        splits: the splits that are read.
        known: the paths that are read, or left out with a reason.

    Raises:
        RefusedError: there is one.
    """
    place = root
    while len(place.names.folders) == 1 and not place.names.files and place.path not in known:
        place = place.folder(place.names.folders[0])
    if place.path in known:
        return
    for name in place.names.folders:
        path = place.join(name)
        inside = any(each == path or each.startswith(f"{path}/") for each in known)
        if names.split_in(name) and not inside and holds_images(place.folder(name)):
            raise RefusedError(
                f"{path}/ is a split by its name, but is not read as this layout; rename it, move it, or name the "
                "splits to write with `split`"
            )
    for name in place.names.files:
        archive = names.suffix_of(name) in names.ARCHIVES | names.PARTIAL
        split = names.split_in(name)
        # Archives of test are published without labels.
        if archive and split not in {None, "test", *splits} and place.join(name) not in known:
            raise RefusedError(
                f"{place.join(name)} is a split by its name, but is not read; unpack it, remove it, or name the splits "
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
