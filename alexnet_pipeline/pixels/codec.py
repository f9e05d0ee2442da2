"""Decode images to RGB pixels, and encode pixels as JPEG, PNG or `.npy`."""

from __future__ import annotations

import functools
import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.pixels.decoders import decode_jpeg, decode_other
from alexnet_pipeline.pixels.formats import gzipped
from alexnet_pipeline.pixels.formats.memory import raise_if_out_of_memory
from alexnet_pipeline.pixels.formats.orientation import upright
from alexnet_pipeline.pixels.formats.sniff import sniff
from alexnet_pipeline.records import Conversion, Encoding, Orientation, Reason

Pixels = NDArray[np.uint8]

# zlib level of PNG output.
PNG_COMPRESSION = 6
# Longest header of a .npy with three axes.
NPY_HEADER_BYTES = 128
NPY_SHAPE = re.compile(rb"'shape': \((\d+), (\d+), (\d+)\)")
TURBO_VERSION = re.compile(rb"libjpeg-turbo version ([0-9.]+)")


class Decoded(NamedTuple):
    """A decoded image.

    Attributes:
        pixels: HWC uint8, RGB, C-contiguous.
        remark: flaws of the file that do not touch its pixels, joined by "; "; empty if there are none.
    """

    pixels: Pixels
    remark: str


def decode(
    data: bytes,
    *,
    max_pixels: int = Conversion.max_pixels,
    orientation: Orientation = Conversion.orientation,
) -> Pixels:
    """Decode one image, as `decode_remarked` does, and keep the pixels only."""
    return decode_remarked(data, max_pixels=max_pixels, orientation=orientation).pixels


def decode_remarked(
    data: bytes,
    *,
    max_pixels: int = Conversion.max_pixels,
    orientation: Orientation = Conversion.orientation,
) -> Decoded:
    """Decode one image, and remark on the flaws of its file.

    Greyscale and palettes become RGB, 16 bits become 8, CMYK becomes RGB by `cmyk_to_rgb`, alpha is dropped,
    and only the first of several frames is taken.

    Args:
        data: a JPEG, PNG, GIF, BMP, WebP or TIFF, recognised by its first bytes, or one of these in a gzip.
        max_pixels: images whose header declares more pixels are rejected before decoding.
        orientation: whether the image is turned upright as its EXIF says, or left as it is stored.

    Raises:
        RejectedImageError: the image cannot be decoded, whatever the bytes.
        MemoryError: there is too little memory.
    """
    if not data.startswith(gzipped.GZIP):
        return _decode_format(data, max_pixels, orientation)
    unpacked = gzipped.unpack(data)
    try:
        image = _decode_format(unpacked, max_pixels, orientation)
    except RejectedImageError as error:
        raise RejectedImageError(error.reason, f"in a gzip: {error.detail}") from error
    return Decoded(image.pixels, "; ".join(filter(None, ("gzip-compressed", image.remark))))


def encode(image: Pixels, conversion: Conversion) -> bytes:
    """Encode an HWC uint8 RGB image by a conversion's options: as JPEG with the accurate DCT, as PNG, or as `.npy`."""
    if conversion.encoding == "jpg":
        return bytes(simplejpeg.encode_jpeg(image, conversion.quality, "RGB", conversion.subsampling))
    if conversion.encoding == "png":
        return encode_png(image)
    return _npy_header(image.shape) + image.tobytes()


def encode_png(image: Pixels) -> bytes:
    """Encode an HWC uint8 RGB image as PNG."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])[1].tobytes()


def decode_sample(data: bytes, encoding: Encoding) -> Pixels:
    """Decode the image of a sample that `encode` made, which has no flaws: any remark means damage.

    Raises:
        RejectedImageError: the image is damaged.
    """
    if encoding != "raw":
        image = decode_remarked(data)
        if image.remark:
            raise RejectedImageError(Reason.CORRUPT, f"not as it was encoded: {image.remark}")
        return image.pixels
    match = NPY_SHAPE.search(data, 0, NPY_HEADER_BYTES)
    shape = tuple(map(int, match.groups())) if match else ()
    header = _npy_header(shape)
    if not data.startswith(header) or len(data) - len(header) != math.prod(shape):
        raise RejectedImageError(Reason.CORRUPT, f"{len(data)} bytes are not a .npy of HWC bytes")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape).copy()


def quiet_opencv() -> None:
    """Configure OpenCV in a process of our own: one thread, because work is divided by images, and no log output."""
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@functools.cache
def versions() -> dict[str, str]:
    """The versions of the libraries that determine decoded and encoded bytes.

    simplejpeg does not report its libjpeg-turbo version, but its binary contains that library's version text.
    """
    named = {"opencv": cv2.__version__, "simplejpeg": simplejpeg.__version__}
    turbo = TURBO_VERSION.search(Path(simplejpeg._jpeg.__file__).read_bytes())
    return {**named, "libjpeg-turbo": turbo[1].decode()} if turbo else named


def _decode_format(data: bytes, max_pixels: int, orientation: Orientation) -> Decoded:
    name, allowed = sniff(data)
    if not data:
        raise RejectedImageError(Reason.EMPTY, "0 bytes")
    if not name:
        raise RejectedImageError(Reason.NOT_AN_IMAGE, f"begins with {data[:8].hex(' ')}")
    if not allowed:
        raise RejectedImageError(Reason.UNSUPPORTED_FORMAT, f"{name} is not among the formats read")
    try:
        stored = decode_jpeg(data, max_pixels) if name == "JPEG" else decode_other(name, data, max_pixels)
    except (PipelineError, MemoryError):  # a rejection, an interruption by a signal, or the machine's limit
        raise
    except Exception as error:  # whatever else a decoder raises costs this image only, and is named
        raise_if_out_of_memory(error)
        text = f"{name}: {type(error).__name__}: {' '.join(str(error).split())}"
        raise RejectedImageError(Reason.CORRUPT, text) from error
    pixels = upright(stored.pixels, stored.orientation) if orientation == "apply" else stored.pixels
    return Decoded(pixels, stored.remark)


@functools.lru_cache(maxsize=64)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()
