"""A source and methods in, finished data sets out: plan -> jobs -> committed shards -> manifest."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from alexnet_pipeline.errors import PipelineError, RefusedError, RejectedImageError
from alexnet_pipeline.dataset.manifest import FORMAT_VERSION, read_manifest
from alexnet_pipeline.pixels import codec, libraries
from alexnet_pipeline.pixels.convert import check_options, convert_each, needed
from alexnet_pipeline.pixels.geometry import DEFINITIONS
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.records import (
    JournalEntry,
    Manifest,
    MethodOptions,
    RawImage,
    Reject,
    fingerprint,
)
from alexnet_pipeline.shards.journal import DatasetState, free_bytes
from alexnet_pipeline.shards.workers import run_jobs
from alexnet_pipeline.shards.finish import write_manifest
from alexnet_pipeline.shards.plan import Plan, plan_shards, source_stamp
from alexnet_pipeline.shards.write import ShardJob, Target

# Pictures that a dry run converts to estimate time and disk.
PROBE_IMAGES = 32
# Header, label and record of a sample, and padding: what its tar needs beyond the encoded picture.
SAMPLE_OVERHEAD_BYTES = 2816


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run; none of it changes a byte.

    Attributes:
        workers: processes.
        on_error: `fail` stops at the first rejected picture.
        max_rejects_images: stop beyond so many, None for never.
        restart: begin again, removing what was there.
        shard_range: only shards [first, last) of each split; `merge_shards` then completes the set.
    """

    workers: int = dataclasses.field(default_factory=lambda: len(os.sched_getaffinity(0)))
    on_error: Literal["skip", "fail"] = "skip"
    max_rejects_images: int | None = None
    restart: bool = False
    shard_range: tuple[int, int] | None = None


class Reporter(Protocol):
    """Who is told how a run goes."""

    def begin(self, images: int, resumed_images: int) -> None:
        """A run of so many pictures begins, so many more were done before."""

    def progress(self, images: int, rejects: int) -> None:
        """So many pictures are worked on, so many of them rejected."""

    def warn(self, line: str) -> None:
        """Something a person should know."""


