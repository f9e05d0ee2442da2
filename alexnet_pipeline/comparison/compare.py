"""Pictures and methods in, everything that tells the methods apart out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from alexnet_pipeline.comparison.workers import Progress, run_all
from alexnet_pipeline.comparison.gather import gather
from alexnet_pipeline.comparison.measure.picture import MeasuredPicture, Settings
from alexnet_pipeline.comparison.measure.metrics import method_metrics, shard_metrics
from alexnet_pipeline.comparison.measure.picture_files import measure_file, warm_up
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.comparison.measure.responses import respond
from alexnet_pipeline.comparison.measure.shard_sets import measure_sample, open_sets, set_names, shared_samples
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.pixels.convert import check_options
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import Geometry, RawImage, Reject

# At which responses are computed: ImageNet's median to 256, a small one and two large ones.
DEFAULT_SCALES = (1.465, 1.3, 2.0, 3.0)


def compare_methods(
    pictures: Sequence[RawImage],
    methods: Sequence[str],
    *,
    source: str,
    size_px: int = 256,
    geometry: Geometry = "center-crop",
    quality: int = 90,
    scales: Sequence[float] = DEFAULT_SCALES,
    workers: int | None = None,
    command: str = "",
    rejects: Sequence[Reject] = (),
    progress: Progress | None = None,
) -> Comparison:
    """Compare methods by their responses and by what they do to pictures.

    Args:
        pictures: raw, any order.
        methods: at least two names; two names of one method are allowed, and come out as no different.
        source: of the pictures, in words.
        size_px: target side.
        geometry: how any shape becomes the target.
        quality: of the JPEG whose size and error are measured.
        scales: at which responses are computed; the first is the main one.
        workers: processes; default the cores. They change times only.
        command: that a person would repeat.
        rejects: inputs that were rejected before.
        progress: called with the number of pictures done, and of all.

    Raises:
        RefusedError: the request cannot be carried out.
        PipelineError: no picture could be read, or a worker died.
    """
    settings = Settings(tuple(methods), size_px, geometry, quality)
    _check(settings, scales, workers)
    responses = [tuple(respond(name, scale) for scale in scales) for name in methods]
    cores = len(os.sched_getaffinity(0))
    work = partial(measure_file, settings=settings)
    ordered = sorted(pictures, key=lambda picture: picture.key)
    outcomes = run_all(work, ordered, workers or cores, partial(warm_up, settings), progress)
    return gather(
        _measured(outcomes, source),
        kind="methods",
        names=settings.methods,
        definitions=[find_method(name).definition for name in methods],
        responses=responses,
        metrics=method_metrics(quality),
        rejects=(*rejects, *(outcome for outcome in outcomes if isinstance(outcome, Reject))),
        source=source,
        command=command,
        size_px=size_px,
        geometry=geometry,
        quality=quality,
        scales=tuple(scales),
    )


def compare_shards(
    folders: Sequence[Path], *, workers: int | None = None, command: str = "", progress: Progress | None = None
) -> Comparison:
    """Compare finished shard sets of the same pictures, key by key, with the first of them.

    Pictures are read one at a time; only where each key lies is held, and each picture's numbers.

    Args:
        folders: of finished data sets, at least two, each with a manifest.
        workers: processes; default the cores.
        command: that a person would repeat.
        progress: called with the number of keys done, and of all.

    Raises:
        RefusedError: the sets cannot be compared; the message says how many keys are missing on which side.
        PipelineError: a set is damaged, or a worker died.
    """
    sets = open_sets(folders)
    samples = shared_samples(sets)
    options = sets[0].manifest.options
    encodings = tuple(each.manifest.options.encoding for each in sets)
    work = partial(measure_sample, options=options, encodings=encodings)
    outcomes = run_all(work, samples, workers or len(os.sched_getaffinity(0)), _nothing, progress)
    names = set_names(sets)
    source = ", ".join(map(str, folders))
    return gather(
        _measured(outcomes, source),
        kind="shards",
        names=names,
        definitions=[each.manifest.definition for each in sets],
        responses=[() for _ in sets],
        metrics=shard_metrics(names[0]),
        rejects=[outcome for outcome in outcomes if isinstance(outcome, Reject)],
        source=source,
        command=command,
        size_px=options.size_px,
        geometry=options.geometry,
        quality=options.quality,
        scales=(),
    )


def _nothing() -> None:
    """Shards are decoded and compared by what is loaded at once."""


def _measured(outcomes: Sequence[MeasuredPicture | Reject], source: str) -> list[MeasuredPicture]:
    found = [outcome for outcome in outcomes if isinstance(outcome, MeasuredPicture)]
    if not found:
        raise PipelineError(f"none of the {len(outcomes)} pictures of {source} could be read; nothing to compare")
    return found


def _check(settings: Settings, scales: Sequence[float], workers: int | None) -> None:
    names = settings.methods
    if len(names) < 2:
        raise RefusedError(f"methods {', '.join(names) or 'none'}: a comparison needs at least two")
    if len(set(names)) < len(names):
        raise RefusedError(f"methods {', '.join(names)}: one is named twice; name each once")
    if not scales:
        raise RefusedError("no scale to compute responses at; name at least one")
    if settings.size_px < 1 or not 1 <= settings.quality <= 100 or (workers is not None and workers < 1):
        raise RefusedError(
            f"size {settings.size_px}, quality {settings.quality}, workers {workers}: expected at least 1, "
            "1..100 and at least 1"
        )
    for options in settings.options():
        check_options(options)
