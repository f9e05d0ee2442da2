"""Decode images to upright RGB pixels, and encode pixels as JPEG, PNG or `.npy`.

Decoding is strict: what libjpeg-turbo only warns about is an error here. Files of other formats are proved whole
before OpenCV decodes them, because OpenCV accepts truncated and damaged files.
"""

from __future__ import annotations

import functools
import io
import math
import re
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels.formats import orientation, tiff
from alexnet_pipeline.pixels.formats.jpeg import END_OF_IMAGE, JpegHeader, count_scans, read_header, without_icc
from alexnet_pipeline.pixels.formats.sniff import sniff
from alexnet_pipeline.pixels.formats.strictness import check_cap, check_size, essential_png
from alexnet_pipeline.records import Conversion, Encoding, Reason

Pixels = NDArray[np.uint8]

# Most scans in one JPEG. Encoders write about ten, a full progression of three components stays below 100; 6,000
# scans in 66 kB cost seconds.
MAX_SCANS = 100
# Bytes of a marker and its length field.
MARKER_BYTES = 4
START_OF_SCAN = b"\xff\xda"
# Most bytes that cameras and editors append after the end-of-image marker.
MAX_TRAILER_BYTES = 4096
# zlib level of PNG output.
PNG_COMPRESSION = 6
# Phrases of libjpeg and TurboJPEG for a truncated file, and for JPEG variants that they do not support.
TRUNCATION_WORDS = ("premature end", "ends prematurely", "input file read error")
VARIANT_WORDS = ("unsupported jpeg", "unsupported color", "not implemented")
# Longest header of a .npy with three axes.
NPY_HEADER_BYTES = 128
NPY_SHAPE = re.compile(rb"'shape': \((\d+), (\d+), (\d+)\)")
TURBO_VERSION = re.compile(rb"libjpeg-turbo version ([0-9.]+)")


def decode(data: bytes, *, max_pixels: int = Conversion.max_pixels) -> Pixels:
    """Decode one image.

    Greyscale and palettes become RGB, 16 bits become 8, CMYK becomes RGB by `cmyk_to_rgb`, alpha is dropped,
    only the first of several frames is taken, and EXIF orientation is applied.

    Args:
        data: a JPEG, PNG, GIF, BMP, WebP or TIFF, recognised by its first bytes.
        max_pixels: images whose header declares more pixels are rejected before decoding.

    Returns:
        HWC uint8, RGB, C-contiguous.

    Raises:
        RejectedImageError: the image cannot be decoded; no other error is raised, whatever the bytes.
    """
    name, allowed = sniff(data)
    if name == "JPEG":
        return _decode_jpeg(data, max_pixels)
    if allowed:
        return _decode_other(name, data, max_pixels)
    if not data:
        raise RejectedImageError(Reason.EMPTY, "0 bytes")
    if name:
        raise RejectedImageError(Reason.UNSUPPORTED_FORMAT, f"{name} is not among the formats read")
    raise RejectedImageError(Reason.NOT_AN_IMAGE, f"begins with {data[:8].hex(' ')}")


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
    """Decode the image of a sample that `encode` made.

    Raises:
        RejectedImageError: the image is damaged.
    """
    if encoding != "raw":
        return decode(data)
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


def cmyk_to_rgb(cmyk: Pixels, *, inverted: bool) -> Pixels:
    """Convert CMYK without a profile: R = (255 - C)(255 - K) / 255, rounded; likewise G from M and B from Y.

    Args:
        cmyk: (height, width, 4) uint8.
        inverted: whether the values are 255 minus the ink, as Adobe writes them.
    """
    light = (cmyk if inverted else 255 - cmyk).astype(np.uint16)  # 255 * 255 + 127 fits
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)


def _decode_jpeg(data: bytes, max_pixels: int) -> Pixels:
    header = read_header(data)
    scans = count_scans(data, header)
    if scans > MAX_SCANS:
        raise RejectedImageError(Reason.TOO_COMPLEX, f"{scans} scans, the cap is {MAX_SCANS}")
    try:
        image = _by_libjpeg(data, header, max_pixels)
    except ValueError as error:
        message = str(error).lower()
        if "icc" in message:  # a damaged profile does not affect the pixels, so decode without it
            return _decode_jpeg(without_icc(data), max_pixels)
        if "subsampling" not in message:
            raise RejectedImageError(_jpeg_reason(message), f"JPEG: {error}") from error
        image = _by_opencv_unproved(data, header, max_pixels)
    return orientation.upright(image, orientation.exif_orientation(header.exif))


def _by_libjpeg(data: bytes, header: JpegHeader, max_pixels: int) -> Pixels:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=True)
    check_cap(int(height), int(width), max_pixels)
    if colours in {"CMYK", "YCCK"}:
        return cmyk_to_rgb(simplejpeg.decode_jpeg(data, "CMYK", strict=True), inverted=header.adobe)
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True))


def _by_opencv_unproved(data: bytes, header: JpegHeader, max_pixels: int) -> Pixels:
    """Decode chroma subsamplings that TurboJPEG does not support; OpenCV calls libjpeg itself, which supports all.

    ImageNet has such files (libjpeg-turbo issues 323 and 436). OpenCV reports no warnings, so only the end
    marker proves that the file is whole.
    """
    ended = END_OF_IMAGE in data[-MAX_TRAILER_BYTES:]
    framed = header.height and data.startswith(START_OF_SCAN, header.scan_at)
    if not framed and (ended or header.scan_at + MARKER_BYTES <= len(data)):
        raise RejectedImageError(Reason.CORRUPT, "JPEG whose segments lead to no frame and scan")
    if not ended:
        raise RejectedImageError(Reason.TRUNCATED, "JPEG without an end mark")
    check_cap(header.height, header.width, max_pixels)
    return _by_opencv("JPEG", data, (header.height, header.width))


def _jpeg_reason(message: str) -> Reason:
    if any(words in message for words in TRUNCATION_WORDS):
        return Reason.TRUNCATED
    return Reason.UNSUPPORTED_FORMAT if any(words in message for words in VARIANT_WORDS) else Reason.CORRUPT


def _decode_other(name: str, data: bytes, max_pixels: int) -> Pixels:
    size = check_size(name, data, max_pixels)
    turn = orientation.UPRIGHT
    if name == "TIFF":
        turn, data = tiff.neutral(data)
    elif name == "PNG":
        turn, data = orientation.png_orientation(data), essential_png(data)
    elif name == "WebP":
        turn = orientation.webp_orientation(data)
    return orientation.upright(_by_opencv(name, data, size), turn)


def _by_opencv(name: str, data: bytes, size: tuple[int, int]) -> Pixels:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise RejectedImageError(Reason.CORRUPT, f"{name}: {' '.join(error.err.split())}") from error
    if image is None:
        raise RejectedImageError(Reason.CORRUPT, f"{name}: OpenCV cannot decode it")
    if image.shape[:2] != size:
        found, said = f"{image.shape[0]}x{image.shape[1]}", f"{size[0]}x{size[1]}"
        raise RejectedImageError(Reason.CORRUPT, f"{name}: the header says {said}, decoded {found}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


@functools.lru_cache(maxsize=64)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()