class SilentReporter:
    """Tells nobody."""

    def begin(self, images: int, resumed_images: int) -> None:
        """Ignore."""

    def progress(self, images: int, rejects: int) -> None:
        """Ignore."""

    def warn(self, line: str) -> None:
        """Ignore."""


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """One data set after a run.

    Attributes:
        folder: where it lies.
        method: its method.
        split: its split.
        images: samples written.
        shards: committed.
        planned_shards: of the whole set.
        size_bytes: of all tars.
        rejects: inputs that did not become samples.
        complete: whether the manifest is written.
    """

    folder: str
    method: str
    split: str
    images: int
    shards: int
    planned_shards: int
    size_bytes: int
    rejects: tuple[Reject, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would do.

    Attributes:
        layout: of the source.
        splits: pictures and shards per split.
        methods: bytes expected per method.
        seconds: expected with the given workers.
        free_bytes: where the output would go.
    """

    layout: str
    splits: dict[str, tuple[int, int]]
    methods: dict[str, int]
    seconds: float
    free_bytes: int


@dataclass(frozen=True, slots=True)
class _Dataset:
    state: DatasetState
    options: MethodOptions
    record: dict[str, Any]
    plan: Plan


def build_shards(
    source: Path,
    out: Path,
    methods: Sequence[MethodOptions],
    splits: Sequence[str],
    run: RunOptions,
    reporter: Reporter,
) -> list[DatasetSummary]:
    """Shard a source by every method; what is committed already is kept.

    Returns:
        One summary per method and split.

    Raises:
        RefusedError: the source, the options or what is in the output forbid it; nothing was changed.
        PipelineError: something failed on the way; the same command resumes.
    """
    _, datasets = _plan(source, out, methods, splits)
    if run.restart:
        _refuse_mixture(datasets, run)
    with ExitStack() as stack:
        ranges = [_range(dataset, run.shard_range) for dataset in datasets]
        open_ones = [d for d in datasets if run.restart or not d.state.manifest.exists()]
        for dataset in datasets:
            if dataset not in open_ones:
                _check_finished(dataset)
        for dataset, span in zip(datasets, ranges, strict=True):
            if dataset in open_ones:
                _check_begun(dataset, restart=run.restart)
                stack.enter_context(dataset.state.locked(*span))
        for dataset, span in zip(datasets, ranges, strict=True):
            if dataset in open_ones:
                _begin(dataset, restart=run.restart)
                stack.callback(dataset.state.clear_parts, *span)
        _write_missing(open_ones, run, reporter)
        return [_finish(dataset, run) for dataset in datasets]


def merge_shards(out: Path) -> list[DatasetSummary]:
    """Complete every data set below a folder whose shards were written in ranges.

    Raises:
        RefusedError: nothing was begun there, or shards are missing; the message names them.
    """
    folders = sorted(path.parent.parent for path in out.glob("**/.state/plan.json"))
    if not folders:
        raise RefusedError(f"{out}: nothing was begun here; run `shard` first")
    summaries = []
    for folder in folders:
        state = DatasetState(folder)
        record = state.begun() or {}
        if state.manifest.exists():
            summaries.append(_summary(folder, read_manifest(state.manifest)))
            continue
        with state.locked(0, record["shards"]):
            summaries.append(_summary(folder, _gather(state, record)))
    return summaries


def estimate(
    source: Path, out: Path, methods: Sequence[MethodOptions], splits: Sequence[str], run: RunOptions
) -> Estimate:
    """Plan a run and convert a few pictures to say how long it takes and how much it writes."""
    layout, datasets = _plan(source, out, methods, splits)
    probe = _evenly(datasets[0].plan, PROBE_IMAGES)
    spent, sizes = _probe(probe, methods)
    images = sum({d.plan.listing.split: len(d.plan.order) for d in datasets}.values())
    return Estimate(
        layout=layout,
        splits={d.plan.listing.split: (len(d.plan.order), d.plan.shards) for d in datasets},
        methods={m: round(size * images) for m, size in sizes.items()},
        seconds=spent * images / run.workers,
        free_bytes=free_bytes(out),
    )


def _plan(
    source: Path, out: Path, methods: Sequence[MethodOptions], splits: Sequence[str]
) -> tuple[str, list[_Dataset]]:
    for options in methods:
        check_options(options)
    first = methods[0]
    opened = open_source(source, first.label_order)
    datasets = []
    for listing in opened.listings(splits):
        plan = plan_shards(listing, first)
        digest = plan.digest()
        for options in methods:
            state = DatasetState(out / find_method(options.method).directory / listing.split)
            datasets.append(_Dataset(state, options, plan_record(plan, options, digest), plan))
    return opened.layout, datasets


def plan_record(plan: Plan, options: MethodOptions, digest: str) -> dict[str, Any]:
    """What is recorded when a data set is begun, and compared when it is resumed."""
    versions = {"numpy": np.__version__, **codec.versions()}
    if find_method(options.method).library == "pillow":
        versions |= libraries.versions()
    record = {
        "format_version": FORMAT_VERSION,
        "split": plan.listing.split,
        "options": dataclasses.asdict(options),
        "definition": find_method(options.method).definition,
        "geometry_definition": DEFINITIONS[options.geometry],
        "versions": versions,
        "classes": list(plan.listing.classes),
        "images": len(plan.order),
        "shards": plan.shards,
        "input": digest,
        "source_rejects": [dataclasses.asdict(reject) for reject in plan.listing.rejects],
    }
    return {**record, "fingerprint": fingerprint(record)}


def _range(dataset: _Dataset, wanted: tuple[int, int] | None) -> tuple[int, int]:
    first, last = wanted or (0, dataset.plan.shards)
    return first, min(last, dataset.plan.shards)


def _refuse_mixture(datasets: list[_Dataset], run: RunOptions) -> None:
    if run.shard_range:
        raise RefusedError("--restart with --shard-range would remove other ranges' shards; restart without a range")
    for dataset in datasets:
        tars = list(dataset.state.folder.glob("*.tar"))
        if tars and dataset.state.begun() is None and not dataset.state.manifest.exists():
            raise RefusedError(f"{tars[0]} was not written by this command; --restart removes only what was")


def _check_begun(dataset: _Dataset, *, restart: bool) -> None:
    """Refuse to go on with what another configuration or input began."""
    begun = dataset.state.begun()
    if restart:
        return
    if begun is None:
        tars = sorted(dataset.state.folder.glob("*.tar"))
        if tars:
            raise RefusedError(f"{tars[0]} is there, but nothing says how it was made; choose another folder")
        return
    if begun != dataset.record:
        raise RefusedError(
            f"{dataset.state.folder} was begun differently: {_difference(begun, dataset.record)}; repeat those "
            "settings to resume, choose another folder, or begin again with --restart"
        )


def _check_finished(dataset: _Dataset) -> None:
    manifest = read_manifest(dataset.state.manifest)
    begun = dataset.state.begun()
    if begun is None or begun["fingerprint"] != manifest.fingerprint:
        raise RefusedError(f"{dataset.state.folder} is finished, but its .state is not its own; use --restart")
    _check_begun(dataset, restart=False)
    stale = [i for i, entry in dataset.state.journal().items() if _is_stale(dataset, i, entry)]
    if stale:
        raise RefusedError(
            f"{dataset.state.folder} is finished, and {len(stale)} of its shards' inputs were touched since "
            f"(first: shard {stale[0]}); use --restart, or another folder"
        )


def _difference(begun: dict[str, Any], now: dict[str, Any]) -> str:
    """The fields that differ, as `field: then -> now`."""
    then, new = ({**record, **record.get("options", {})} for record in (begun, now))
    skipped = {"options", "fingerprint", "classes", "source_rejects", "input"}
    fields = sorted(f for f in {*then, *new} - skipped if then.get(f) != new.get(f))
    parts = [f"{field}: {then.get(field)!r} -> {new.get(field)!r}" for field in fields]
    return ", ".join(parts) or "the source lists other pictures, classes or damage"


def _begin(dataset: _Dataset, *, restart: bool) -> None:
    if restart:
        dataset.state.clear()
    if dataset.state.begun() is None:
        dataset.state.begin(dataset.record)


def _write_missing(datasets: list[_Dataset], run: RunOptions, reporter: Reporter) -> None:
    jobs, missing = _jobs(datasets, run)
    rejects = _Rejects(run)
    planned = sum(len(job.images) for job in jobs)
    reporter.begin(planned, sum({d.record["split"]: d.record["images"] for d in datasets}.values()) - planned)
    if not jobs:
        return
    with ExitStack() as stack:
        journals = {
            d.state.folder: stack.enter_context(d.state.journal_writer(*_range(d, run.shard_range)))
            for d in datasets
            if missing[d.state.folder]
        }

        def done(job: ShardJob, entries: list[JournalEntry]) -> None:
            for target, entry in zip(job.targets, entries, strict=True):
                journals[target.folder].append(entry)
            rejects.count(entries[0].shard.rejects)

        run_jobs(jobs, run.workers, done, lambda n: reporter.progress(n, rejects.total), reporter.warn)


def _jobs(datasets: list[_Dataset], run: RunOptions) -> tuple[list[ShardJob], dict[Path, set[int]]]:
    """A job per shard that some method lacks, and what each data set lacks."""
    missing: dict[Path, set[int]] = {}
    by_split: dict[str, list[_Dataset]] = {}
    for dataset in datasets:
        by_split.setdefault(dataset.record["split"], []).append(dataset)
        journal = dataset.state.journal()
        missing[dataset.state.folder] = {
            index
            for index in range(*_range(dataset, run.shard_range))
            if index not in journal
            or _is_stale(dataset, index, journal[index])
            or not dataset.state.sums_path(index).exists()
        }
    jobs = []
    for split, group in by_split.items():
        for index in range(group[0].plan.shards):
            lacking = tuple(d for d in group if index in missing[d.state.folder])
            if lacking:
                targets = tuple(Target(d.state.folder, d.options) for d in lacking)
                plan = group[0].plan
                jobs.append(ShardJob(split, index, plan.images(index), targets, len(plan.listing.classes)))
    return jobs, missing


def _is_stale(dataset: _Dataset, index: int, entry: JournalEntry) -> bool:
    return entry.source_stamp != source_stamp(dataset.plan.images(index))


class _Rejects:
    """Counts rejected pictures and says when they are too many."""

    def __init__(self, run: RunOptions) -> None:
        self._run = run
        self.total = 0

    def count(self, rejects: tuple[Reject, ...]) -> None:
        self.total += len(rejects)
        limit = self._run.max_rejects_images
        if rejects and self._run.on_error == "fail":
            first = rejects[0]
            raise PipelineError(f"{first.name}: {first.reason}, {first.detail}; --on-error skip leaves it out")
        if limit is not None and self.total > limit:
            raise PipelineError(
                f"{self.total} pictures rejected, more than --max-rejects {limit}; the last: {rejects[-1].name} "
                f"({rejects[-1].reason}, {rejects[-1].detail})"
            )


def _finish(dataset: _Dataset, run: RunOptions) -> DatasetSummary:
    state = dataset.state
    if state.manifest.exists():
        return _summary(state.folder, read_manifest(state.manifest))
    journal = state.journal()
    if run.shard_range is None:
        return _summary(state.folder, _gather(state, dataset.record))
    shards = [journal[index].shard for index in range(*_range(dataset, run.shard_range)) if index in journal]
    return DatasetSummary(
        folder=str(state.folder),
        method=dataset.options.method,
        split=dataset.record["split"],
        images=sum(shard.samples_images for shard in shards),
        shards=len(shards),
        planned_shards=dataset.plan.shards,
        size_bytes=sum(shard.tar.size_bytes for shard in shards if shard.tar),
        rejects=tuple(reject for shard in shards for reject in shard.rejects),
        complete=False,
    )


def _gather(state: DatasetState, record: dict[str, Any]) -> Manifest:
    journal = state.journal()
    missing = [index for index in range(record["shards"]) if index not in journal]
    if missing:
        raise RefusedError(
            f"{state.folder}: {len(missing)} of {record['shards']} shards are missing, the first is {missing[0]}; "
            "run `shard` for their range"
        )
    return write_manifest(state, record, [journal[index].shard for index in range(record["shards"])])


def _summary(folder: Path, manifest: Manifest) -> DatasetSummary:
    tars = [shard.tar for shard in manifest.shards if shard.tar]
    return DatasetSummary(
        folder=str(folder),
        method=manifest.options.method,
        split=manifest.split,
        images=manifest.total_images,
        shards=len(tars),
        planned_shards=len(manifest.shards),
        size_bytes=sum(tar.size_bytes for tar in tars),
        rejects=manifest.rejects(),
        complete=True,
    )


def _evenly(plan: Plan, count: int) -> list[RawImage]:
    positions = plan.order[:: max(1, len(plan.order) // count)][:count]
    return [plan.listing.image(int(position)) for position in positions]


def _probe(images: list[RawImage], methods: Sequence[MethodOptions]) -> tuple[float, dict[str, float]]:
    """CPU seconds a picture, and bytes a sample per method; the first picture only warms up."""
    sizes = dict.fromkeys((options.method for options in methods), 0)
    started, counted = 0.0, 0
    for position, image in enumerate(images):
        if position == 1:
            started = time.process_time()
        try:
            with Path(image.path).open("rb") as handle:
                handle.seek(image.offset)
                decoded = codec.decode(
                    handle.read(image.size_bytes),
                    max_pixels=methods[0].max_pixels,
                    needed=partial(needed, wanted=methods),
                )
            for options, (pixels, _) in zip(methods, convert_each(decoded, methods), strict=True):
                encoded = codec.encode(
                    pixels,
                    encoding=options.encoding,
                    quality=options.quality,
                    subsampling=options.subsampling,
                )
                sizes[options.method] += len(encoded) + SAMPLE_OVERHEAD_BYTES
        except (RejectedImageError, OSError):
            continue
        counted += 1
    spent = (time.process_time() - started) / max(1, len(images) - 1)
    return spent, {method: size / max(1, counted) for method, size in sizes.items()}
