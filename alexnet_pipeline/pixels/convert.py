"""A decoded picture and options in, the target's pixels out, by whichever method was asked for."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.geometry import Placement, place
from alexnet_pipeline.pixels.kernels import Method, find_method
from alexnet_pipeline.pixels.libraries import check_library, resample_by_library
from alexnet_pipeline.pixels.resample import resample
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


_method = functools.cache(find_method)
