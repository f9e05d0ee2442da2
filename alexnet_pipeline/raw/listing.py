"""The listing of a split, stored in columns because ImageNet-21k has 14 million images; and the keys of samples."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.raw.names import stem_of
from alexnet_pipeline.raw.tree import Entry, Place
from alexnet_pipeline.records import RawImage, Reason, Reject
from alexnet_pipeline.text import recorded

# A key and the longest suffix of a member (".json") must fit a USTAR name of 100 bytes.
MAX_KEY_BYTES = 90
DIGEST_LETTERS = 8
# Texts that are made at a time from a column.
PART_TEXTS = 10_000


class TextColumn(Sequence[str]):
    """Texts in one buffer, at a tenth of the memory of a list of them."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ends = array("q")

    @classmethod
    def of_arrays(cls, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> TextColumn:
        """Inverse of `arrays`.

        Raises:
            ValueError: the ends do not fit the data.
        """
        if len(ends) and (ends[0] < 0 or ends[-1] != len(data) or (np.diff(ends) < 0).any()):
            raise ValueError("the texts of a column have no valid ends")
        column = cls()
        column._data += data.tobytes()
        column._ends.frombytes(ends.astype(np.int64).tobytes())
        return column

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """All texts as UTF-8, one after the other, and the end of each."""
        return np.frombuffer(self._data, np.uint8), np.frombuffer(self._ends, np.int64)

    def append(self, text: str) -> None:
        """Append a text."""
        self._data += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._data))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, position: int) -> str:  # type: ignore[override] # slices are not needed
        return self.encoded(position).decode("utf-8", "surrogateescape")

    def encoded(self, position: int) -> bytes:
        """A text as UTF-8."""
        start = self._ends[position - 1] if position else 0
        return bytes(self._data[start : self._ends[position]])

    def encoded_parts(self) -> Iterator[list[bytes]]:
        """All texts as UTF-8, in parts of `PART_TEXTS`."""
        start = 0
        for first in range(0, len(self), PART_TEXTS):
            ends = self._ends[first : first + PART_TEXTS].tolist()
            data = bytes(self._data[start : ends[-1]])
            yield [data[a - start : b - start] for a, b in zip([start, *ends], ends, strict=False)]
            start = ends[-1]


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of one split, in source order.

    Attributes:
        split: `train`, `val` or `test`.
        classes: class names of the whole source; the position is the label.
        keys: key of each image, ASCII and unique.
        files: file name of each image; its name is `CLASS/FILE`.
        labels: (images,) int32 label of each image.
        places: where the bytes of images lie.
        place_of: (images,) int32 index into `places` of each image.
        offsets: (images,) int64 offset of each image's bytes in its place.
        sizes: (images,) int64 size of each image in bytes.
        versions: (images,) int64 version of each image's file; see `Entry.version`.
        rejects: inputs that cannot be images.
    """

    split: str
    classes: tuple[str, ...]
    keys: TextColumn
    files: TextColumn
    labels: NDArray[np.int32]
    places: tuple[Place, ...]
    place_of: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    versions: NDArray[np.int64]
    rejects: tuple[Reject, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"<{self.split}: {len(self):,} images of {len(self.classes):,} classes, {len(self.rejects):,} rejected>"

    def name(self, position: int) -> str:
        """The name of the image at a position, `CLASS/FILE`."""
        return f"{self.classes[self.labels[position]]}/{recorded(self.files[position])}"

    def image(self, position: int) -> RawImage:
        """The image at a position."""
        label, place, file = int(self.labels[position]), self.places[self.place_of[position]], self.files[position]
        wnid = self.classes[label]
        return RawImage(
            key=self.keys[position],
            label=label,
            wnid=wnid,
            name=f"{wnid}/{recorded(file)}",
            path=_path(place, wnid, file),
            offset=int(self.offsets[position]),
            size_bytes=int(self.sizes[position]),
            version=int(self.versions[position]),
            packing=place.packing,
            column=place.column,
        )

    def class_totals(self) -> tuple[int, ...]:
        """The number of images of each class, in label order."""
        return tuple(np.bincount(self.labels, minlength=len(self.classes)).tolist())


class ListingBuilder:
    """Builds a listing image by image; no two images get the same key."""

    def __init__(self, split: str, classes: tuple[str, ...]) -> None:
        self.split = split
        self._classes = classes
        self._label_of = {name: label for label, name in enumerate(classes)}
        self._keys, self._files = TextColumn(), TextColumn()
        self._hashes = array("q")
        self._labels, self._place_of = array("i"), array("i")
        self._offsets, self._sizes, self._versions = array("q"), array("q"), array("q")
        self._places: list[Place] = []
        self._rejects: list[Reject] = []
        self._patches: dict[str, tuple[int, Entry]] = {}
        # Files that are neither images nor rejects, counted by (what, why); and files read for their labels.
        self.ignored: Counter[tuple[str, str]] = Counter()
        self.used = 0

    def __len__(self) -> int:
        return len(self._labels)

    def add_place(self, place: Place) -> int:
        """Add a place that holds images, and return its number for `add`."""
        self._places.append(place)
        return len(self._places) - 1

    def add(
        self,
        wnid: str,
        file: str,
        place: int,
        size_bytes: int,
        version: int,
        offset: int = 0,
        key: str | None = None,
    ) -> None:
        """Add an image of a class; `key` is a key that the source itself gives it."""
        if file in self._patches:
            self.ignored["images", "replaced by corrected ones"] += 1
            place, (_, size_bytes, version, offset, _, _) = self._patches[file]
        key = key_of(wnid, file) if key is None else safe_key(key, f"{wnid}/{file}")
        self._keys.append(key)
        self._files.append(file)
        self._hashes.append(hash(key))
        self._labels.append(self._label_of[wnid])
        self._place_of.append(place)
        self._offsets.append(offset)
        self._sizes.append(size_bytes)
        self._versions.append(version)

    def patch(self, file: str, place: int, entry: Entry) -> None:
        """Read the image of a file name from elsewhere, whenever it is added."""
        self._patches[file] = place, entry

    def reject(self, name: str, reason: Reason, detail: str) -> None:
        """Record an input that cannot be an image."""
        self._rejects.append(Reject(recorded(name), reason, recorded(detail)))

    def build(self) -> Listing:
        """The finished listing; an image whose name was added before is rejected as a duplicate."""
        listing = Listing(
            split=self.split,
            classes=tuple(map(recorded, self._classes)),
            keys=self._keys,
            files=self._files,
            labels=np.frombuffer(self._labels, np.int32),
            places=tuple(self._places),
            place_of=np.frombuffer(self._place_of, np.int32),
            offsets=np.frombuffer(self._offsets, np.int64),
            sizes=np.frombuffer(self._sizes, np.int64),
            versions=np.frombuffer(self._versions, np.int64),
            rejects=tuple(self._rejects),
        )
        changed = _distinct(listing, np.frombuffer(self._hashes, np.int64))
        return _with_keys(listing, changed) if changed else listing


def _distinct(listing: Listing, hashes: NDArray[np.int64]) -> dict[int, str | Reject]:
    """New keys, or rejects, of images whose key is that of an earlier one.

    Only images with equal hashes are looked at; a dictionary of all keys would take gigabytes for ImageNet-21k.
    """
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    suspects = sorted(set(order[same].tolist()) | set(order[same + 1].tolist()))
    first_with: dict[str, int] = {}
    changed: dict[int, str | Reject] = {}
    for position in suspects:
        key, name = listing.keys[position], listing.name(position)
        if key in first_with and listing.name(first_with[key]) != name:
            key = changed[position] = _with_digest(key, name)
        taken = key in first_with or (position in changed and _is_taken(listing, key, hashes, order))
        if taken:
            kept = listing.name(first_with[key]) if key in first_with else key
            changed[position] = Reject(name, Reason.DUPLICATE_KEY, f"it has the key of {kept}, which is kept")
        else:
            first_with[key] = position
    return changed


def _is_taken(listing: Listing, key: str, hashes: NDArray[np.int64], order: NDArray[np.intp]) -> bool:
    wanted = hash(key)
    first, last = (int(np.searchsorted(hashes, wanted, side, sorter=order)) for side in ("left", "right"))
    return any(listing.keys[int(position)] == key for position in order[first:last])


def _with_keys(listing: Listing, changed: dict[int, str | Reject]) -> Listing:
    keys, files, kept = TextColumn(), TextColumn(), []
    rejects = list(listing.rejects)
    for position in range(len(listing)):
        change = changed.get(position)
        if isinstance(change, Reject):
            rejects.append(change)
            continue
        kept.append(position)
        keys.append(change or listing.keys[position])
        files.append(listing.files[position])
    return Listing(
        listing.split,
        listing.classes,
        keys,
        files,
        listing.labels[kept],
        listing.places,
        listing.place_of[kept],
        listing.offsets[kept],
        listing.sizes[kept],
        listing.versions[kept],
        tuple(rejects),
    )


def _path(place: Place, wnid: str, file: str) -> str:
    if not place.folder:
        return place.path
    if place.class_at_end:
        stem, dot, suffix = file.rpartition(".")
        file = f"{stem}_{wnid}{dot}{suffix}"
    return f"{place.path}/{file}"


_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def key_of(wnid: str, file: str) -> str:
    """Make the key of an image: the stem of its file, after the class unless it begins with that or with ILSVRC.

    Characters outside A-Z a-z 0-9 _ - become `_`. Such a key, or one that is too long, ends in a digest of the name, so
    that different names never get the same key.
    """
    stem = stem_of(file)
    plain = stem if stem.startswith((f"{wnid}_", "ILSVRC")) else f"{wnid}_{stem}"
    return safe_key(plain, f"{wnid}/{file}")


def safe_key(plain: str, name: str) -> str:
    """Make a key safe: see `key_of`."""
    safe = _UNSAFE.sub("_", plain)
    if safe != plain or len(safe) > MAX_KEY_BYTES:
        return _with_digest(safe, name)
    return safe


def _with_digest(key: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:DIGEST_LETTERS]
    return f"{key[: MAX_KEY_BYTES - DIGEST_LETTERS - 1]}-{digest}"
