"""Build data sets from a source: plan them, run the jobs that write shards, and finish them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from alexnet_pipeline.dataset.manifest import Manifest, ShardRecord, read_manifest
from alexnet_pipeline.errors import InterruptedRunError, PipelineError, RefusedError
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.pixels import compiled
from alexnet_pipeline.progress import Advance, Message, Progress, Report, Stage, reporting, warn_to
from alexnet_pipeline.raw.describe import contents_lines
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.records import Reject, Remark, SetOptions
from alexnet_pipeline.shards.finish import finish
from alexnet_pipeline.shards.journal import JournalEntry, SetPlan, find_states
from alexnet_pipeline.shards.names import shard_prefix
from alexnet_pipeline.shards.options import RunOptions, Selection
from alexnet_pipeline.shards.plan import Plan, ShardJob, Target
from alexnet_pipeline.shards.reopen import reopen
from alexnet_pipeline.shards.resume import check_restart, resumed
from alexnet_pipeline.shards.sets import PlannedSet, plan_sets, select
from alexnet_pipeline.shards.workers import core_count, run_jobs, start_server
from alexnet_pipeline.storage.place import Location, StrPath, locate, writable
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


@takes_options(Selection, SourceOptions, SetOptions, RunOptions)
def shard(source: StrPath, out: StrPath, *, progress: Progress = True, **options: object) -> SetSummaries:
    """Convert raw images to shards, one data set per method and split; resume a run that was stopped.

    This starts worker processes, so a script must call it under `if __name__ == "__main__":`.

    Args:
        source: a folder, tar or zip in one of the layouts that `alexnet-pipeline layouts` lists; a path or a URL.
        out: path or URL of the output folder, for `METHOD/SPLIT/NAME-METHOD-SPLIT-000000.tar` and so on.
        progress: whether to show a bar on a terminal or in a notebook; or a function to call with each event.
        **options: see below.

    Returns:
        One summary per data set.

    Raises:
        RefusedError: the request cannot be carried out; nothing was changed.
        PipelineError: something failed; the same call resumes.
    """
    selection = make(Selection, options)
    selected, run = select(selection, options), make(RunOptions, options)
    start_server()
    with reporting(progress) as report:
        report(Stage("listing the source"))
        reading = make(SourceOptions, options)
        contents, sets = plan_sets(locate(source), writable(locate(out)), selected, selection.splits, reading)
        for line in contents_lines(contents):
            report(Message(line))
        return _build(sets, run, report)


def merge(out: StrPath) -> SetSummaries:
    """Complete every data set below a folder whose ranges of shards were written by separate jobs.

    Raises:
        RefusedError: no run was started there, or shards are missing; the message names the first.
    """
    states = find_states(locate(out))
    if not states:
        raise RefusedError(f"{out}: no run was started here; run `shard` first")
    summaries = []
    for state in states:
        plan = state.begun()
        assert plan is not None
        if state.finished:
            summaries.append(_complete(state.folder, read_manifest(state.folder)))
            continue
        with state.locked(0, plan.shards):
            summaries.append(_complete(state.folder, finish(state, plan)))
    return SetSummaries(summaries)


def _build(sets: list[PlannedSet], run: RunOptions, report: Report) -> SetSummaries:
    """Write the missing shards of the planned sets, and finish the sets."""
    if run.restart:
        check_restart(sets, run.shard_range)
    else:
        sets = [resumed(planned, run) for planned in sets]
    spans = {planned.state.folder: planned.range(run.shard_range) for planned in sets}
    unfinished = [
        planned for planned in sets if run.restart or not planned.state.finished or _has_rejects(planned, run)
    ]
    with ExitStack() as stack:
        for planned in unfinished:
            stack.enter_context(planned.state.locked(*spans[planned.state.folder]))
        for planned in unfinished:
            if run.restart:
                planned.state.clear()
            elif planned.state.finished:
                reopen(planned, report)
            begun = planned.state.begun()
            if begun != planned.record:
                planned.state.begin(planned.record, again=begun is not None)
            stack.callback(planned.state.clear_parts, *spans[planned.state.folder])
        _write_missing(unfinished, run, report)
        return SetSummaries(_finished(planned, run) for planned in sets)


def _write_missing(sets: list[PlannedSet], run: RunOptions, report: Report) -> None:
    jobs = _Jobs(sets, run)
    if not jobs:
        return
    total = sum({planned.record.split: planned.record.images for planned in sets}.values())
    before = total - jobs.images
    rejects = _RejectCount(run)
    finished = 0
    if not compiled.is_kept():
        report(Stage("compiling kernels (first run only)"))

    def done(job: ShardJob, entries: list[JournalEntry]) -> None:
        nonlocal finished
        finished += 1
        rejects.count(entries[0].shard.rejects)

    try:
        run_jobs(
            jobs,
            run.workers or core_count(),
            started=lambda: report(Stage("shard", total, before)),
            done=done,
            progress=lambda images: report(Advance(before + images, f"{rejects.total:,} rejected")),
            warn=warn_to(report),
        )
    except (KeyboardInterrupt, InterruptedRunError) as interruption:
        interruption.add_note(f"{finished:,} of {len(jobs):,} shards finished")
        raise


class _Jobs(Sequence[ShardJob]):
    """One job for each shard that at least one method lacks; the list of its images is made when it is asked for."""

    def __init__(self, sets: list[PlannedSet], run: RunOptions) -> None:
        self._jobs: list[tuple[Plan, str, int, tuple[Target, ...]]] = []
        self.images = 0
        by_split: dict[str, list[PlannedSet]] = {}
        for planned in sets:
            by_split.setdefault(planned.record.split, []).append(planned)
        for split, group in by_split.items():
            missing = [(planned, _missing(planned, run)) for planned in group]
            plan = group[0].plan
            for index in range(plan.shards):
                lacking = [planned for planned, indices in missing if index in indices]
                if lacking:
                    targets = tuple(
                        Target(planned.state.folder, planned.record.options, planned.record.format_version)
                        for planned in lacking
                    )
                    self._jobs.append((plan, split, index, targets))
                    self.images += len(plan.positions(index))

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, slot: int) -> ShardJob:  # type: ignore[override] # slices are not needed
        plan, split, index, targets = self._jobs[slot]
        return ShardJob(split, index, plan.images(index), targets, len(plan.listing.classes))


def _has_rejects(planned: PlannedSet, run: RunOptions) -> bool:
    """Whether rejects of a finished set are to be tried again."""
    return run.retry_rejects and any(shard.rejects for shard in read_manifest(planned.state.folder).shards)


def _missing(planned: PlannedSet, run: RunOptions) -> set[int]:
    """The shards to write: not committed, without statistics, or from inputs that were modified since.

    With `retry_rejects` also those that lack a rejected image. Records of shards to be written anew are removed.
    """
    state, record = planned.state, planned.record
    committed, with_sums = state.journal(), state.with_sums()
    missing = {
        index
        for index in range(*planned.range(run.shard_range))
        if index not in committed
        or committed[index].source_stamp != planned.plan.stamp(index)
        or index not in with_sums
        or (run.retry_rejects and committed[index].shard.rejects)
    }
    prefix = shard_prefix(record.options, record.split, record.format_version)
    for index in missing & committed.keys():
        state.uncommit(index, prefix)
    return missing


class _RejectCount:
    """Counts rejected images and raises when there are too many."""

    def __init__(self, run: RunOptions) -> None:
        self._run = run
        self.total = 0

    def count(self, rejects: Sequence[Reject]) -> None:
        self.total += len(rejects)
        limit = self._run.max_rejects
        if rejects and self._run.on_error == "fail":
            first = rejects[0]
            raise PipelineError(f"{first.name}: {first.reason}, {first.detail}; choose `on_error='skip'` to go on")
        if limit is not None and self.total > limit:
            last = rejects[-1]
            raise PipelineError(
                f"{self.total} images rejected, more than `max_rejects={limit}`; the last: {last.name} ({last.reason}, "
                f"{last.detail})"
            )


def _finished(planned: PlannedSet, run: RunOptions) -> SetSummary:
    state, record = planned.state, planned.record
    if state.finished or run.shard_range is None:
        manifest = read_manifest(state.folder) if state.finished else finish(state, record)
        return _complete(state.folder, manifest)
    journal = state.journal()
    shards = [journal[index].shard for index in range(*planned.range(run.shard_range)) if index in journal]
    rejects = tuple(reject for shard in shards for reject in shard.rejects)
    return _summary(state.folder, record, shards, record.shards, rejects, {}, complete=False)


def _complete(folder: Location, manifest: Manifest) -> SetSummary:
    with_tar = [shard for shard in manifest.shards if shard.tar]
    totals = dict(zip(manifest.classes, manifest.class_totals_images, strict=True))
    return _summary(folder, manifest, with_tar, len(manifest.shards), manifest.rejects(), totals, complete=True)


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
