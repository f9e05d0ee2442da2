"""The seeded global order of a split, cut into shards: pure, so the same listing and options give the same plan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.raw.listing import Listing
from alexnet_pipeline.records import RawImage, Reason, SetOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """The order of one split.

    Attributes:
        listing: the images of the source.
        order: (images,) int64 positions in the listing, in output order.
        shard_size_images: planned images per shard.
    """

    listing: Listing
    order: NDArray[np.int64]
    shard_size_images: int

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-len(self.order) // self.shard_size_images)

    def images(self, shard: int) -> tuple[RawImage, ...]:
        """The planned images of a shard, in order."""
        start = shard * self.shard_size_images
        return tuple(self.listing.image(int(i)) for i in self.order[start : start + self.shard_size_images])

    def digest(self) -> str:
        """Sha256 in hex over names and labels in order, which differs between any two listings."""
        state = hashlib.sha256()
        for position in self.order.tolist():
            line = f"{self.listing.labels[position]} {self.listing.names[position]}\n"
            state.update(line.encode("utf-8", "surrogateescape"))
        return state.hexdigest()


@dataclass(frozen=True, slots=True)
class Target:
    """Where one method's shard of a job goes.

    Attributes:
        folder: the data set's.
        options: that decide its bytes.
    """

    folder: Path
    options: SetOptions


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard of one split, for every method that lacks it.

    Attributes:
        split: `train`, `val` or `test`.
        index: the shard's number.
        images: planned, in order.
        targets: one per method.
        classes: number of classes of the set.
        doomed: position of an image that killed workers -> the reason to reject it with.
    """

    split: str
    index: int
    images: tuple[RawImage, ...]
    targets: tuple[Target, ...]
    classes: int
    doomed: dict[int, Reason] = field(default_factory=dict)


def plan_shards(listing: Listing, options: SetOptions) -> Plan:
    """Order a split and cut it into shards.

    The shuffled order sorts by BLAKE2b of the key under the seed: it depends on keys and seed only, not on a library's
    random generator, and removing an image leaves the order of the others as it was.
    """
    keys = listing.keys
    if options.shuffle:
        by_key = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        seed = str(options.seed).encode("ascii")
        ranks = np.fromiter((_rank(keys[i], seed) for i in by_key.tolist()), np.uint64, len(keys))
        order = by_key[np.argsort(ranks, kind="stable")]
    else:
        order = np.arange(len(keys), dtype=np.int64)
    return Plan(listing, order[: options.limit_images], options.shard_size_images)


def source_stamp(images: tuple[RawImage, ...]) -> str:
    """A digest of sizes and modification times, which tells on resume whether a shard's inputs were touched."""
    text = "\n".join(f"{image.key} {image.size_bytes} {image.modified_ns}" for image in images)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _rank(key: str, seed: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("ascii"), key=seed, digest_size=8).digest(), "big")
