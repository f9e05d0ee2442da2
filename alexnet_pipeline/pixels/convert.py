"""A decoded picture and options in, the target's pixels out, by whichever method was asked for."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.geometry import Placement, Region, place
from alexnet_pipeline.pixels.kernels import Method, find_method
from alexnet_pipeline.pixels.libraries import check_library, resample_by_library
from alexnet_pipeline.pixels.resample import needed_samples, resample
from alexnet_pipeline.records import MethodOptions


def check_options(options: MethodOptions) -> Method:
    """The method of the options.

    Raises:
        RefusedError: there is no such method, its library is missing, or it has no linear light.
    """
    method = find_method(options.method)
    check_library(method)
    if method.library and options.linear_light:
        raise RefusedError(f"{method.name} works on gamma-encoded values only; leave --linear-light out")
    return method


def convert(image: NDArray[np.uint8], options: MethodOptions) -> tuple[NDArray[np.uint8], Placement]:
    """Bring a picture to its target.

    Args:
        image: HWC uint8, RGB, upright.
        options: method, geometry and size.

    Returns:
        The target, HWC uint8, and how it was placed.

    Raises:
        RejectedImageError: the target would be too large.
    """
    height, width = image.shape[:2]
    placement = place(height, width, options.size_px, options.geometry, options.rounding)
    method = _method(options.method)
    if method.library:
        return resample_by_library(image, placement, method), placement
    return resample(image, placement, method, linear_light=options.linear_light), placement


def needed(height: int, width: int, wanted: Sequence[MethodOptions]) -> Region:
    """The part of a picture of (height, width) that `convert` looks at for any of several options.

    Raises:
        RejectedImageError: a target would be too large.
    """
    regions = [_needed(height, width, options) for options in wanted]
    tops, bottoms, lefts, rights = zip(*regions, strict=True)
    return Region(min(tops), max(bottoms), min(lefts), max(rights))


def _needed(height: int, width: int, options: MethodOptions) -> Region:
    placement = place(height, width, options.size_px, options.geometry, options.rounding)
    method = _method(options.method)
    if method.library:
        return Region(0, height, 0, width)
    return Region(*needed_samples(placement.rows, method), *needed_samples(placement.columns, method))


_method = functools.cache(find_method)
