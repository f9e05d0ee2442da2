"""Plan the shards of a split: its seeded global order, a pure function of its listing and the options."""

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
    """The output order of the images of one split.

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
        """SHA-256 in hex of all names and labels in output order, which tells different inputs apart."""
        state = hashlib.sha256()
        for position in self.order.tolist():
            line = f"{self.listing.labels[position]} {self.listing.names[position]}\n"
            state.update(line.encode("utf-8", "surrogateescape"))
        return state.hexdigest()


@dataclass(frozen=True, slots=True)
class Target:
    """The data set that gets one of the shards of a job.

    Attributes:
        folder: folder of the data set.
        options: the options that determine its bytes.
    """

    folder: Path
    options: SetOptions


@dataclass(frozen=True, slots=True)
class ShardJob:
    """The work of writing one shard of one split, for every method that lacks it.

    Attributes:
        split: `train`, `val` or `test`.
        index: the shard's number.
        images: the planned images, in order.
        targets: one per method.
        classes: number of classes of the set.
        doomed: by position, the images that killed workers, with the reason to reject them for.
    """

    split: str
    index: int
    images: tuple[RawImage, ...]
    targets: tuple[Target, ...]
    classes: int
    doomed: dict[int, Reason] = field(default_factory=dict)


def plan_shards(listing: Listing, options: SetOptions) -> Plan:
    """Order the images of a split, and divide them into shards.

    The shuffle sorts by the BLAKE2b hash of the key, with the seed as hash key. It depends only on keys and seed, not
    on a library's random generator, and removing an image does not change the order of the others.
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
    """A digest of sizes and modification times, by which a resumed run detects that a shard's inputs were modified."""
    text = "\n".join(f"{image.key} {image.size_bytes} {image.modified_ns}" for image in images)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _rank(key: str, seed: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("ascii"), key=seed, digest_size=8).digest(), "big")
