"""Compiled loops over the pixels of a batch, which run without Python's lock: gather raw crops, and normalise crops."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from alexnet_pipeline.pixels.compiled import compiled, compiled_part, keep

# C's pread and posix_fadvise, found in this process when machine code is loaded.
_pread = types.ExternalFunction("pread", types.intp(types.intc, types.uintp, types.uintp, types.int64))
_posix_fadvise = types.ExternalFunction("posix_fadvise", types.intc(types.intc, types.int64, types.int64, types.intc))
_WILLNEED = 3  # POSIX_FADV_WILLNEED
# A `.npy` header of version 1 says its own length here; those of images of one size are equally long.
NPY_LENGTH_AT, NPY_MAGIC_BYTES, NPY_HEADER_BYTES = 8, 10, 128


@functools.cache
def prepare() -> None:
    """Compile these functions, or load their machine code: once in a process."""
    pixels, nothing = np.zeros((1, 1, 1, 3), np.uint8), np.zeros((1, 4), np.int64)
    nowhere = np.full(1, -1, np.int32)
    read_ahead(nowhere, nothing)
    gather(nowhere, nothing, np.zeros((1, 1, 2), np.int64), 1, 1, pixels[None], np.zeros(1, np.int64), 0, 1)
    floats = np.zeros((1, 3), np.float32)
    normalise(pixels, np.zeros(1, np.bool_), floats, np.empty((0, 0, 0), np.float32), True, floats.copy(), 0, 1)
    keep()


@compiled
def gather(
    files: NDArray[np.int32],
    spans: NDArray[np.int64],
    corners: NDArray[np.int64],
    side_px: int,
    classes: int,
    crops: NDArray[np.uint8],
    labels: NDArray[np.int64],
    begin: int,
    end: int,
) -> None:
    """Read the crops and labels of raw images from `begin` to `end` of a batch.

    Args:
        files: (n,) descriptors; -1 for a file that cannot be read like this.
        spans: (n, 4) offset and size of the label, then of the image, which follows it shortly.
        corners: (n, views, 2) top and left of the crops.
        side_px: of the images.
        classes: number of them.
        crops: (n, views, crop, crop, 3), written.
        labels: (n,), written; -1 where anything is not as expected, and then the image's crops are not meaningful.
        begin: first image.
        end: one past the last.
    """
    row_bytes, crop_px = 3 * side_px, crops.shape[2]
    crop_bytes = np.uintp(3 * crop_px)
    data = np.empty((spans[begin:end, 2] - spans[begin:end, 0]).max() + spans[begin:end, 3].max(), np.uint8)
    for image in range(begin, end):
        first, digits, start, size = spans[image, 0], spans[image, 1], spans[image, 2], spans[image, 3]
        gap = start - first
        rows = corners[image, :, 0].max() + crop_px
        wanted = gap + NPY_HEADER_BYTES + rows * row_bytes
        labels[image] = -1
        if files[image] < 0 or size != NPY_HEADER_BYTES + side_px * row_bytes:
            continue
        if _pread(files[image], data.ctypes.data, np.uintp(wanted), first) != wanted:
            continue
        header = NPY_MAGIC_BYTES + data[gap + NPY_LENGTH_AT] + 256 * np.int64(data[gap + NPY_LENGTH_AT + 1])
        label = _number(data[:digits])
        if header != NPY_HEADER_BYTES or label >= classes:
            continue
        labels[image] = label
        pixels = gap + NPY_HEADER_BYTES
        for view in range(corners.shape[1]):
            top, left = corners[image, view, 0], corners[image, view, 1]
            for row in range(crop_px):
                source = np.uintp(pixels + (top + row) * row_bytes + 3 * left)
                target = crops[image, view, row].reshape(3 * crop_px)
                for byte in range(crop_bytes):
                    target[byte] = data[source + byte]


@compiled
def read_ahead(files: NDArray[np.int32], spans: NDArray[np.int64]) -> None:
    """Let the operating system read labels and images ahead; a hint, which some file systems do not take."""
    for image in range(len(files)):
        if files[image] >= 0:
            first, last = spans[image, 0], spans[image, 2] + spans[image, 3]
            _posix_fadvise(files[image], first, last - first, _WILLNEED)


@compiled
def normalise(
    crops: NDArray[np.uint8],
    flips: NDArray[np.bool_],
    offsets: NDArray[np.float32],
    mean: NDArray[np.float32],
    planar: bool,
    out: NDArray[np.float32],
    begin: int,
    end: int,
) -> None:
    """Mirror, subtract each image's offsets and then the mean image, of crops from `begin` to `end`.

    Args:
        crops: (n, crop, crop, 3).
        flips: (n,).
        offsets: (n, 3).
        mean: (crop, crop, 3), or (0, 0, 0) for none.
        planar: whether the result is CHW.
        out: (n, ...), written: each image 3 x crop x crop if planar, else crop x crop x 3, without gaps.
        begin: first crop.
        end: one past the last.
    """
    side = crops.shape[1]
    width = np.uintp(3 * side)
    mirrored, offset = np.empty(width, np.uint8), np.empty(width, np.float32)
    row_out = np.empty(width, np.float32)
    for image in range(begin, end):
        for at in range(width):
            offset[at] = offsets[image, at % np.uintp(3)]
        for row in range(side):
            source = crops[image, row].reshape(3 * side)
            if flips[image]:
                _mirror(source, mirrored)
                source = mirrored
            target = row_out if planar else out[image, row * 3 * side : (row + 1) * 3 * side]
            if len(mean):
                centre = mean[row].reshape(3 * side)
                for at in range(width):
                    target[at] = np.float32(source[at]) - offset[at] - centre[at]
            else:
                for at in range(width):
                    target[at] = np.float32(source[at]) - offset[at]
            if planar:
                _split(row_out, out[image], np.uintp(row * side), np.uintp(side * side))


# Unsigned numbers index without a test for negative ones, which would keep a loop from being vectorised.
@compiled_part
def _mirror(source: Any, target: Any) -> None:
    """Reverse the pixels of a row."""
    length = np.uintp(len(source))
    for pixel in range(length // np.uintp(3)):
        to, start = np.uintp(3) * pixel, length - np.uintp(3) - np.uintp(3) * pixel
        target[to] = source[start]
        target[to + np.uintp(1)] = source[start + np.uintp(1)]
        target[to + np.uintp(2)] = source[start + np.uintp(2)]


@compiled_part
def _split(row: Any, planes: Any, start: Any, plane: Any) -> None:
    """Write a row of pixels into three planes."""
    for pixel in range(np.uintp(len(row)) // np.uintp(3)):
        planes[start + pixel] = row[np.uintp(3) * pixel]
        planes[start + plane + pixel] = row[np.uintp(3) * pixel + np.uintp(1)]
        planes[start + plane + plane + pixel] = row[np.uintp(3) * pixel + np.uintp(2)]


@compiled_part
def _number(text: Any) -> Any:
    """The number that ASCII digits stand for; a huge one if there is anything else among them, or nothing."""
    value = np.int64(0) if len(text) else np.int64(1 << 40)
    for digit in text:
        value = 10 * value + digit - 48 if 48 <= digit <= 57 and value < 1 << 32 else np.int64(1 << 40)
    return value
