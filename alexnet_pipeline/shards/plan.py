"""Plan the shards of a split: its seeded global order, a pure function of its listing and the options."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.manifest import FORMAT_VERSION
from alexnet_pipeline.raw.listing import Listing, TextColumn
from alexnet_pipeline.records import RawImage, Reason, SetOptions
from alexnet_pipeline.storage.place import Location

# Images whose names are hashed at a time.
DIGESTED_IMAGES = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The output order of the images of one split.

    Attributes:
        listing: the images of the source.
        order: (images,) int64 positions in the listing, in output order.
        shard_size_images: planned images per shard.
        digest: SHA-256 in hex of all names and labels in output order, which tells different inputs apart.
        stamps: for each shard a digest of the sizes and versions of its planned images, by which a resumed run detects
            that they were modified.
    """

    listing: Listing
    order: NDArray[np.int64]
    shard_size_images: int
    digest: str
    stamps: tuple[str, ...]

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-len(self.order) // self.shard_size_images)

    def images_in(self, first: int, last: int) -> int:
        """The number of planned images of shards [first, last)."""
        return len(self.order[first * self.shard_size_images : last * self.shard_size_images])

    def positions(self, shard: int) -> list[int]:
        """The positions in the listing of the planned images of a shard, in order."""
        start = shard * self.shard_size_images
        return self.order[start : start + self.shard_size_images].tolist()  # type: ignore[no-any-return]

    def images(self, shard: int) -> tuple[RawImage, ...]:
        """The planned images of a shard, in order."""
        return tuple(map(self.listing.image, self.positions(shard)))


@dataclass(frozen=True, slots=True)
class Target:
    """The data set that gets one of the shards of a job.

    Attributes:
        folder: folder of the data set.
        options: the options that determine its bytes.
        format_version: format version of its shards; one that an earlier version began is completed in its format.
    """

    folder: Location
    options: SetOptions
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class ShardJob:
    """The work of writing one shard of one split, for every method that lacks it.

    Attributes:
        split: `train`, `val` or `test`.
        index: the shard's number.
        images: the planned images, in order.
        targets: one per method.
        classes: number of classes of the set.
        stamp: what `Plan.stamps` has for the shard.
        doomed: by position, the images that killed workers, with the reason to reject them for.
    """

    split: str
    index: int
    images: tuple[RawImage, ...]
    targets: tuple[Target, ...]
    classes: int
    stamp: str = ""
    doomed: dict[int, Reason] = field(default_factory=dict)


def plan_shards(listing: Listing, options: SetOptions) -> Plan:
    """Order the images of a split, and divide them into shards.

    The shuffle sorts by the BLAKE2b hash of the key, with the seed as hash key. It depends only on keys and seed, not
    on a library's random generator, and removing an image does not change the order of the others. Images in Parquet
    files are shuffled by row groups, so that a shard reads few of them, and then within each shard.
    """
    if not options.shuffle:
        order = np.arange(len(listing), dtype=np.int64)
    elif any(place.group_ends for place in listing.places):
        order = _shuffled_groups(listing, options)
    else:
        order = _shuffled(listing.keys, options.seed)
    order, size = order[: options.limit_images], options.shard_size_images
    stamps = (_stamp(listing, order[start : start + size]) for start in range(0, len(order), size))
    return Plan(listing, order, size, _digest(listing, order), tuple(stamps))


def _stamp(listing: Listing, positions: NDArray[np.int64]) -> str:
    """A digest of the images at some positions, their sizes and versions."""
    sizes, versions = listing.sizes[positions].tolist(), listing.versions[positions].tolist()
    inputs = zip(map(listing.keys.__getitem__, positions.tolist()), sizes, versions, strict=True)
    text = "\n".join([f"{key} {size_bytes} {version}" for key, size_bytes, version in inputs])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _digest(listing: Listing, order: NDArray[np.int64]) -> str:
    files, labels = listing.files, listing.labels
    heads = [f"{label} {name}/".encode("utf-8", "surrogateescape") for label, name in enumerate(listing.classes)]
    state = hashlib.sha256()
    for start in range(0, len(order), DIGESTED_IMAGES):
        part = order[start : start + DIGESTED_IMAGES]
        named = zip(labels[part].tolist(), map(files.encoded, part.tolist()), strict=True)
        state.update(b"".join([heads[label] + name + b"\n" for label, name in named]))
    return state.hexdigest()


def _shuffled(keys: TextColumn, seed: int) -> NDArray[np.int64]:
    """The positions of keys by rank; keys of equal rank, if there ever are any, by name."""
    ranks = _ranks(keys, seed)
    order = np.argsort(ranks, kind="stable")
    if (ranks[order][1:] == ranks[order][:-1]).any():
        order = np.array(sorted(range(len(keys)), key=lambda at: (int(ranks[at]), keys[at])), np.int64)
    return order


def _ranks(keys: TextColumn, seed: int) -> NDArray[np.uint64]:
    blake2b, secret = hashlib.blake2b, str(seed).encode("ascii")
    digests = bytearray()
    for part in keys.encoded_parts():
        digests += b"".join([blake2b(key, key=secret, digest_size=8).digest() for key in part])
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def _shuffled_groups(listing: Listing, options: SetOptions) -> NDArray[np.int64]:
    """Row groups in the order of their ranks, and within each shard the images in that of theirs."""
    group_of = np.zeros(len(listing), np.int64)
    names = TextColumn()
    for number, place in enumerate(listing.places):
        inside = listing.place_of == number
        group_of[inside] = len(names) + np.searchsorted(place.group_ends, listing.offsets[inside], "right")
        for group in range(max(1, len(place.group_ends))):
            names.append(f"{place.path.rpartition('/')[2]} {group}")
    place_in_order = np.empty(len(names), np.int64)
    place_in_order[_shuffled(names, options.seed)] = np.arange(len(names))
    shard_of = np.empty(len(listing), np.int64)
    by_group = np.lexsort((np.arange(len(listing)), place_in_order[group_of]))
    shard_of[by_group] = np.arange(len(listing)) // options.shard_size_images
    return np.lexsort((_ranks(listing.keys, options.seed), shard_of)).astype(np.int64)
