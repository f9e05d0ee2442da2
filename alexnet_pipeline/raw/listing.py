"""The listing of a split, stored in columns because ImageNet has 1.28 million images; and the keys of samples."""

from __future__ import annotations

import hashlib
import re
from array import array
from dataclasses import dataclass

from alexnet_pipeline.records import RawImage, Reason, Reject

# A key and the longest suffix of a member (".json") must fit a USTAR name of 100 bytes.
MAX_KEY_BYTES = 90
DIGEST_LETTERS = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of one split, in source order.

    Attributes:
        split: `train`, `val` or `test`.
        classes: class names of the whole source; the position is the label.
        keys: key of each image, ASCII and unique.
        names: `CLASS/FILE` of each image.
        labels: label of each image.
        files: the files that hold the images' bytes.
        file_of: index into `files` of each image.
        offsets: offset of each image's bytes in its file.
        sizes: size of each image in bytes.
        modified_ns: modification time of each image's file.
        rejects: inputs that cannot be images.
    """

    split: str
    classes: tuple[str, ...]
    keys: list[str]
    names: list[str]
    labels: array[int]
    files: list[str]
    file_of: array[int]
    offsets: array[int]
    sizes: array[int]
    modified_ns: array[int]
    rejects: tuple[Reject, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def image(self, position: int) -> RawImage:
        """The image at a position."""
        return RawImage(
            key=self.keys[position],
            label=self.labels[position],
            wnid=self.classes[self.labels[position]],
            name=self.names[position],
            path=self.files[self.file_of[position]],
            offset=self.offsets[position],
            size_bytes=self.sizes[position],
            modified_ns=self.modified_ns[position],
        )


class ListingBuilder:
    """Builds a listing image by image; no two images get the same key."""

    def __init__(self, split: str, classes: tuple[str, ...]) -> None:
        self._split = split
        self._classes = classes
        self._label_of = {name: label for label, name in enumerate(classes)}
        self._seen: dict[str, str] = {}
        self._names: list[str] = []
        self._labels = array("i")
        self._files: list[str] = []
        self._file_of = array("i")
        self._offsets, self._sizes, self._modified = array("q"), array("q"), array("q")
        self._rejects: list[Reject] = []

    def add_file(self, path: str) -> int:
        """Add a file that holds images, and return its number for `add`."""
        self._files.append(path)
        return len(self._files) - 1

    def add(self, wnid: str, name: str, file: int, offset: int, size_bytes: int, modified_ns: int) -> None:
        """Add an image; a name that was added before is rejected as a duplicate."""
        key = key_of(wnid, name)
        if self._seen.get(key, name) != name:
            key = _with_digest(key, name)
        if key in self._seen:
            self.reject(name, Reason.DUPLICATE_KEY, f"it has the key of {self._seen[key]}, which is kept")
            return
        self._seen[key] = name
        self._names.append(name)
        self._labels.append(self._label_of[wnid])
        self._file_of.append(file)
        self._offsets.append(offset)
        self._sizes.append(size_bytes)
        self._modified.append(modified_ns)

    def reject(self, name: str, reason: Reason, detail: str) -> None:
        """Record an input that cannot be an image."""
        self._rejects.append(Reject(name, reason, detail))

    def build(self) -> Listing:
        """The finished listing."""
        return Listing(
            split=self._split,
            classes=self._classes,
            keys=list(self._seen),
            names=self._names,
            labels=self._labels,
            files=self._files,
            file_of=self._file_of,
            offsets=self._offsets,
            sizes=self._sizes,
            modified_ns=self._modified,
            rejects=tuple(self._rejects),
        )


_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def key_of(wnid: str, name: str) -> str:
    """Make the key of `CLASS/FILE`: the file's stem, after the class unless it begins with that or with ILSVRC.

    Characters outside A-Z a-z 0-9 _ - become `_`. Such a key, or one that is too long, ends in a digest of the name, so
    that different names never get the same key.
    """
    stem = name.rpartition("/")[2].rpartition(".")[0] or name.rpartition("/")[2]
    plain = stem if stem.startswith((f"{wnid}_", "ILSVRC")) else f"{wnid}_{stem}"
    safe = _UNSAFE.sub("_", plain)
    if safe != plain or len(safe) > MAX_KEY_BYTES:
        return _with_digest(safe, name)
    return safe


def _with_digest(key: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:DIGEST_LETTERS]
    return f"{key[: MAX_KEY_BYTES - DIGEST_LETTERS - 1]}-{digest}"
