"""Pictures in; mean image, covariance and PCA out. Integer sums, so that merging in any order is exact."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.records import PixelStatistics
from alexnet_pipeline.shards.pixel_sums import add_pixels

# Pictures until their sum of one byte could pass 16 bits.
MAX_RECENT_IMAGES = ((1 << 16) - 1) // 255
# Pictures until a shard's sum of one byte could pass 32 bits.
MAX_SHARD_IMAGES = ((1 << 32) - 1) // 255


@dataclass(slots=True)
class Sums:
    """Sums over the pictures of a shard, or of many.

    Attributes:
        image: (height, width, 3) int64, or uint32 for one shard: sum of all pictures; empty where sizes differ.
        recent: the same, uint16, of the last few pictures, which `image` does not hold yet: a quarter of the memory
            to go through for each picture.
        recent_images: how many they are.
        channels: (3,) int64 sum of all pixels, R G B.
        products: (3, 3) int64 sum of all pixels' outer products, upper triangle.
        counts: (3,) int64: pixels, pictures, enlarged pictures.
        labels: (classes,) int64 pictures per class.
    """

    image: NDArray[np.int64] | NDArray[np.uint32]
    recent: NDArray[np.uint16]
    recent_images: int
    channels: NDArray[np.int64]
    products: NDArray[np.int64]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]

    @classmethod
    def zero(cls, shape: tuple[int, ...], classes: int) -> Sums:
        """No pictures yet; `shape` is that of every picture, or (0, 0, 3) where sizes differ."""
        recent = np.zeros(shape, np.uint16)
        return cls(_zeros(*shape), recent, 0, _zeros(3), _zeros(3, 3), _zeros(3), _zeros(classes))

    @classmethod
    def of_shard(cls, shape: tuple[int, ...], classes: int) -> Sums:
        """The same for at most `MAX_SHARD_IMAGES`: half the memory."""
        return replace(cls.zero(shape, classes), image=np.zeros(shape, np.uint32))

    def add(self, picture: NDArray[np.uint8], label: int, *, upsampled: bool) -> None:
        """Count one HWC uint8 picture."""
        if self.recent_images == MAX_RECENT_IMAGES:
            self._settle()
        self.recent_images += 1
        add_pixels(picture.reshape(-1), self.recent.reshape(-1), self.channels, self.products)
        self.counts[0] += picture.size // 3
        self.counts[1] += 1
        self.counts[2] += upsampled
        self.labels[label] += 1

    def merge(self, other: Sums) -> None:
        """Add the sums of other pictures."""
        for mine, theirs in zip(self._arrays(), other._arrays(), strict=True):
            np.add(mine, theirs, out=mine)

    def to_bytes(self) -> bytes:
        """A `.npz`, .8 MB for a shard of 256 x 256. Packing would save a third and cost 20 ms."""
        buffer = io.BytesIO()
        np.savez(buffer, *self._arrays())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sums:
        """Inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            image, *others = (arrays[f"arr_{position}"].astype(np.int64) for position in range(5))
            return cls(image, np.zeros(image.shape, np.uint16), 0, *others)

    def mean_image(self) -> NDArray[np.float32]:
        """(height, width, 3) float32 in 0..255; empty where sizes differ."""
        self._settle()
        return (self.image / max(1, int(self.counts[1]))).astype(np.float32)

    def statistics(self) -> PixelStatistics | None:
        """Mean, covariance and PCA over all pixels; None without pixels."""
        pixels = int(self.counts[0])
        if not pixels:
            return None
        mean = self.channels / pixels
        upper = np.triu(self.products)
        covariance = (upper + np.triu(upper, 1).T) / pixels - np.outer(mean, mean)
        variances, vectors = np.linalg.eigh(covariance)
        rows = vectors.T[::-1]
        # An eigenvector's sign is free: the largest component is positive, so that runs agree.
        rows = rows * np.sign(rows[np.arange(3), np.abs(rows).argmax(1)])[:, None]
        deviations = np.sqrt(np.maximum(variances[::-1], 0))
        return PixelStatistics(
            mean=tuple(mean.tolist()),
            covariance=tuple(map(tuple, covariance.tolist())),
            pca_deviations=tuple(deviations.tolist()),
            pca_vectors=tuple(map(tuple, rows.tolist())),
        )

    def _settle(self) -> None:
        """Add the last few pictures to the image."""
        np.add(self.image, self.recent, out=self.image, casting="unsafe")
        self.recent.fill(0)
        self.recent_images = 0

    def _arrays(self) -> tuple[NDArray[np.integer[Any]], ...]:
        self._settle()
        return (self.image, self.channels, self.products, self.counts, self.labels)


def _zeros(*shape: int) -> NDArray[np.int64]:
    return np.zeros(shape, np.int64)
