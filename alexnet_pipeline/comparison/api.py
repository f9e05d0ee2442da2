"""The command `compare` as a function: the same words as the command line, records out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_pipeline.comparison.compare import DEFAULT_SCALES, compare_methods, compare_shards
from alexnet_pipeline.comparison.page.gallery import Samples, gallery_of
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.comparison.page.report import write_figure, write_page
from alexnet_pipeline.comparison.measure.shard_sets import sample_reader
from alexnet_pipeline.comparison.verdict import verdict_of
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.source import Source, open_source
from alexnet_pipeline.records import Geometry, MethodOptions, RawImage, Reject
from alexnet_pipeline.shards.build import Reporter, SilentReporter
from alexnet_pipeline.shards.plan import plan_shards

if TYPE_CHECKING:
    from alexnet_pipeline.alexnet.options import Watcher
    from alexnet_pipeline.comparison.networks import MatrixOptions

StrPath = str | os.PathLike[str]

DEFAULT_METHODS = ("nearest", "bilinear", "area", "bilinear-aa", "bicubic", "lanczos", "antialias")


def compare(
    source: StrPath | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    *,
    shards: Sequence[StrPath] = (),
    images: int = 300,
    split: str | None = None,
    size: int = 256,
    geometry: Geometry = "center-crop",
    quality: int = 90,
    scales: Sequence[float] = DEFAULT_SCALES,
    seed: int = 0,
    workers: int | None = None,
    train: bool = False,
    preset: str = "quarter",
    seeds: int = 3,
    steps: int | None = None,
    limit: int | None = None,
    work_dir: StrPath | None = None,
    output: StrPath | None = None,
    figure: StrPath | None = None,
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
    reporter: Reporter | None = None,
    watchers: Callable[[str], Watcher] | None = None,
) -> Comparison:
    """Compare downsampling methods on raw pictures, or finished shard sets key by key.

    It starts processes: a script calls it below `if __name__ == "__main__":`.

    Args:
        source: raw pictures, as `shard` takes them.
        methods: at least two.
        shards: instead of source and methods: folders of finished data sets with the same keys.
        images: so many, drawn by the seed.
        split: of the source; default `val` where it has one.
        size: target side in pixels.
        geometry: see `records.MethodOptions`.
        quality: of the JPEG whose size and error are measured.
        scales: at which frequency responses are computed; the first is the main one.
        seed: of the draw.
        workers: processes; default the cores.
        train: also shard by every method, train a network on each and test it on all; needs the extra `train`.
        preset, steps, seeds: of those networks; seeds 0 .. seeds - 1.
        limit: only so many pictures of each split in their shards.
        work_dir: keeps shards and runs, so that the same call resumes.
        output: write the report, one HTML file, here.
        figure: write a figure for papers, SVG, here.
        command: that a person would repeat.
        progress: is told how many pictures of how many are measured.
        reporter, watchers: are told how sharding and each training go.

    Raises:
        RefusedError: the request cannot be carried out; nothing was changed.
        PipelineError: something failed.
    """
    pages = _Pages(*(Path(path) if path is not None else None for path in (output, figure)))
    pages.check(analytic=not shards)
    if shards:
        if source is not None or train:
            raise RefusedError("finished shard sets are compared as they are: leave source and --train out")
        folders = [Path(folder) for folder in shards]
        found = compare_shards(folders, workers=workers, command=command, progress=progress)
        pages.write(found, sample_reader(folders))
        return found
    if source is None:
        raise RefusedError("nothing to compare: name a source, or two or more --shards")
    opened = open_source(Path(source))
    if train and not {"train", "val"} <= set(opened.splits):
        raise RefusedError(f"--train needs the splits train and val; {source} has {', '.join(opened.splits)}")
    if train and work_dir is None:
        raise RefusedError("--train needs --work-dir, a folder that keeps shards and runs")
    pictures, rejects = _draw(opened, split, images, seed)
    found = compare_methods(
        pictures,
        methods,
        source=str(source),
        size_px=size,
        geometry=geometry,
        quality=quality,
        scales=tuple(scales),
        workers=workers,
        command=command,
        rejects=rejects,
        progress=progress,
    )
    pages.write(found)  # whatever becomes of the training
    if train and work_dir is not None:
        from alexnet_pipeline.training_api import recipe_of  # noqa: PLC0415 - only --train needs torch
        from alexnet_pipeline.comparison.networks import MatrixOptions  # noqa: PLC0415

        networks = MatrixOptions(recipe_of(preset), steps, seeds, size, geometry, limit, workers)
        found = _trained(found, Path(source), Path(work_dir), networks, reporter, watchers)
        pages.write(found)
    return found


@dataclass(frozen=True, slots=True)
class _Pages:
    """Where the report and the figure go, None for neither."""

    output: Path | None
    figure: Path | None

    def check(self, *, analytic: bool) -> None:
        """Refuse before the work what could not be written after it."""
        if self.figure and not analytic:
            raise RefusedError("a figure shows frequency responses, and finished shards have none; leave --figure out")
        for path in (self.output, self.figure):
            if path is not None and (path.is_dir() or not path.parent.is_dir()):
                what = "is a folder" if path.is_dir() else f"cannot be made: {path.parent} is no folder"
                raise RefusedError(f"{path} {what}; name a file")

    def write(self, found: Comparison, samples: Samples | None = None) -> None:
        """Draw what is wanted."""
        if self.output is not None:
            write_page(found, gallery_of(found, samples), self.output)
        if self.figure is not None:
            write_figure(found, self.figure)


def _draw(opened: Source, split: str | None, images: int, seed: int) -> tuple[list[RawImage], tuple[Reject, ...]]:
    """Some pictures of a split, drawn as `shard --limit` would, and what its listing rejected."""
    wanted = split or ("val" if "val" in opened.splits else next(iter(opened.splits)))
    (listing,) = opened.listings((wanted,))
    plan = plan_shards(listing, MethodOptions(seed=seed, limit_images=images, shard_size_images=images))
    return list(plan.images(0)), listing.rejects


def _trained(
    found: Comparison,
    source: Path,
    work: Path,
    networks: MatrixOptions,
    reporter: Reporter | None,
    watchers: Callable[[str], Watcher] | None,
) -> Comparison:
    from alexnet_pipeline.training_api import SilentWatcher  # noqa: PLC0415 - as above
    from alexnet_pipeline.comparison.networks import train_matrix  # noqa: PLC0415

    training, rejects = train_matrix(
        source,
        [method.name for method in found.methods],
        work,
        networks,
        sharding=reporter or SilentReporter(),
        training=watchers or (lambda name: SilentWatcher()),
    )
    known = {(reject.name, reject.reason): reject for reject in (*found.rejects, *rejects)}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "nvidia-dali-cuda130")}
    found = dataclasses.replace(
        found, training=training, rejects=tuple(known.values()), versions={**found.versions, **versions}
    )
    return dataclasses.replace(found, verdict=verdict_of(found))
