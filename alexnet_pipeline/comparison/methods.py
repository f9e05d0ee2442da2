"""Compares methods on raw images: frequency responses from weights, metrics from images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.gather import gather
from alexnet_pipeline.comparison.measure.image import image_measurer
from alexnet_pipeline.comparison.measure.metrics import method_metrics
from alexnet_pipeline.comparison.measure.responses import respond
from alexnet_pipeline.comparison.options import CompareOptions
from alexnet_pipeline.comparison.records import Comparison, ImageResult, MethodResult
from alexnet_pipeline.comparison.workers import opencv_held, run_all
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels import codec, compiled
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.pixels.libraries import check_conversion
from alexnet_pipeline.progress import Report, Stage, silent
from alexnet_pipeline.raw.read import read_image
from alexnet_pipeline.raw.source import Source
from alexnet_pipeline.records import RawImage, Reject, SetOptions
from alexnet_pipeline.shards.plan import plan_shards

# Reads the outputs of all methods for one image, HWC uint8 RGB, in the comparison's order of methods.
ReadOutputs = Callable[[ImageResult], Sequence[NDArray[np.uint8]]]


def sample_images(source: Source, choices: CompareOptions) -> tuple[list[RawImage], tuple[Reject, ...]]:
    """The first images of a split in the order of `shard`, and what listing the split rejected."""
    split = choices.split or ("val" if "val" in source.splits else next(iter(source.splits)))
    (listing,) = source.read((split,)).listings
    options = SetOptions(seed=choices.seed, limit_images=choices.images, shard_size_images=choices.images)
    return list(plan_shards(listing, options).images(0)), listing.rejects


def compare_methods(
    images: Sequence[RawImage],
    choices: CompareOptions,
    *,
    source: str,
    command: str = "",
    rejects: Sequence[Reject] = (),
    report: Report = silent,
) -> tuple[Comparison, ReadOutputs]:
    """Compare methods by their responses and by their outputs for images.

    Two names of one method are allowed; they do not differ.

    Args:
        images: in any order.
        choices: methods, output, scales and workers.
        source: of the images, in words.
        command: that repeats the comparison.
        rejects: inputs that were rejected before.

    Returns:
        The comparison, and a function that converts its images again.

    Raises:
        RefusedError: the methods cannot be compared.
        PipelineError: no image could be read, or a worker died.
    """
    _check(choices)
    conversions = choices.conversions()
    methods = [
        MethodResult(name, find_method(name).definition, tuple(respond(name, scale) for scale in choices.scales))
        for name in choices.methods
    ]
    if not compiled.is_kept():
        report(Stage("compiling kernels (first run only)"))
    prepare = partial(image_measurer, conversions)
    with opencv_held():
        work = prepare()
    compiled.keep()
    ordered = sorted(images, key=lambda image: image.key)
    comparison = gather(
        run_all(work, prepare, ordered, choices.workers, report),
        methods,
        method_metrics(choices.quality),
        kind="methods",
        conversion=conversions[0],
        rejects=rejects,
        source=source,
        command=command,
        scales=choices.scales,
    )
    by_key = {image.key: image for image in images}

    def read(image: ImageResult) -> list[NDArray[np.uint8]]:
        decoded = codec.decode(read_image(by_key[image.key]))
        return [convert(decoded, conversion)[0] for conversion in conversions]

    return comparison, read


def _check(choices: CompareOptions) -> None:
    names = choices.methods
    if len(names) < 2:
        raise RefusedError(f"`methods`: {', '.join(names) or 'none'}; a comparison needs at least two")
    if len(set(names)) < len(names):
        raise RefusedError(f"`methods`: {', '.join(names)} lists one twice; list each once")
    if not choices.scales:
        raise RefusedError("`scales` is empty; name at least one")
    for conversion in choices.conversions():
        check_conversion(conversion)
