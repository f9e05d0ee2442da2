"""A decoded picture and options in, the targets' pixels out, by whichever methods were asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.geometry import Placement, Region, place
from alexnet_pipeline.pixels.kernels import Method, find_method
from alexnet_pipeline.pixels.libraries import check_library, resample_by_library
from alexnet_pipeline.pixels.resample import resample_each
from alexnet_pipeline.pixels.weights import needed_samples
from alexnet_pipeline.records import Geometry, MethodOptions, Rounding

# A target, HWC uint8, and how it was placed.
Converted = tuple[NDArray[np.uint8], Placement]


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


def convert(image: NDArray[np.uint8], options: MethodOptions) -> Converted:
    """Bring a picture to its target, as `convert_each` does to several."""
    return convert_each(image, [options])[0]


def convert_each(image: NDArray[np.uint8], wanted: Sequence[MethodOptions]) -> list[Converted]:
    """Bring a picture to the targets of several options.

    Args:
        image: HWC uint8, RGB, upright.
        wanted: method, geometry and size of each; where only methods differ, they share what each would do alone.

    Returns:
        For each the target, HWC uint8, and how it was placed.

    Raises:
        RejectedImageError: a target would be too large.
    """
    height, width = image.shape[:2]
    found: dict[int, Converted] = {}
    for placement, linear_light, methods in _alike(height, width, wanted):
        ours = {number: method for number, method in methods.items() if not method.library}
        results = resample_each(image, placement, [*ours.values()], linear_light=linear_light) if ours else []
        for number, pixels in zip(ours, results, strict=True):
            found[number] = pixels, placement
        for number in methods.keys() - ours.keys():
            found[number] = resample_by_library(image, placement, methods[number]), placement
    return [found[number] for number in range(len(wanted))]


def needed(height: int, width: int, wanted: Sequence[MethodOptions]) -> Region:
    """The part of a picture of (height, width) that `convert_each` looks at.

    Raises:
        RejectedImageError: a target would be too large.
    """
    regions = []
    for placement, _, methods in _alike(height, width, wanted):
        if any(method.library for method in methods.values()):
            return Region(0, height, 0, width)
        several = [*methods.values()]
        regions.append((*needed_samples(placement.rows, several), *needed_samples(placement.columns, several)))
    tops, bottoms, lefts, rights = zip(*regions, strict=True)
    return Region(min(tops), max(bottoms), min(lefts), max(rights))


def _alike(
    height: int, width: int, wanted: Sequence[MethodOptions]
) -> Iterator[tuple[Placement, bool, dict[int, Method]]]:
    """For each placement and light that is wanted (linear or not) the methods, by their places among the wanted."""
    groups: dict[tuple[int, Geometry, Rounding, bool], dict[int, Method]] = {}
    for number, options in enumerate(wanted):
        key = options.size_px, options.geometry, options.rounding, options.linear_light
        groups.setdefault(key, {})[number] = _method(options.method)
    for (size_px, geometry, rounding, linear_light), methods in groups.items():
        yield place(height, width, size_px, geometry, rounding), linear_light, methods


_method = functools.cache(find_method)
