"""Compares finished data sets of the same images, key by key, with the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.gather import gather
from alexnet_pipeline.comparison.measure.metrics import shard_metrics
from alexnet_pipeline.comparison.measure.sample import decode_samples, measure_sample, sample_measurer
from alexnet_pipeline.comparison.methods import ReadOutputs
from alexnet_pipeline.comparison.options import CompareOptions
from alexnet_pipeline.comparison.records import Comparison, ImageResult, MethodResult
from alexnet_pipeline.comparison.workers import run_all
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Report, silent
from alexnet_pipeline.storage.place import locate, resolved


def compare_sets(
    choices: CompareOptions, *, command: str = "", report: Report = silent
) -> tuple[Comparison, ReadOutputs]:
    """Compare the sets in `choices.shards`.

    Samples are read one key at a time; only the position of each key and the metrics of each image are held.

    Returns:
        The comparison, and a function that reads its images again.

    Raises:
        RefusedError: the sets cannot be compared; the message says how many keys are missing on which side.
        PipelineError: a set is damaged, or a worker died.
    """
    sets = _open(choices.shards)
    samples = _shared_samples(sets)
    names = _names(sets)
    prepare = partial(sample_measurer, choices.shards)
    comparison = gather(
        run_all(partial(measure_sample, sets), prepare, list(samples.items()), choices.workers, report),
        [MethodResult(name, each.manifest.definition) for name, each in zip(names, sets, strict=True)],
        shard_metrics(names[0]),
        kind="shards",
        conversion=sets[0].manifest.options,
        rejects=(),
        source=", ".join(str(each.folder) for each in sets),
        command=command,
    )

    def read(image: ImageResult) -> list[NDArray[np.uint8]]:
        return decode_samples(sets, samples[image.key])

    return comparison, read


def _open(places: Sequence[Path]) -> list[ShardSet]:
    folders = [locate(place) for place in places]
    if len(folders) < 2:
        raise RefusedError("`shards` names one set; a comparison needs at least two")
    if len({resolved(folder) for folder in folders}) < len(folders):
        raise RefusedError(f"`shards`: {', '.join(map(str, folders))} lists one twice; list each once")
    sets = [open_shards(folder) for folder in folders]
    shapes = [f"{each.manifest.options.geometry} to {each.manifest.options.size_px} px" for each in sets]
    for folder, shape in zip(folders, shapes, strict=True):
        if shape != shapes[0]:
            raise RefusedError(f"{folder} is {shape}, {folders[0]} is {shapes[0]}; their pixels cannot be compared")
    return sets


def _names(sets: Sequence[ShardSet]) -> list[str]:
    """The method of each set; where two share a method, with the folder."""
    methods = [each.manifest.options.method for each in sets]
    return [
        f"{method} ({each.folder})" if methods.count(method) > 1 else method
        for method, each in zip(methods, sets, strict=True)
    ]


def _shared_samples(sets: Sequence[ShardSet]) -> dict[str, tuple[int, ...]]:
    """Every key with its position in each set, sorted by key."""
    positions = [{key: position for position, key in enumerate(each.keys())} for each in sets]
    first = positions[0]
    for other, in_other in zip(sets[1:], positions[1:], strict=True):
        fewer, more = len(first.keys() - in_other.keys()), len(in_other.keys() - first.keys())
        if fewer or more:
            raise RefusedError(
                f"{other.folder} lacks {fewer:,} keys of {sets[0].folder}, and {sets[0].folder} lacks {more:,} of "
                f"{other.folder}; compare sets of the same images"
            )
    return {key: tuple(in_set[key] for in_set in positions) for key in sorted(first)}
