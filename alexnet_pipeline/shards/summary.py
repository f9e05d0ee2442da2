"""What a run of `shard` or `merge` says of each data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alexnet_pipeline.dataset.manifest import Manifest, ShardRecord
from alexnet_pipeline.records import Reject, Remark
from alexnet_pipeline.shards.journal import SetPlan
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.text import counted, html_table


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One data set after a run.

    Attributes:
        folder: the data set's folder.
        method: its downsampling method.
        split: `train`, `val` or `test`.
        images: number of samples written.
        shards: number of shards written.
        planned_shards: number of shards of the whole set.
        size_bytes: size of all tars.
        class_images: number of samples by class name; empty while the set is not complete.
        rejects: inputs that did not become samples.
        remarks: flaws of samples that do not touch their pixels.
        complete: whether the manifest is written.
    """

    folder: str
    method: str
    split: str
    images: int
    shards: int
    planned_shards: int
    size_bytes: int
    class_images: dict[str, int]
    rejects: tuple[Reject, ...]
    remarks: tuple[Remark, ...]
    complete: bool

    def __repr__(self) -> str:
        counts = f"{counted(self.images, 'image')} in {counted(self.shards, 'shard')}"
        return f"<{self.folder}: {counts}, {len(self.rejects):,} rejected>"


class SetSummaries(tuple[SetSummary, ...]):
    """The summaries of a run's data sets, shown as a table in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [
            (each.folder, f"{each.images:,}", f"{each.shards:,}", f"{each.size_bytes / 1e6:,.1f} MB", len(each.rejects))
            for each in self
        ]
        return html_table(("data set", "images", "shards", "size", "rejected"), rows)


def summary_of_set(folder: Location, manifest: Manifest) -> SetSummary:
    """The summary of a finished data set."""
    with_tar = [shard for shard in manifest.shards if shard.tar]
    totals = dict(zip(manifest.classes, manifest.class_totals_images, strict=True))
    return _summary(folder, manifest, with_tar, len(manifest.shards), manifest.rejects(), totals, complete=True)


def summary_of_part(folder: Location, plan: SetPlan, shards: Sequence[ShardRecord]) -> SetSummary:
    """The summary of some shards of a set that is not finished."""
    rejects = tuple(reject for shard in shards for reject in shard.rejects)
    return _summary(folder, plan, shards, plan.shards, rejects, {}, complete=False)


def _summary(
    folder: Location,
    about: SetPlan | Manifest,
    shards: Sequence[ShardRecord],
    planned_shards: int,
    rejects: tuple[Reject, ...],
    class_images: dict[str, int],
    *,
    complete: bool,
) -> SetSummary:
    return SetSummary(
        folder=str(folder),
        method=about.options.method,
        split=about.split,
        images=sum(shard.samples_images for shard in shards),
        shards=len(shards),
        planned_shards=planned_shards,
        size_bytes=sum(shard.tar.size_bytes for shard in shards if shard.tar),
        class_images=class_images,
        rejects=rejects,
        remarks=tuple(remark for shard in shards for remark in shard.remarks),
        complete=complete,
    )
