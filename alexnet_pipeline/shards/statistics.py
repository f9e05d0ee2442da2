"""Mean image, covariance and PCA of all pixels of a set, from integer sums, which merge exactly in any order."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.manifest import PixelStatistics
from alexnet_pipeline.pixels.compiled import compiled, keep

Item = TypeVar("Item")

# Most images whose sums over one byte of each still fit 16 bits.
MAX_RECENT_IMAGES = ((1 << 16) - 1) // 255
# Most pixels whose sum of products of two bytes still fits 31 bits.
BLOCK_PIXELS = ((1 << 31) - 1) // 255**2


@dataclass(slots=True)
class Sums:
    """Sums over the images of one or more shards.

    Attributes:
        image: (height, width, 3) int64, or uint32 for one shard: sum of all images; empty where sizes differ.
        recent: the same sum, uint16, of the last few images, which `image` does not include yet; adding to it
            takes less memory traffic.
        recent_images: number of images in `recent`.
        channels: (3,) int64 sum of all pixels, R G B.
        products: (3, 3) int64 sum of all pixels' outer products, upper triangle.
        counts: (3,) int64: pixels, images, enlarged images.
        labels: (classes,) int64 images per class.
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
        """Sums of no images yet; `shape` is that of every image, or (0, 0, 3) where sizes differ."""
        recent = np.zeros(shape, np.uint16)
        return cls(_zeros(*shape), recent, 0, _zeros(3), _zeros(3, 3), _zeros(3), _zeros(classes))

    @classmethod
    def of_shard(cls, shape: tuple[int, ...], classes: int) -> Sums:
        """The same for at most `MAX_SHARD_IMAGES` images, in half the memory."""
        return replace(cls.zero(shape, classes), image=np.zeros(shape, np.uint32))

    def add(self, image: NDArray[np.uint8], label: int, *, upsampled: bool) -> None:
        """Add one HWC uint8 image."""
        if self.recent.size and image.shape != self.recent.shape:
            raise ValueError(f"an image of shape {image.shape} among images of shape {self.recent.shape}")
        if self.recent_images == MAX_RECENT_IMAGES:
            self._settle()
        self.recent_images += 1
        _compiled_add()(image.reshape(-1), self.recent.reshape(-1), self.channels, self.products)
        self.counts[0] += image.size // 3
        self.counts[1] += 1
        self.counts[2] += upsampled
        self.labels[label] += 1

    def merge(self, other: Sums) -> None:
        """Add the sums of other images."""
        for mine, theirs in zip(self._arrays(), other._arrays(), strict=True):
            np.add(mine, theirs, out=mine)

    def to_bytes(self) -> bytes:
        """Encode as `.npz`: 0.8 MB for a shard of 256 x 256. Compression would save a third, and cost 20 ms."""
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
        """The mean image, (height, width, 3) float32 in 0..255; empty where sizes differ."""
        self._settle()
        return (self.image / max(1, int(self.counts[1]))).astype(np.float32)

    def mean_file(self) -> bytes:
        """The mean image as a `.npy` file."""
        buffer = io.BytesIO()
        np.save(buffer, self.mean_image(), allow_pickle=False)
        return buffer.getvalue()

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
        # An eigenvector's sign is free: the largest component is made positive, so that runs agree.
        rows = rows * np.sign(rows[np.arange(3), np.abs(rows).argmax(1)])[:, None]
        deviations = np.sqrt(np.maximum(variances[::-1], 0))
        return PixelStatistics(
            mean=_rgb(*mean.tolist()),
            covariance=_rgb(*(_rgb(*row) for row in covariance.tolist())),
            pca_deviations=_rgb(*deviations.tolist()),
            pca_vectors=_rgb(*(_rgb(*row) for row in rows.tolist())),
        )

    def _settle(self) -> None:
        """Add `recent` to `image`, and clear it."""
        np.add(self.image, self.recent, out=self.image, casting="unsafe")
        self.recent.fill(0)
        self.recent_images = 0

    def _arrays(self) -> tuple[NDArray[np.integer[Any]], ...]:
        self._settle()
        return (self.image, self.channels, self.products, self.counts, self.labels)


@functools.cache
def prepare() -> None:
    """Compile the function that adds pixels, or load its machine code."""
    Sums.zero((1, 1, 3), 1).add(np.zeros((1, 1, 3), np.uint8), 0, upsampled=False)
    keep()


def _add_pixels(
    flat: NDArray[np.uint8], image: NDArray[np.uint16], channels: NDArray[np.int64], products: NDArray[np.int64]
) -> None:
    """Add an image's bytes (R, G, B, R, ...) to the sums of each byte, unless `image` is empty, and of each channel.

    LLVM vectorises 32-bit sums; a block holds as many pixels as their sums fit.
    """
    for at in range(image.size):
        image[at] += flat[at]
    pixels = flat.size // 3
    for first in range(0, pixels, BLOCK_PIXELS):
        block = flat[3 * first : 3 * min(pixels, first + BLOCK_PIXELS)]
        r = g = b = rr = rg = rb = gg = gb = bb = np.int32(0)
        for pixel in range(block.size // 3):
            red, green, blue = (
                np.int32(block[3 * pixel]),
                np.int32(block[3 * pixel + 1]),
                np.int32(block[3 * pixel + 2]),
            )
            r, g, b = np.int32(r + red), np.int32(g + green), np.int32(b + blue)
            rr, rg, rb = np.int32(rr + red * red), np.int32(rg + red * green), np.int32(rb + red * blue)
            gg, gb, bb = np.int32(gg + green * green), np.int32(gb + green * blue), np.int32(bb + blue * blue)
        channels[0] += r
        channels[1] += g
        channels[2] += b
        products[0, 0] += rr
        products[0, 1] += rg
        products[0, 2] += rb
        products[1, 1] += gg
        products[1, 2] += gb
        products[2, 2] += bb


@functools.cache
def _compiled_add() -> Callable[..., None]:
    """Compile on first use, so that merging sums need not import numba."""
    return compiled(_add_pixels)


def _rgb(red: Item, green: Item, blue: Item) -> tuple[Item, Item, Item]:
    """A tuple of three, whose length a type checker knows."""
    return red, green, blue


def _zeros(*shape: int) -> NDArray[np.int64]:
    return np.zeros(shape, np.int64)
