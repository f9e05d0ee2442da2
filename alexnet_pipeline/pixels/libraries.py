"""The filters of Pillow-SIMD and OpenCV, for comparison with the engine's."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import RefusedError, RejectedImageError
from alexnet_pipeline.pixels.geometry import Axis, Placement, on_canvas
from alexnet_pipeline.pixels.kernels import Method, find_method
from alexnet_pipeline.records import Conversion, Reason

OPENCV_FLAGS = {
    "nearest": cv2.INTER_NEAREST,
    "nearest-exact": cv2.INTER_NEAREST_EXACT,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos4": cv2.INTER_LANCZOS4,
}
# The libraries compute the whole output before it is cropped, which for a strip of 1 x 60,000 would take gigabytes.
MAX_TARGET_PIXELS = 64_000_000


def resample_by_library(image: NDArray[np.uint8], placement: Placement, method: Method) -> NDArray[np.uint8]:
    """Resample an image with a library's own filter.

    Args:
        image: HWC uint8, RGB.
        placement: placement on the output; the whole output is computed, then cropped.
        method: a method of a library.

    Returns:
        HWC uint8 of the placement's canvas size.

    Raises:
        RejectedImageError: too_large, if the uncropped output would be.
    """
    rows, columns = placement.rows, placement.columns
    if rows.full * columns.full > MAX_TARGET_PIXELS:
        raise RejectedImageError(Reason.TOO_LARGE, f"{method.name} would compute {rows.full}x{columns.full}")
    whole = np.asarray(_resize(image, rows.full, columns.full, method), np.uint8)
    part = whole[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
    return on_canvas(np.ascontiguousarray(part), placement)


def resample_floats(image: NDArray[np.float32], full_px: tuple[int, int], method: Method) -> NDArray[np.float32]:
    """Resample one plane with a library's own filter in floating point, without its rounding and clipping.

    Args:
        image: (height, width) float32.
        full_px: (height, width) of the whole output.
        method: a method of a library.

    Returns:
        (height, width) float32 of that size.
    """
    return np.asarray(_resize(image, *full_px, method), np.float32)


def library_weights(axis: Axis, method: Method) -> NDArray[np.float64]:
    """Measure the weights of a library's filter along one axis by resampling the identity matrix.

    Returns:
        (count, source) float64.
    """
    identity = np.eye(axis.source, dtype=np.float32)
    whole = resample_floats(identity, (axis.full, axis.source), method)
    return whole[axis.start : axis.start + axis.count].astype(np.float64)


def check_conversion(conversion: Conversion) -> Method:
    """Find the method of a conversion, and check that it can be used.

    Raises:
        RefusedError: there is no such method, its library is missing, or it does not support linear light.
    """
    method = find_method(conversion.method)
    if method.library == "pillow":
        _pillow()
    if method.library and conversion.linear_light:
        raise RefusedError(f"{method.name} works on gamma-encoded values only; leave `linear_light` out")
    return method


def versions() -> dict[str, str]:
    """The version of Pillow, if it is installed."""
    try:
        return {"pillow": str(_pillow().__version__)}
    except RefusedError:
        return {}


def _resize(image: NDArray[Any], height: int, width: int, method: Method) -> Any:
    if method.library == "pillow":
        pillow = _pillow()
        return pillow.fromarray(image).resize((width, height), getattr(pillow.Resampling, method.kernel.upper()))
    name = method.kernel
    if name == "area+cubic":  # cuda-convnet2's make-data: INTER_AREA down, INTER_CUBIC up
        name = "area" if height < image.shape[0] else "cubic"
    return cv2.resize(image, (width, height), interpolation=OPENCV_FLAGS[name])


def _pillow() -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - an extra, which only comparisons need
    except ImportError as error:
        raise RefusedError(
            "pillow:* methods need Pillow-SIMD: pip install 'alexnet-pipeline[simd]' (needs a C compiler, libjpeg and "
            "zlib headers; Debian: build-essential libjpeg62-turbo-dev zlib1g-dev)"
        ) from error
    return Image
