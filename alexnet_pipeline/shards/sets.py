"""Plan the data sets of a request, one for each of its methods and splits."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alexnet_pipeline.dataset.manifest import FORMAT_VERSION
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import make
from alexnet_pipeline.pixels import codec, libraries
from alexnet_pipeline.pixels.geometry import DEFINITIONS
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.pixels.libraries import check_conversion
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.source import Contents, open_source
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.journal import SetPlan, SetState
from alexnet_pipeline.shards.options import Preset, Selection
from alexnet_pipeline.shards.plan import Plan, plan_shards
from alexnet_pipeline.storage.place import Location

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
    """

    state: SetState
    record: SetPlan
    plan: Plan

    def range(self, wanted: tuple[int, int] | None) -> tuple[int, int]:
        """The wanted range [first, last) of shards, cut off at the last shard there is."""
        first, last = wanted or (0, self.plan.shards)
        return first, min(last, self.plan.shards)


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


def plan_sets(
    source: Location, out: Location, chosen: Sequence[SetOptions], splits: Sequence[str], reading: SourceOptions
) -> tuple[Contents, list[PlannedSet]]:
    """List a source and plan a set for each method and split.

    Returns:
        The contents of the source, and the sets.

    Raises:
        RefusedError: the source is not recognised, or lacks a split.
    """
    opened = open_source(source, chosen[0].label_order, reading, splits, out)
    contents = opened.read(splits)
    sets = []
    for listing in contents.listings:
        plan = plan_shards(listing, chosen[0])
        digest = plan.digest()
        for options in chosen:
            state = SetState(out / find_method(options.method).directory / listing.split)
            record = _record(plan, options, digest)
            record = dataclasses.replace(record, class_words=opened.words, source=contents.account)
            sets.append(PlannedSet(state, record, plan))
    return contents, sets


def _record(plan: Plan, options: SetOptions, digest: str) -> SetPlan:
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
        input=digest,
        source_rejects=plan.listing.rejects,
    ).sealed()
