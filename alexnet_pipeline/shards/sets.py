"""Plan the data sets of a request, one for each of its methods and splits."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet_pipeline.dataset.manifest import FORMAT_VERSION, Manifest
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import make
from alexnet_pipeline.pixels import codec, libraries
from alexnet_pipeline.pixels.geometry import DEFINITIONS
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.pixels.libraries import check_conversion
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards import stored
from alexnet_pipeline.shards.journal import SetPlan, SetState
from alexnet_pipeline.shards.options import Preset, RunOptions, Selection
from alexnet_pipeline.shards.plan import Plan, plan_shards
from alexnet_pipeline.shards.ranges import range_of
from alexnet_pipeline.shards.stored import PlannedSource
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import status_of

# The options of each preset, which options that are given override.
# cuda-convnet2: Krizhevsky's make-data, INTER_AREA down and INTER_CUBIC up, JPEG quality 95.
# torchvision: Resize(256) and CenterCrop(256) with its truncated lengths; its loader does not read EXIF orientation.
PRESETS: dict[Preset, SetOptions] = {
    "cuda-convnet2": SetOptions(method="opencv:area+cubic", quality=95),
    "torchvision": SetOptions(method="bilinear-aa", rounding="truncate", orientation="ignore"),
}
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class PlannedSet:
    """A data set to be written.

    Attributes:
        state: resumable state of its folder.
        record: the plan to record when it is started.
        plan: order and shards of its split.
        manifest: its manifest, if it is finished and is to be resumed.
    """

    state: SetState
    record: SetPlan
    plan: Plan
    manifest: Manifest | None = None

    def range(self, run: RunOptions) -> tuple[int, int]:
        """The shards [first, last) that a run writes."""
        return range_of(run, self.plan.shards)

    def writes_any(self, run: RunOptions) -> bool:
        """Whether a run writes any shard of this set."""
        first, last = self.range(run)
        return first < last


def select(selection: Selection, options: Mapping[str, object]) -> list[SetOptions]:
    """The options of each chosen method; a preset supplies what is not given.

    Raises:
        RefusedError: a method is unknown or named twice, or an option is out of its range.
    """
    base = PRESETS[selection.preset] if selection.preset else SetOptions()
    shared = make(SetOptions, options, base)
    if not _NAME.fullmatch(shared.name):
        raise RefusedError(f"`name`: {shared.name!r} may contain only A-Z a-z 0-9 _ -")
    chosen = [dataclasses.replace(shared, method=method) for method in selection.methods or (base.method,)]
    folders = [check_conversion(each).directory for each in chosen]
    if len(set(folders)) < len(folders):
        raise RefusedError(f"`methods`: {', '.join(selection.methods)} lists a method twice; list each once")
    return chosen


def plan_source(
    source: Location,
    out: Location,
    options: SetOptions,
    splits: Sequence[str],
    reading: SourceOptions,
    *,
    rescan: bool = False,
) -> PlannedSource:
    """List a source and bring its images in order, or take the listing that an earlier run kept.

    Args:
        source: the source.
        out: the output folder.
        options: of any of the data sets, because all have the same images and order.
        splits: the wanted splits; empty for all.
        reading: how to read the source.
        rescan: whether to list the source in any case.

    Raises:
        RefusedError: the source is not recognised, or lacks a split.
    """
    kept = None if rescan else stored.load(stored.place_of(out, source, reading, splits, options))
    if kept is not None:
        return kept
    opened = open_source(source, options.label_order, reading, splits, out)
    contents = opened.read(splits)
    plans = tuple(plan_shards(listing, options) for listing in contents.listings)
    tables = (Path(path).resolve() for path in (reading.labels, reading.classes) if path)
    watched = [*opened.root.watched(), *((str(path), status_of(path).version) for path in tables)]
    return PlannedSource(contents, plans, opened.words, tuple(watched))


def plan_sets(planned: PlannedSource, out: Location, chosen: Sequence[SetOptions]) -> list[PlannedSet]:
    """Plan a data set for each method and split."""
    sets = []
    for plan in planned.plans:
        for options in chosen:
            state = SetState(out / find_method(options.method).directory / plan.listing.split)
            record = _record(plan, options)
            record = dataclasses.replace(record, class_words=planned.words, source=planned.contents.account)
            sets.append(PlannedSet(state, record, plan))
    return sets


def _record(plan: Plan, options: SetOptions) -> SetPlan:
    method = find_method(options.method)
    versions = {"numpy": np.__version__, **codec.versions()}
    if method.library == "pillow":
        versions |= libraries.versions()
    return SetPlan(
        format_version=FORMAT_VERSION,
        split=plan.listing.split,
        options=options,
        definition=method.definition,
        geometry_definition=DEFINITIONS[options.geometry],
        versions=versions,
        classes=plan.listing.classes,
        images=len(plan.order),
        shards=plan.shards,
        input=plan.digest,
        source_rejects=plan.listing.rejects,
    ).sealed()
