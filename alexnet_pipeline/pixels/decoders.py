"""The decoders: JPEG by libjpeg-turbo, other formats by OpenCV.

Decoding is strict: what libjpeg-turbo only warns about is an error here, unless it is known to leave the pixels alone.
Files of other formats are proved whole before OpenCV decodes them, because OpenCV accepts truncated and damaged files.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels.formats import tiff
from alexnet_pipeline.pixels.formats.flaws import mend
from alexnet_pipeline.pixels.formats.jpeg import JpegHeader, count_scans, find_end_mark, read_header
from alexnet_pipeline.pixels.formats.memory import raise_if_out_of_memory
from alexnet_pipeline.pixels.formats.orientation import UPRIGHT, exif_orientation, png_orientation, webp_orientation
from alexnet_pipeline.pixels.formats.strictness import check_cap, check_size, essential_png
from alexnet_pipeline.records import Reason

Pixels = NDArray[np.uint8]

# Most scans in one JPEG. Encoders write about ten, a full progression of three components stays below 100; 6,000
# scans in 66 kB cost seconds.
MAX_SCANS = 100
# Most flaws that are mended in one JPEG: one of each kind.
MAX_FLAWS = 4
# Bytes of a marker and its length field.
MARKER_BYTES = 4
START_OF_SCAN = b"\xff\xda"
# Phrases of libjpeg and TurboJPEG for a truncated file, and for JPEG variants that they do not support.
TRUNCATION_WORDS = ("premature end", "ends prematurely", "input file read error")
VARIANT_WORDS = ("unsupported jpeg", "unsupported color", "not implemented")


class Stored(NamedTuple):
    """An image as it is stored.

    Attributes:
        pixels: HWC uint8, RGB, C-contiguous.
        orientation: as EXIF numbers it, 1 to 8.
        remark: flaws of the file that do not touch the pixels, joined by "; "; empty if there are none.
    """

    pixels: Pixels
    orientation: int = UPRIGHT
    remark: str = ""


def decode_jpeg(data: bytes, max_pixels: int) -> Stored:
    """Decode a JPEG of at most so many pixels.

    Raises:
        RejectedImageError: the image cannot be decoded.
        MemoryError: there is too little memory.
    """
    header = read_header(data)
    scans = count_scans(data, header)
    if scans > MAX_SCANS:
        raise RejectedImageError(Reason.TOO_COMPLEX, f"{scans} scans, the cap is {MAX_SCANS}")
    image, remarks = None, list[str]()
    while image is None:
        try:
            image = _by_libjpeg(data, header, max_pixels)
        except ValueError as error:
            raise_if_out_of_memory(error)
            warning = " ".join(str(error).split())
            if "subsampling" in warning:
                image = _by_opencv_unproved(data, header, max_pixels)
                continue
            mended = mend(data, warning) if len(remarks) < MAX_FLAWS else None
            if mended is None:
                raise RejectedImageError(_jpeg_reason(warning.lower()), f"JPEG: {warning}") from error
            remarks.append(mended.remark)
            data, header = mended.data, read_header(mended.data)
    return Stored(image, exif_orientation(header.exif), "; ".join(remarks))


def decode_other(name: str, data: bytes, max_pixels: int) -> Stored:
    """Decode an image of a format other than JPEG, named as `sniff` names it.

    Raises:
        RejectedImageError: the image cannot be decoded.
        MemoryError: there is too little memory.
    """
    size = check_size(name, data, max_pixels)
    turn = UPRIGHT
    if name == "TIFF":
        turn, data = tiff.neutral(data)
    elif name == "PNG":
        turn, data = png_orientation(data), essential_png(data)
    elif name == "WebP":
        turn = webp_orientation(data)
    return Stored(_by_opencv(name, data, size), turn)


def cmyk_to_rgb(cmyk: Pixels, *, inverted: bool) -> Pixels:
    """Convert CMYK without a profile: R = (255 - C)(255 - K) / 255, rounded; likewise G from M and B from Y.

    Args:
        cmyk: (height, width, 4) uint8.
        inverted: whether the values are 255 minus the ink, as Adobe writes them.
    """
    light = (cmyk if inverted else 255 - cmyk).astype(np.uint16)  # 255 * 255 + 127 fits
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)


def _by_libjpeg(data: bytes, header: JpegHeader, max_pixels: int) -> Pixels:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=True)
    except KeyError:  # simplejpeg 1.9 has no name for TurboJPEG's 4:4:1, but its decoder reads it
        height, width, colours = header.height, header.width, "CMYK" if header.components == 4 else "RGB"
    check_cap(int(height), int(width), max_pixels)
    if colours in {"CMYK", "YCCK"}:
        return cmyk_to_rgb(simplejpeg.decode_jpeg(data, "CMYK", strict=True), inverted=header.adobe)
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True))


def _by_opencv_unproved(data: bytes, header: JpegHeader, max_pixels: int) -> Pixels:
    """Decode chroma subsamplings that TurboJPEG does not support; OpenCV calls libjpeg itself, which supports all.

    ImageNet has such files (libjpeg-turbo issues 323 and 436). OpenCV reports no warnings, so only the end
    marker proves that the file is whole.
    """
    ended = find_end_mark(data, header) >= 0
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


def _by_opencv(name: str, data: bytes, size: tuple[int, int]) -> Pixels:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise_if_out_of_memory(error)
        raise RejectedImageError(Reason.CORRUPT, f"{name}: {' '.join((error.err or str(error)).split())}") from error
    if image is None:
        raise RejectedImageError(Reason.CORRUPT, f"{name}: OpenCV cannot decode it")
    if image.shape[:2] != size:
        found, said = f"{image.shape[0]}x{image.shape[1]}", f"{size[0]}x{size[1]}"
        raise RejectedImageError(Reason.CORRUPT, f"{name}: the header says {said}, decoded {found}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
