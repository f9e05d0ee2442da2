"""A listing and options in, the global order and its shards out: pure, so the same input gives the same plan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.raw.listing import Listing
from alexnet_pipeline.records import MethodOptions, RawImage


@dataclass(frozen=True, slots=True)
class Plan:
    """The order of one split.

    Attributes:
        listing: what was found.
        order: (images,) int64 positions in the listing, in output order.
        shard_size_images: planned images per shard.
    """

    listing: Listing
    order: NDArray[np.int64]
    shard_size_images: int

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-len(self.order) // self.shard_size_images)

    def images(self, shard: int) -> tuple[RawImage, ...]:
        """The planned pictures of a shard, in order."""
        start = shard * self.shard_size_images
        return tuple(self.listing.image(int(i)) for i in self.order[start : start + self.shard_size_images])

    def digest(self) -> str:
        """Sha256 in hex over the names and labels in order: another listing gives another digest."""
        state = hashlib.sha256()
        for position in self.order.tolist():
            line = f"{self.listing.labels[position]} {self.listing.names[position]}\n"
            state.update(line.encode("utf-8", "surrogateescape"))
        return state.hexdigest()


def plan_shards(listing: Listing, options: MethodOptions) -> Plan:
    """Order a split and cut it into shards.

    Shuffled order is by BLAKE2b of the key under the seed: it depends on nothing but keys and seed, not even on
    a library's random generator, and taking a picture away leaves the others in their order.
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
    """Digest of sizes and modification times: tells on resume whether a shard's inputs were touched."""
    text = "\n".join(f"{image.key} {image.size_bytes} {image.modified_ns}" for image in images)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _rank(key: str, seed: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("ascii"), key=seed, digest_size=8).digest(), "big")
