"""The commands as functions: the same words as the command line, records in and out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.convert import check_options, convert
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import Encoding, Geometry, LabelOrder, MethodOptions, Subsampling
from alexnet_pipeline.shards.build import (
    DatasetSummary,
    Estimate,
    Reporter,
    RunOptions,
    SilentReporter,
    build_shards,
    merge_shards,
)
from alexnet_pipeline.shards.build import estimate as estimate_run
from alexnet_pipeline.shards.inspect import SampleView, read_samples
from alexnet_pipeline.shards.statistics import MAX_SHARD_IMAGES
from alexnet_pipeline.shards.verify import Verification, verify_folder

Preset = Literal["cuda-convnet2", "torchvision"]
StrPath = str | os.PathLike[str]

DEFAULT_METHOD = "antialias"
# What a preset stands for, where the caller does not say otherwise.
# cuda-convnet2: Krizhevsky's make-data, INTER_AREA down and INTER_CUBIC up, JPEG quality 95.
# torchvision: Resize(256) and CenterCrop(256) with its truncated lengths.
PRESETS: dict[Preset, tuple[str, MethodOptions]] = {
    "cuda-convnet2": ("opencv:area+cubic", MethodOptions(quality=95)),
    "torchvision": ("bilinear-aa", MethodOptions(rounding="truncate")),
}


def method_options(
    *,
    methods: Sequence[str] = (),
    size: int = 256,
    geometry: Geometry | None = None,
    preset: Preset | None = None,
    linear_light: bool = False,
    encoding: Encoding = "jpg",
    quality: int | None = None,
    subsampling: Subsampling = "420",
    name: str = "imagenet",
    shard_size: int = 1000,
    seed: int = 0,
    shuffle: bool = True,
    label_order: LabelOrder = "wnid",
    limit: int | None = None,
    max_pixels: int = 64_000_000,
) -> list[MethodOptions]:
    """The options of each method; a preset gives what is left out.

    Raises:
        RefusedError: a method is unknown, named twice, or an option is out of its range.
    """
    default_method, base = PRESETS[preset] if preset else (DEFAULT_METHOD, MethodOptions())
    wanted = list(methods) or [default_method]
    folders = [find_method(method).directory for method in wanted]
    if len(set(folders)) < len(folders):
        raise RefusedError(f"methods {', '.join(wanted)}: one is named twice; name each once")
    if not 1 <= (base.quality if quality is None else quality) <= 100:
        raise RefusedError(f"quality {quality} is outside 1..100")
    if min(size, shard_size, max_pixels, 1 if limit is None else limit) < 1:
        raise RefusedError("size, shard size, limit and max pixels must be at least 1")
    if shard_size > MAX_SHARD_IMAGES:
        raise RefusedError(f"shard size {shard_size} is more than {MAX_SHARD_IMAGES}")
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise RefusedError(f"name {name!r} may hold A-Z a-z 0-9 _ - only")
    shared = dataclasses.replace(
        base,
        size_px=size,
        geometry=geometry or base.geometry,
        linear_light=linear_light,
        encoding=encoding,
        quality=base.quality if quality is None else quality,
        subsampling=subsampling,
        name=name,
        shard_size_images=shard_size,
        seed=seed,
        shuffle=shuffle,
        label_order=label_order,
        limit_images=limit,
        max_pixels=max_pixels,
    )
    return [dataclasses.replace(shared, method=method) for method in wanted]


def shard(
    source: StrPath,
    out: StrPath,
    *,
    methods: Sequence[str] = (),
    split: Sequence[str] = (),
    size: int = 256,
    geometry: Geometry | None = None,
    preset: Preset | None = None,
    linear_light: bool = False,
    encoding: Encoding = "jpg",
    quality: int | None = None,
    subsampling: Subsampling = "420",
    name: str = "imagenet",
    shard_size: int = 1000,
    seed: int = 0,
    shuffle: bool = True,
    label_order: LabelOrder = "wnid",
    limit: int | None = None,
    max_pixels: int = 64_000_000,
    workers: int | None = None,
    on_error: Literal["skip", "fail"] = "skip",
    max_rejects: int | None = None,
    restart: bool = False,
    shard_range: tuple[int, int] | None = None,
    reporter: Reporter | None = None,
) -> list[DatasetSummary]:
    """Convert a source to shards, one data set per method and split; resumes what was begun.

    Args:
        source: class folders, or ILSVRC2012's tars.
        out: gets `METHOD/SPLIT/NAME-SPLIT-000000.tar` and so on.
        methods: see `alexnet-pipeline methods`; default `antialias`, or the preset's.
        split: default all that the source has.
        size, geometry, preset, linear_light, encoding, quality, subsampling, name, shard_size, seed, shuffle,
            label_order, limit, max_pixels: see `records.MethodOptions`.
        workers, on_error, max_rejects, restart, shard_range: see `shards.build.RunOptions`.
        reporter: is told how it goes.

    Returns:
        One summary per data set.

    Raises:
        RefusedError: the request cannot be carried out; nothing was changed.
        PipelineError: something failed; the same call resumes.
    """
    options = method_options(
        methods=methods,
        size=size,
        geometry=geometry,
        preset=preset,
        linear_light=linear_light,
        encoding=encoding,
        quality=quality,
        subsampling=subsampling,
        name=name,
        shard_size=shard_size,
        seed=seed,
        shuffle=shuffle,
        label_order=label_order,
        limit=limit,
        max_pixels=max_pixels,
    )
    run = run_options(workers, on_error, max_rejects, shard_range, restart=restart)
    return build_shards(Path(source), Path(out), options, tuple(split), run, reporter or SilentReporter())


def run_options(
    workers: int | None,
    on_error: Literal["skip", "fail"] = "skip",
    max_rejects: int | None = None,
    shard_range: tuple[int, int] | None = None,
    *,
    restart: bool = False,
) -> RunOptions:
    """How to run; all cores unless told otherwise.

    Raises:
        RefusedError: a number is out of its range.
    """
    if workers is not None and workers < 1:
        raise RefusedError(f"workers {workers}: at least one is needed")
    if shard_range is not None and not 0 <= shard_range[0] < shard_range[1]:
        raise RefusedError(f"shard range {shard_range[0]}:{shard_range[1]} is empty; A:B means A .. B-1")
    cores = len(os.sched_getaffinity(0))
    return RunOptions(workers or cores, on_error, max_rejects, restart, shard_range)


def estimate(
    source: StrPath,
    out: StrPath,
    options: Sequence[MethodOptions],
    *,
    split: Sequence[str] = (),
    workers: int | None = None,
) -> Estimate:
    """What `shard` would do: pictures, shards, time and disk. Nothing is written."""
    return estimate_run(Path(source), Path(out), options, tuple(split), run_options(workers))


def merge(out: StrPath) -> list[DatasetSummary]:
    """Complete data sets whose shards were written by several runs with `shard_range`."""
    return merge_shards(Path(out))


def verify(
    path: StrPath,
    *,
    deep: bool = False,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check every data set at or below a path against its manifest."""
    return verify_folder(Path(path), deep=deep, workers=workers, progress=progress)


def inspect(path: StrPath, *, limit: int = 64) -> list[SampleView]:
    """The first samples of a tar or a split's folder, as webdataset reads them."""
    return list(read_samples(Path(path), limit))


def resize(
    image: NDArray[np.uint8],
    method: str = DEFAULT_METHOD,
    *,
    size: int = 256,
    geometry: Geometry = "center-crop",
    linear_light: bool = False,
) -> NDArray[np.uint8]:
    """Bring one picture to its target, as `shard` would before encoding.

    Args:
        image: HWC uint8, RGB, any size.
        method: see `alexnet-pipeline methods`.
        size: target side in pixels.
        geometry: see `records.MethodOptions`.
        linear_light: resample in linear light.

    Returns:
        HWC uint8, RGB.

    Raises:
        RefusedError: the picture or the method is not one of those.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise RefusedError(f"resize got {image.dtype} of shape {image.shape}; expected HWC uint8 with 3 channels")
    options = MethodOptions(method=method, size_px=size, geometry=geometry, linear_light=linear_light)
    check_options(options)
    return convert(np.ascontiguousarray(image), options)[0]
