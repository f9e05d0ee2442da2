"""The original tars of ILSVRC2012, listed without extracting them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.listing import Listing, ListingBuilder
from alexnet_pipeline.raw.tarscan import Member, scan_tar
from alexnet_pipeline.records import Reason

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VAL_TAR = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"

REASONS = {
    "link": (Reason.LINK_MEMBER, "a link; links in archives are not followed"),
    "special": (Reason.SPECIAL_MEMBER, "neither a file nor a folder"),
}


def train_classes(path: Path) -> tuple[str, ...]:
    """The class names of the train tar, sorted; they are the names of its inner tars."""
    with _opened(path) as (descriptor, size, _):
        members = scan_tar(descriptor, 0, size)
        return tuple(sorted({_wnid(m.name) for m in members if m.kind == "file" and m.name.endswith(".tar")}))


def list_train(path: Path, classes: tuple[str, ...]) -> Listing:
    """List the images of every inner tar of the train tar."""
    builder = ListingBuilder("train", classes)
    with _opened(path) as (descriptor, size, modified_ns):
        file = builder.add_file(str(path))
        for outer in scan_tar(descriptor, 0, size):
            if not _is_file(builder, outer, path.name, outer.name):
                continue
            if not outer.name.endswith(".tar"):
                builder.reject(outer.name, Reason.NOT_AN_IMAGE, "expected a tar of one class")
                continue
            wnid = _wnid(outer.name)
            for inner in scan_tar(descriptor, outer.offset, outer.offset + outer.size_bytes):
                if _is_file(builder, inner, outer.name, f"{wnid}/{inner.name}"):
                    name = f"{wnid}/{PurePosixPath(inner.name).name}"
                    builder.add(wnid, name, file, inner.offset, inner.size_bytes, modified_ns)
    return builder.build()


def list_val(path: Path, classes: tuple[str, ...], wnids: tuple[str, ...]) -> Listing:
    """List the images of the validation tar; `wnids` holds the class of each image, by sorted file name.

    Raises:
        RefusedError: the images cannot be matched with the labels.
    """
    builder = ListingBuilder("val", classes)
    with _opened(path) as (descriptor, size, modified_ns):
        file = builder.add_file(str(path))
        members = list(scan_tar(descriptor, 0, size))
        images = [member for member in members if _is_file(builder, member, path.name, member.name)]
        numbered = _by_number(images, path, len(wnids), cut=any(m.kind == "damage" for m in members))
        for member, wnid in zip(numbered, wnids, strict=False):
            name = f"{wnid}/{PurePosixPath(member.name).name}"
            builder.add(wnid, name, file, member.offset, member.size_bytes, modified_ns)
    return builder.build()


def _by_number(images: list[Member], path: Path, labels: int, *, cut: bool) -> list[Member]:
    ordered = sorted(images, key=lambda member: member.name)
    if len(ordered) == labels:
        return ordered
    if not cut:
        raise RefusedError(
            f"{path} holds {len(ordered)} images, but the devkit has {labels} labels; both must be of ILSVRC2012"
        )
    # A truncated tar holds only its first images; the number in an image's name tells which label it has.
    numbers = {_number(member.name): member for member in ordered}
    if not set(numbers) <= set(range(1, labels + 1)):
        raise RefusedError(f"{path} is truncated and its images' names carry no numbers to match labels by")
    return [numbers[number] for number in sorted(numbers)]


def _number(name: str) -> int:
    digits = PurePosixPath(name).stem.rpartition("_")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _is_file(builder: ListingBuilder, member: Member, archive: str, name: str) -> bool:
    """Whether a member is a file that may be read; if not, reject it under `name`."""
    if member.kind == "damage":
        builder.reject(archive, Reason.TRUNCATED_ARCHIVE, member.name)
    elif member.kind != "file":
        builder.reject(name, *REASONS[member.kind])
    elif member.name.startswith("/") or ".." in PurePosixPath(member.name).parts:
        builder.reject(name, Reason.UNSAFE_NAME, "an absolute name or one with '..'")
    else:
        return True
    return False


def _wnid(name: str) -> str:
    return PurePosixPath(name).stem


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int, int]]:
    """Open a file: (descriptor, size in bytes, modification time in ns)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        yield descriptor, status.st_size, status.st_mtime_ns
    finally:
        os.close(descriptor)
