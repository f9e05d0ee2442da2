"""A plain JPEG in, the asked part of its pixels out, the same as libjpeg's; nothing, where libjpeg has to say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.colour import REACH, STEP, repeat_edges, to_rgb
from alexnet_pipeline.pixels.baseline.header import END_OF_IMAGE, Header, read_header
from alexnet_pipeline.pixels.baseline.scan import Planes, decode_scan, unstuffed
from alexnet_pipeline.pixels.compiled import compiled
from alexnet_pipeline.pixels.geometry import Region

Bytes = NDArray[np.uint8]

# Bytes around each row of samples that may be read and written.
PADDING = 16
# Larger pictures are left to libjpeg, which does not hold planes of all.
MAX_PIXELS = 1 << 23


def decode_baseline(data: bytes, region: Region) -> Bytes | None:
    """Decode what a region needs of a JPEG.

    Every bit of the file is decoded and proved all the same, only samples outside are not made.

    Args:
        data: the whole file.
        region: rows and columns of the picture; the others come out undefined.

    Returns:
        The whole picture, HWC uint8, RGB; None where the file is not what `header` takes, not in order,
        or too large, which is for a general decoder to say.
    """
    image = _decode(np.frombuffer(data, np.uint8), region)
    return image if image.size else None


@compiled
def _decode(data: Bytes, region: Region) -> Bytes:
    """`decode_baseline`, with an empty picture for None."""
    nothing = np.empty((0, 0, 3), np.uint8)
    header = read_header(data)
    height, width = header.height, header.width
    if header.begin == 0 or height * width > MAX_PIXELS:
        return nothing
    if not (0 <= region.top < region.bottom <= height and 0 <= region.left < region.right <= width):
        return nothing
    scan, length, end = unstuffed(data, header.begin)
    if end < 0 or data[end + 1] != END_OF_IMAGE:
        return nothing
    planes, kept = _planes(header), _kept(header, region)
    if not decode_scan(scan, length, header, kept, planes):
        return nothing
    if header.across == 2:
        for component in (1, 2):
            repeat_edges(planes, component, 8 * kept[0], 8 * kept[1], (width + 1) // 2)
    flat = np.empty((height * width + STEP) * 3, np.uint8)
    to_rgb(planes, header, region, flat)
    return flat[: height * width * 3].reshape(height, width, 3)


@compiled
def _planes(header: Header) -> Planes:
    """Room for all samples."""
    starts, strides = np.zeros(3, np.int64), np.zeros(3, np.int64)
    size = PADDING
    for component in range(header.components):
        across, down = (header.across, header.down) if component == 0 else (1, 1)
        strides[component] = 8 * header.mcu_columns * across + PADDING
        starts[component] = size
        size += 8 * header.mcu_rows * down * strides[component]
    return Planes(np.empty(size, np.uint8), starts, strides)


@compiled
def _kept(header: Header, region: Region) -> tuple[int, int, int, int]:
    """The MCUs that the region's pixels come from: first row, past the last one, first column, past the last one."""
    high, wide = 8 * header.down, 8 * header.across
    left = region.left // STEP * STEP
    return (
        max(region.top - REACH, 0) // high,
        -(-min(region.bottom + REACH, header.height) // high),
        max(left - REACH, 0) // wide,
        -(-min(region.right + REACH, header.width) // wide),
    )
