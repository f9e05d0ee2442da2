"""Pictures in; mean image, covariance and PCA out. Integer sums, so that merging in any order is exact."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.resample import compiled
from alexnet_pipeline.records import PixelStatistics

# zlib's fastest: these files live until the manifest is written, and a higher level costs ten times the time.
PACK_LEVEL = 1


@dataclass(slots=True)
class Sums:
    """Sums over the pictures of a shard, or of many.

    Attributes:
        image: (height, width, 3) int64, sum of all pictures; empty where sizes differ.
        channels: (3,) int64 sum of all pixels, R G B.
        products: (3, 3) int64 sum of all pixels' outer products, upper triangle.
        counts: (3,) int64: pixels, pictures, enlarged pictures.
        labels: (classes,) int64 pictures per class.
    """

    image: NDArray[np.int64]
    channels: NDArray[np.int64]
    products: NDArray[np.int64]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]

    @classmethod
    def zero(cls, shape: tuple[int, ...], classes: int) -> Sums:
        """No pictures yet; `shape` is that of every picture, or (0, 0, 3) where sizes differ."""
        return cls(_zeros(*shape), _zeros(3), _zeros(3, 3), _zeros(3), _zeros(classes))

    def add(self, picture: NDArray[np.uint8], label: int, *, upsampled: bool) -> None:
        """Count one HWC uint8 picture."""
        flat = picture.reshape(-1)
        _add_pixels(flat, self.image.reshape(-1), self.channels, self.products)
        self.counts += (flat.size // 3, 1, upsampled)
        self.labels[label] += 1

    def merge(self, other: Sums) -> None:
        """Add the sums of other pictures."""
        for mine, theirs in zip(self._arrays(), other._arrays(), strict=True):
            np.add(mine, theirs, out=mine)

    def to_bytes(self) -> bytes:
        """A zlib-packed `.npz`, about half a megabyte for 256 x 256; a shard's sums of bytes fit 32 bits."""
        buffer = io.BytesIO()
        image = self.image.astype(np.uint32) if self.image.max(initial=0) < 1 << 32 else self.image
        np.savez(buffer, image, *self._arrays()[1:])
        return zlib.compress(buffer.getvalue(), PACK_LEVEL)

    @classmethod
    def from_bytes(cls, data: bytes) -> Sums:
        """Inverse of `to_bytes`."""
        with np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False) as arrays:
            return cls(*(arrays[f"arr_{position}"].astype(np.int64) for position in range(5)))

    def mean_image(self) -> NDArray[np.float32]:
        """(height, width, 3) float32 in 0..255; empty where sizes differ."""
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

    def _arrays(self) -> tuple[NDArray[np.int64], ...]:
        return (self.image, self.channels, self.products, self.counts, self.labels)


def _zeros(*shape: int) -> NDArray[np.int64]:
    return np.zeros(shape, np.int64)


# Bytes that are summed side by side: sixteen pixels, so that byte k is always of channel k mod 3.
LANES = 48
# Groups of lanes until 32-bit lanes of squared bytes must be emptied: 65,536 * 255^2 < 2^32.
GROUPS = 65_536


@compiled
def _add_pixels(
    flat: NDArray[np.uint8],
    image: NDArray[np.int64],
    channels: NDArray[np.int64],
    products: NDArray[np.int64],
) -> None:
    """Add a picture's bytes (R, G, B, R, ...) to all sums.

    Lane by lane, products of neighbours one and two bytes on give RG, GB and RB; LLVM makes vectors of that, and
    of a loop over pixels it does not.
    """
    for x in range(image.size):
        image[x] += flat[x]
    sums, squares = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32)
    next_one, next_two = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32)
    groups = max(0, (flat.size - 2) // LANES)
    for start in range(0, groups, GROUPS):
        for group in range(start, min(groups, start + GROUPS)):
            at = group * LANES
            here, one, two = flat[at : at + LANES], flat[at + 1 : at + 1 + LANES], flat[at + 2 : at + 2 + LANES]
            for lane in range(LANES):
                value = np.uint32(here[lane])
                sums[lane] += value
                squares[lane] += value * value
                next_one[lane] += value * np.uint32(one[lane])
                next_two[lane] += value * np.uint32(two[lane])
        for lane in range(LANES):
            channel = lane % 3
            channels[channel] += np.int64(sums[lane])
            products[channel, channel] += np.int64(squares[lane])
            if channel < 2:
                products[channel, channel + 1] += np.int64(next_one[lane])
            if channel == 0:
                products[0, 2] += np.int64(next_two[lane])
            sums[lane] = squares[lane] = next_one[lane] = next_two[lane] = 0
    for at in range(groups * LANES, flat.size, 3):
        for first in range(3):
            channels[first] += flat[at + first]
            for second in range(first, 3):
                products[first, second] += np.int64(flat[at + first]) * np.int64(flat[at + second])
