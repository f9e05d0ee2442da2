"""Estimate the images, shards, time and disk space of a run by converting a few images in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from alexnet_pipeline.cores import core_count
from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert_each
from alexnet_pipeline.raw.describe import contents_lines
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.read import read_image
from alexnet_pipeline.records import RawImage, Reject, SetOptions, SourceAccount
from alexnet_pipeline.shards.journal import free_bytes
from alexnet_pipeline.shards.options import RunOptions, Selection
from alexnet_pipeline.shards.plan import Plan
from alexnet_pipeline.shards.sets import plan_sets, plan_source, select
from alexnet_pipeline.storage.place import StrPath, locate, writable

# Number of images to convert for the estimate of time and disk space.
PROBE_IMAGES = 32
# What a sample takes in its tar beyond the encoded image: headers, label, record and padding.
SAMPLE_OVERHEAD_BYTES = 2816


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """The number of images and shards planned for a split, and of its images by class.

    Attributes:
        split: `train`, `val` or `test`.
        images: number of images.
        shards: number of shards.
        class_images: number of images in the source by class name.
    """

    split: str
    images: int
    shards: int
    class_images: dict[str, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a run.

    Attributes:
        source: how the source was recognised, and what in it is not an image.
        recognised: the same in words, a line each.
        rejects: inputs that cannot be images, known before any is read.
        splits: the splits that would be written.
        methods: expected bytes, by method.
        seconds: expected duration with the given workers.
        free_bytes: free disk space where the output would go; None in an object store.
    """

    source: SourceAccount
    recognised: tuple[str, ...]
    rejects: tuple[Reject, ...]
    splits: tuple[SplitPlan, ...]
    methods: dict[str, int]
    seconds: float
    free_bytes: int | None


@takes_options(Selection, SourceOptions, SetOptions, RunOptions)
def estimate(source: StrPath, out: StrPath, **options: object) -> Estimate:
    """Plan a run of `shard`, and convert a few images to estimate how long it takes and how much it writes.

    Args:
        source: source of the images, as for `shard`.
        out: folder for the output; nothing is written.
        **options: see below.

    Raises:
        RefusedError: the request cannot be carried out.
    """
    selection = make(Selection, options)
    chosen, run = select(selection, options), make(RunOptions, options)
    reading = make(SourceOptions, options)
    place = writable(locate(out))
    planned_source = plan_source(locate(source), place, chosen[0], selection.splits, reading, rescan=run.rescan)
    contents, sets = planned_source.contents, plan_sets(planned_source, place, chosen)
    plan = sets[0].plan
    positions = plan.order[:: max(1, len(plan.order) // PROBE_IMAGES)][:PROBE_IMAGES]
    spent_s, sizes = _probe([plan.listing.image(int(position)) for position in positions], chosen)
    splits = {planned.record.split: planned for planned in sets}
    images = sum(planned.record.images for planned in splits.values())
    return Estimate(
        source=contents.account,
        recognised=tuple(contents_lines(contents)),
        rejects=tuple(reject for listing in contents.listings for reject in listing.rejects),
        splits=tuple(_split_plan(each.plan) for each in splits.values()),
        methods={method: round(size * images) for method, size in sizes.items()},
        seconds=spent_s * images / (run.workers or core_count()),
        free_bytes=free_bytes(place),
    )


def _split_plan(plan: Plan) -> SplitPlan:
    listing = plan.listing
    totals = dict(zip(listing.classes, listing.class_totals(), strict=True))
    return SplitPlan(listing.split, len(plan.order), plan.shards, totals)


def _probe(images: Sequence[RawImage], chosen: Sequence[SetOptions]) -> tuple[float, dict[str, float]]:
    """Measure CPU seconds per image, and bytes per sample of each method; the first image is not timed."""
    sizes = dict.fromkeys((options.method for options in chosen), 0)
    started, counted = 0.0, 0
    for position, image in enumerate(images):
        if position == 1:
            started = time.process_time()
        try:
            decoded = codec.decode(read_image(image), max_pixels=chosen[0].max_pixels)
            for options, (pixels, _) in zip(chosen, convert_each(decoded, chosen), strict=True):
                sizes[options.method] += len(codec.encode(pixels, options)) + SAMPLE_OVERHEAD_BYTES
        except RejectedImageError:
            continue
        counted += 1
    spent_s = (time.process_time() - started) / max(1, len(images) - 1)
    return spent_s, {method: size / max(1, counted) for method, size in sizes.items()}
