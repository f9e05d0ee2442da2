"""What a run would do: images, shards, time and disk, from a few images converted in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.files import local_path
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert_each
from alexnet_pipeline.raw.read import read_image
from alexnet_pipeline.records import RawImage, SetOptions
from alexnet_pipeline.shards.journal import free_bytes
from alexnet_pipeline.shards.options import RunOptions, Selection
from alexnet_pipeline.shards.sets import plan_sets, select
from alexnet_pipeline.shards.workers import core_count

# Images that are converted to estimate time and disk.
PROBE_IMAGES = 32
# Header, label and record of a sample, and padding: what its tar needs beyond the encoded image.
SAMPLE_OVERHEAD_BYTES = 2816


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """A split as it would be written."""

    split: str
    images: int
    shards: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would do.

    Attributes:
        layout: of the source.
        splits: that would be written.
        methods: bytes expected per method.
        seconds: expected with the given workers.
        free_bytes: where the output would go.
    """

    layout: str
    splits: tuple[SplitPlan, ...]
    methods: dict[str, int]
    seconds: float
    free_bytes: int


@takes_options(Selection, SetOptions, RunOptions)
def estimate(source: str | os.PathLike[str], out: str | os.PathLike[str], **options: object) -> Estimate:
    """Plan what `shard` would do, and convert a few images to say how long it takes and how much it writes.

    Args:
        source: as for `shard`.
        out: where the output would go; nothing is written.
        **options: see below.

    Raises:
        RefusedError: the request cannot be carried out.
    """
    chosen, run = select(options), make(RunOptions, options)
    layout, sets = plan_sets(local_path(source), local_path(out), chosen, make(Selection, options).splits)
    plan = sets[0].plan
    positions = plan.order[:: max(1, len(plan.order) // PROBE_IMAGES)][:PROBE_IMAGES]
    spent_s, sizes = _probe([plan.listing.image(int(position)) for position in positions], chosen)
    splits = {planned.record.split: planned for planned in sets}
    images = sum(planned.record.images for planned in splits.values())
    return Estimate(
        layout=layout,
        splits=tuple(SplitPlan(split, each.record.images, each.plan.shards) for split, each in splits.items()),
        methods={method: round(size * images) for method, size in sizes.items()},
        seconds=spent_s * images / (run.workers or core_count()),
        free_bytes=free_bytes(Path(out)),
    )


def _probe(images: Sequence[RawImage], chosen: Sequence[SetOptions]) -> tuple[float, dict[str, float]]:
    """CPU seconds an image, and bytes a sample per method; the first image only warms up."""
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
