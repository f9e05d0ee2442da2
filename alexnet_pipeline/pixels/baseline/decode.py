"""A plain JPEG in, the asked part of its pixels out, the same as libjpeg's; nothing, where libjpeg has to say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.colour import STEP
from alexnet_pipeline.pixels.baseline.header import read_header
from alexnet_pipeline.pixels.baseline.scan import decode_scan, unstuffed
from alexnet_pipeline.pixels.geometry import Region
from alexnet_pipeline.pixels.jpeg_head import END_OF_IMAGE, Segment

Bytes = NDArray[np.uint8]


def decode_baseline(data: bytes, parts: Iterable[Segment], region: Region) -> Bytes | None:
    """Decode what a region needs of a JPEG.

    Every bit of the file is decoded and proved all the same, only samples outside are not made.

    Args:
        data: the whole file.
        parts: its `segments`.
        region: rows and columns of the picture; the others come out undefined.

    Returns:
        The whole picture, HWC uint8, RGB; None where the file is not what `header` takes, or not
        in order, which is for a general decoder to say.
    """
    header = read_header(data, parts)
    if header is None:
        return None
    frame = header.frame
    height, width = frame.height, frame.width
    if not (0 <= region.top < region.bottom <= height and 0 <= region.left < region.right <= width):
        return None
    scan, length, end = unstuffed(np.frombuffer(data, np.uint8), header.begin)
    if end < 0 or not data.startswith(END_OF_IMAGE, end):
        return None
    flat = np.empty((height * width + STEP) * 3, np.uint8)
    if not decode_scan(scan, length, frame, header.quants, header.lookups, region, flat):
        return None
    return flat[: height * width * 3].reshape(height, width, 3)
