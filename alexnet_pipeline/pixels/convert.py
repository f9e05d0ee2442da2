"""Convert a decoded image to the pixels of one or more outputs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.pixels.geometry import Placement, place
from alexnet_pipeline.pixels.kernels import Method, find_method
from alexnet_pipeline.pixels.libraries import check_conversion, resample_by_library
from alexnet_pipeline.pixels.resample import resample_each
from alexnet_pipeline.records import Conversion, Geometry, Rounding

# An output image, HWC uint8, and its placement.
Converted = tuple[NDArray[np.uint8], Placement]


@takes_options(Conversion)
def resize(image: NDArray[np.uint8], method: str = Conversion.method, **options: object) -> NDArray[np.uint8]:
    """Resize one image, as `shard` does before encoding.

    Args:
        image: HWC uint8, RGB, of any size.
        method: name of a downsampling method; see `methods()`.
        **options: of the conversion; those of decoding and encoding have no effect here.

    Returns:
        HWC uint8, RGB.

    Raises:
        RefusedError: the image, the method or an option is invalid.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise RefusedError(f"resize got {image.dtype} of shape {image.shape}; expected HWC uint8 with 3 channels")
    conversion = make(Conversion, options, Conversion(method=method))
    check_conversion(conversion)
    return convert(np.ascontiguousarray(image), conversion)[0]


def convert(image: NDArray[np.uint8], conversion: Conversion) -> Converted:
    """Convert an image, as `convert_each` does."""
    return convert_each(image, [conversion])[0]


def convert_each(image: NDArray[np.uint8], conversions: Sequence[Conversion]) -> list[Converted]:
    """Convert an image in several ways.

    Args:
        image: HWC uint8, RGB; it is not turned any more, so the option `orientation` has no effect here.
        conversions: the options of each output; conversions that differ only in method share work.

    Returns:
        For each conversion, the output image, HWC uint8, and its placement.

    Raises:
        RejectedImageError: an output would be too large.
    """
    height, width = image.shape[:2]
    results: dict[int, Converted] = {}
    for placement, linear_light, methods in _grouped(height, width, conversions):
        ours = {number: method for number, method in methods.items() if not method.library}
        outputs = resample_each(image, placement, [*ours.values()], linear_light=linear_light) if ours else []
        for number, pixels in zip(ours, outputs, strict=True):
            results[number] = pixels, placement
        for number in methods.keys() - ours.keys():
            results[number] = resample_by_library(image, placement, methods[number]), placement
    return [results[number] for number in range(len(conversions))]


def _grouped(
    height: int, width: int, conversions: Sequence[Conversion]
) -> Iterator[tuple[Placement, bool, dict[int, Method]]]:
    """Group conversions that differ only in method: placement, linear light, and methods by conversion number."""
    groups: dict[tuple[int, Geometry, Rounding, bool], dict[int, Method]] = {}
    for number, conversion in enumerate(conversions):
        key = conversion.size_px, conversion.geometry, conversion.rounding, conversion.linear_light
        groups.setdefault(key, {})[number] = _method(conversion.method)
    for (size_px, geometry, rounding, linear_light), methods in groups.items():
        yield place(height, width, size_px, geometry, rounding), linear_light, methods


_method = functools.cache(find_method)
