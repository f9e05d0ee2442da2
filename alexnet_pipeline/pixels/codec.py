"""Bytes in, upright RGB pixels out, and back: the only place that knows codecs.

Decoding is strict: what libjpeg-turbo only warns about is an error here, and files of the other formats are
proved whole before OpenCV sees them, because it passes what is cut or flipped.
"""

from __future__ import annotations

import functools
import io

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels import orientation
from alexnet_pipeline.pixels.sniff import sniff
from alexnet_pipeline.pixels.strictness import check_size, jpeg_size, without_icc
from alexnet_pipeline.records import Encoding, Reason, Subsampling

Pixels = NDArray[np.uint8]

EXTENSIONS: dict[Encoding, str] = {"jpg": "jpg", "png": "png", "raw": "npy"}
DEFAULT_MAX_PIXELS = 64_000_000
# Start-of-scan marks in one file. Ten scans are usual, a full progression of three components stays below 100;
# a file of 6,000 scans in 66 kB costs seconds.
MAX_SCANS = 100
START_OF_SCAN = b"\xff\xda"
END_OF_IMAGE = b"\xff\xd9"
# What cameras and editors leave behind the end mark.
MAX_TRAILER_BYTES = 4096
# zlib level of PNG output.
PNG_COMPRESSION = 6
# libjpeg's and TurboJPEG's words for a file that ends early, and for variants that this build cannot read.
TRUNCATION_WORDS = ("premature end", "ends prematurely", "input file read error")
VARIANT_WORDS = ("unsupported", "not implemented", "sof type", "precision", "not supported")

cv2.setNumThreads(1)  # parallelism is over pictures
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """Decode one picture.

    Greyscale and palettes become RGB, 16 bits become 8, CMYK becomes RGB by `cmyk_to_rgb`, alpha is dropped,
    the first frame of several is taken, and EXIF orientation is applied.

    Args:
        data: a JPEG, PNG, GIF, BMP, WebP or TIFF, told by its first bytes.
        max_pixels: more are refused by the header, before decoding.

    Returns:
        HWC uint8, RGB, C-contiguous.

    Raises:
        RejectedImageError: with the reason; nothing else, whatever the bytes.
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


def encode(image: Pixels, *, encoding: Encoding, quality: int, subsampling: Subsampling) -> bytes:
    """Encode an HWC uint8 RGB picture: `jpg` with the accurate DCT, `png`, or `raw`, a `.npy`."""
    if encoding == "jpg":
        return bytes(simplejpeg.encode_jpeg(image, quality, "RGB", subsampling))
    if encoding == "png":
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])[1].tobytes()
    return _npy_header(image.shape) + image.tobytes()


def decode_sample(data: bytes, encoding: Encoding) -> Pixels:
    """Decode what `encode` made.

    Raises:
        RejectedImageError: it is damaged.
    """
    if encoding != "raw":
        return decode(data)
    try:
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False), np.uint8)
    except (ValueError, EOFError) as error:
        raise RejectedImageError(Reason.CORRUPT, f"not a .npy of bytes: {error}") from error


def versions() -> dict[str, str]:
    """The libraries that decide bytes here."""
    return {"opencv": cv2.__version__, "simplejpeg": simplejpeg.__version__}


def cmyk_to_rgb(cmyk: Pixels, *, inverted: bool) -> Pixels:
    """Naive conversion without a profile: each of R, G, B is (255 - C)(255 - K) / 255, rounded.

    Args:
        cmyk: (height, width, 4) uint8.
        inverted: Adobe writes 255 minus the ink.
    """
    light = cmyk.astype(np.uint32) if inverted else 255 - cmyk.astype(np.uint32)
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)


def _decode_jpeg(data: bytes, max_pixels: int) -> Pixels:
    scans = data.count(START_OF_SCAN)
    if scans > MAX_SCANS:
        raise RejectedImageError(Reason.TOO_COMPLEX, f"{scans} scans, the cap is {MAX_SCANS}")
    try:
        image = _libjpeg(data, max_pixels)
    except ValueError as error:
        message = str(error).lower()
        if "icc" in message:  # a damaged profile leaves the pixels whole, so prove those without it
            return _decode_jpeg(without_icc(data), max_pixels)
        if "subsampling" in message:
            image = _odd_sampling(data, max_pixels)
        else:
            raise RejectedImageError(_jpeg_reason(message), f"JPEG: {error}") from error
    except KeyError as error:  # simplejpeg looks an unknown colour space up in a table
        raise RejectedImageError(Reason.CORRUPT, "JPEG: no colour space that libjpeg-turbo knows") from error
    turn = orientation.jpeg_orientation(data)
    return image if turn == orientation.UPRIGHT else orientation.upright(image, turn)


def _libjpeg(data: bytes, max_pixels: int) -> Pixels:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    if height * width > max_pixels:
        raise RejectedImageError(Reason.TOO_LARGE, f"{height}x{width}, the cap is {max_pixels} pixels")
    if colours in {"CMYK", "YCCK"}:
        return cmyk_to_rgb(simplejpeg.decode_jpeg(data, "CMYK"), inverted=b"Adobe" in data)
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))


def _odd_sampling(data: bytes, max_pixels: int) -> Pixels:
    """TurboJPEG knows the usual chroma samplings only; libjpeg itself, through OpenCV, knows all.

    It does not tell of warnings, so the end mark is what proves the file whole.
    """
    if END_OF_IMAGE not in data[-MAX_TRAILER_BYTES:]:
        raise RejectedImageError(Reason.TRUNCATED, "JPEG without an end mark")
    return _by_opencv("JPEG", data, jpeg_size(data, max_pixels))


def _jpeg_reason(message: str) -> Reason:
    if any(words in message for words in TRUNCATION_WORDS):
        return Reason.TRUNCATED
    return Reason.UNSUPPORTED_FORMAT if any(words in message for words in VARIANT_WORDS) else Reason.CORRUPT


ORIENTATION_OF = {
    "PNG": orientation.png_orientation,
    "WebP": orientation.webp_orientation,
    "TIFF": orientation.tiff_orientation,
}


def _decode_other(name: str, data: bytes, max_pixels: int) -> Pixels:
    image = _by_opencv(name, data, check_size(name, data, max_pixels))
    turn = ORIENTATION_OF[name](data) if name in ORIENTATION_OF else orientation.UPRIGHT
    return image if turn == orientation.UPRIGHT else orientation.upright(image, turn)


def _by_opencv(name: str, data: bytes, size: tuple[int, int]) -> Pixels:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise RejectedImageError(Reason.CORRUPT, f"{name}: {error.err}") from error
    if image is None:
        raise RejectedImageError(Reason.CORRUPT, f"{name}: OpenCV cannot decode it")
    if image.shape[:2] != size:
        found = f"{image.shape[0]}x{image.shape[1]}"
        raise RejectedImageError(Reason.CORRUPT, f"{name}: the header says {size[0]}x{size[1]}, decoded {found}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


@functools.lru_cache(maxsize=64)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()
