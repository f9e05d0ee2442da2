"""Build data sets from a source: plan them, run the jobs that write shards, and finish them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from alexnet_pipeline.dataset.manifest import MANIFEST, Manifest, read_manifest
from alexnet_pipeline.errors import ChangedInputError, InterruptedRunError, PipelineError
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.pixels import compiled
from alexnet_pipeline.progress import Advance, Message, Progress, Report, Stage, reporting, warn_to
from alexnet_pipeline.raw.describe import contents_lines
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.records import Reject, SetOptions
from alexnet_pipeline.shards import stored
from alexnet_pipeline.shards.finish import finish
from alexnet_pipeline.shards.journal import JournalEntry
from alexnet_pipeline.shards.kept_sums import SumsJoiner
from alexnet_pipeline.shards.names import shard_prefix
from alexnet_pipeline.shards.options import RunOptions, Selection
from alexnet_pipeline.shards.plan import Plan, ShardJob, Target
from alexnet_pipeline.shards.ranges import check_range, range_of
from alexnet_pipeline.shards.recopied import keep_recopied
from alexnet_pipeline.shards.reopen import reopen
from alexnet_pipeline.shards.resume import check_inputs, check_restart, resumed
from alexnet_pipeline.shards.sets import PlannedSet, plan_sets, plan_source, select
from alexnet_pipeline.shards.stored import PlannedSource
from alexnet_pipeline.shards.summary import SetSummaries, SetSummary, summary_of_part, summary_of_set
from alexnet_pipeline.shards.workers import run_jobs, start_server
from alexnet_pipeline.storage.place import Location, StrPath, locate, writable
from alexnet_pipeline.storage.reading import names_in
from alexnet_pipeline.storage.writing import delete
from alexnet_pipeline.text import counted


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
    selection, reading = make(Selection, options), make(SourceOptions, options)
    selected, run = select(selection, options), make(RunOptions, options)
    here, there = locate(source), writable(locate(out))
    plan_again = partial(plan_source, here, there, selected[0], selection.splits, reading)
    start_server()
    with reporting(progress) as report:
        report(Stage("listing the source"))
        source_plan = plan_again(rescan=run.rescan or run.restart)
        sets = plan_sets(source_plan, there, selected)
        if source_plan.listed and not _as_listed(source_plan, sets, run):
            source_plan = plan_again(rescan=True)
            sets = plan_sets(source_plan, there, selected)
        for line in contents_lines(source_plan.contents):
            report(Message(line))
        if source_plan.listed:
            report(Message(f"as listed on {source_plan.listed}; `rescan=True` lists the source again"))
        listing = stored.place_of(there, here, reading, selection.splits, selected[0])
        keep_listing = partial(stored.save, listing, source_plan)
        try:
            return _build(sets, run, (lambda: None) if source_plan.listed else keep_listing, report)
        except ChangedInputError:
            delete(listing)
            raise


def _as_listed(source_plan: PlannedSource, sets: list[PlannedSet], run: RunOptions) -> bool:
    """Whether the images that a run may read are as an earlier run listed them."""
    read = {each.record.split for each in sets if run.retry_rejects or not each.state.finished}
    plans = [plan for plan in source_plan.plans if plan.listing.split in read]
    return all(stored.images_unchanged(plan, range_of(run, plan.shards)) for plan in plans)


def _build(sets: list[PlannedSet], run: RunOptions, keep_listing: Callable[[], None], report: Report) -> SetSummaries:
    """Write the missing shards of the planned sets, and finish the sets."""
    check_range(run, {planned.record.split: planned.plan.shards for planned in sets})
    if run.restart:
        check_restart(sets, run)
    else:
        sets = [resumed(planned, run) for planned in sets]
        for planned, modified in zip(sets, keep_recopied(sets, run, report), strict=True):
            check_inputs(planned, modified, run)
    unfinished = [
        planned
        for planned in sets
        if (planned.manifest is None or _has_rejects(planned.manifest, run)) and planned.writes_any(run)
    ]
    with ExitStack() as stack:
        for planned in unfinished:
            stack.enter_context(planned.state.locked(*planned.range(run)))
        # Another run may have finished a set while this one waited for the source's listing.
        unfinished = [each for each in unfinished if run.restart or each.manifest or not each.state.finished]
        for planned in unfinished:
            if run.restart:
                planned.state.clear()
            elif planned.manifest:
                reopen(planned, report)
            begun = planned.state.begun()
            if begun != planned.record:
                planned.state.begin(planned.record, again=begun is not None)
            stack.callback(planned.state.clear_parts, *planned.range(run))
        if unfinished:
            keep_listing()
        if not run.plan_only:
            _write_missing(unfinished, run, report)
        return SetSummaries(_finished(planned, run) for planned in sets)


def _write_missing(sets: list[PlannedSet], run: RunOptions, report: Report) -> None:
    missing: dict[Location, set[int]] = {}
    joiners: dict[Location, SumsJoiner] = {}
    for planned in sets:
        lacking, single = _missing(planned, run)
        missing[planned.state.folder] = lacking
        joiners[planned.state.folder] = SumsJoiner(planned.state.sums, planned.range(run), lacking, single)
    jobs = _Jobs(sets, missing)
    if not jobs:
        return
    ranges = {planned.record.split: (planned.plan, planned.range(run)) for planned in sets}
    total_shards = sum(last - first for _, (first, last) in ranges.values())
    total = sum(plan.images_in(*span) for plan, span in ranges.values())
    before = total - jobs.images
    rejects = _RejectCount(run)
    finished = total_shards - len(jobs)
    if not compiled.is_kept():
        report(Stage("compiling kernels (first run only)"))

    def done(job: ShardJob, entries: list[JournalEntry]) -> None:
        nonlocal finished
        finished += 1
        rejects.count(entries[0].shard.rejects)
        for target, entry in zip(job.targets, entries, strict=True):
            joiners[target.folder].add(job.index, joined=not entry.shard.rejects)

    try:
        _engine(run)(
            jobs,
            run.workers,
            started=lambda: report(Stage("shard", total, before)),
            done=done,
            progress=lambda images: report(Advance(before + images, f"{rejects.total:,} rejected")),
            warn=warn_to(report),
        )
    except (KeyboardInterrupt, InterruptedRunError) as interruption:
        interruption.add_note(f"{finished:,} of {counted(total_shards, 'shard')} finished")
        raise


def _engine(run: RunOptions) -> Callable[..., None]:
    """The function that runs jobs: on this machine, or on a cluster."""
    if run.engine == "local":
        return run_jobs
    from alexnet_pipeline.shards import ray  # noqa: PLC0415 - an extra

    return ray.run_jobs


class _Jobs(Sequence[ShardJob]):
    """One job for each shard that at least one method lacks; the list of its images is made when it is asked for."""

    def __init__(self, sets: list[PlannedSet], missing: Mapping[Location, set[int]]) -> None:
        self._jobs: list[tuple[Plan, str, int, tuple[Target, ...]]] = []
        self.images = 0
        by_split: dict[str, list[PlannedSet]] = {}
        for planned in sets:
            by_split.setdefault(planned.record.split, []).append(planned)
        for split, group in by_split.items():
            plan = group[0].plan
            for index in range(plan.shards):
                lacking = [planned for planned in group if index in missing[planned.state.folder]]
                if lacking:
                    targets = tuple(
                        Target(planned.state.folder, planned.record.options, planned.record.format_version)
                        for planned in lacking
                    )
                    self._jobs.append((plan, split, index, targets))
                    self.images += plan.images_in(index, index + 1)

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, slot: int) -> ShardJob:  # type: ignore[override] # slices are not needed
        plan, split, index, targets = self._jobs[slot]
        return ShardJob(split, index, plan.images(index), targets, len(plan.listing.classes), plan.stamps[index])


def _has_rejects(manifest: Manifest, run: RunOptions) -> bool:
    """Whether rejects of a finished set are to be tried again."""
    return run.retry_rejects and any(shard.rejects for shard in manifest.shards)


def _missing(planned: PlannedSet, run: RunOptions) -> tuple[set[int], set[int]]:
    """The shards to write: not committed, without statistics, or from inputs that were modified since.

    With `retry_rejects` also those that lack a rejected image. Records of shards to be written anew are removed.

    Returns:
        These shards; and the others whose statistics may be joined with those of neighbours.
    """
    state, record, stamps = planned.state, planned.record, planned.plan.stamps
    committed, with_sums = state.journal(), state.sums.shards()
    wanted = range(*planned.range(run))
    missing = {
        index
        for index in wanted
        if index not in committed
        or committed[index].source_stamp != stamps[index]
        or index not in with_sums
        or (run.retry_rejects and committed[index].shard.rejects)
    }
    # Neighbours whose statistics were joined with those of a shard to be written anew are written anew, too.
    missing |= state.sums.forget(missing & with_sums).intersection(wanted)
    prefix = shard_prefix(record.options, record.split, record.format_version)
    for index in missing & committed.keys():
        state.uncommit(index, prefix)
    alone = {index for members in state.sums.files().values() if len(members) == 1 for index in members}
    return missing, {i for i in alone & committed.keys() - missing if not committed[i].shard.rejects}


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


def _check_there(folder: Location, manifest: Manifest) -> None:
    """Make sure that a finished set, of which nothing is left to write, still has its tars; `verify` checks the rest.

    Raises:
        PipelineError: one is gone.
    """
    there = set(names_in(folder)[1])
    gone = [shard.tar.name for shard in manifest.shards if shard.tar and shard.tar.name not in there]
    if gone:
        more = f" and {counted(len(gone) - 1, 'more tar')}" if len(gone) > 1 else ""
        raise PipelineError(
            f"{folder / gone[0]}{more} of a finished data set is missing; remove {folder / MANIFEST} and run the same "
            "command again to write what is missing"
        )


def _finished(planned: PlannedSet, run: RunOptions) -> SetSummary:
    state, record = planned.state, planned.record
    if state.finished:
        manifest = planned.manifest or read_manifest(state.folder)
        _check_there(state.folder, manifest)
        return summary_of_set(state.folder, manifest)
    if run.writes_all:
        return summary_of_set(state.folder, finish(state, record))
    journal = state.journal()
    shards = [journal[index].shard for index in range(*planned.range(run)) if index in journal]
    return summary_of_part(state.folder, record, shards)
