"""Rebuild what can be rebuilt of data sets whose tars are sound: indexes, mean image, manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from alexnet_pipeline.dataset.index import TIMM, WIDS, dali_index, timm_index, timm_split, wids_index
from alexnet_pipeline.dataset.manifest import (
    MANIFEST,
    MEAN,
    FileRecord,
    Manifest,
    ShardRecord,
    is_finished,
    read_manifest,
    write_manifest,
)
from alexnet_pipeline.dataset.open import open_manifest, open_shards
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.progress import Progress, Report, reporting
from alexnet_pipeline.shards.card import describe, finished_splits
from alexnet_pipeline.shards.check import Problem, check_file, check_splits_index
from alexnet_pipeline.shards.find import find_sets
from alexnet_pipeline.shards.finish import finish, manifest_of
from alexnet_pipeline.shards.journal import SetPlan, SetState
from alexnet_pipeline.shards.names import shard_prefix
from alexnet_pipeline.shards.recompute import sums_of_shards
from alexnet_pipeline.shards.scan import scan_samples
from alexnet_pipeline.shards.statistics import Sums
from alexnet_pipeline.storage.place import Location, StrPath, locate
from alexnet_pipeline.storage.reading import exists, names_in, read_whole
from alexnet_pipeline.storage.writing import write_whole
from alexnet_pipeline.text import counted


@dataclass(frozen=True, slots=True)
class Reindexing:
    """The result of `reindex`.

    Attributes:
        folders: the data sets that were looked at.
        rebuilt: paths of the files that were written.
        problems: what could not be rebuilt.
    """

    folders: tuple[str, ...]
    rebuilt: tuple[str, ...]
    problems: tuple[Problem, ...]

    def __repr__(self) -> str:
        return f"<{counted(len(self.rebuilt), 'file')} rebuilt, {counted(len(self.problems), 'problem')}>"


def reindex(path: StrPath, *, progress: Progress = True) -> Reindexing:
    """Rebuild missing and damaged files of every data set at or below a path, as far as its tars tell what was in them.

    Indexes come from the tars and the manifest. A manifest comes from the plan and the journal in `.state`. Statistics
    that are lost are computed from the encoded images. Tars are never changed.

    Args:
        path: folder of a data set, or of several.
        progress: whether to show a bar on a terminal or in a notebook; or a function to call with each event.

    Raises:
        RefusedError: there is no data set, or another run writes to one.
        PipelineError: a file cannot be written.
    """
    found = find_sets(locate(path))
    rebuilt: list[Location] = []
    problems: list[Problem] = []
    with reporting(progress) as report:
        for folder in sorted(found.sets, key=str):
            state = SetState(folder)
            with state.locked(0, 0):
                problems += _reindex_set(state, rebuilt, report)
        for parent in sorted({folder.parent for folder in found.sets if is_finished(folder)}, key=str):
            splits = finished_splits(parent)
            if splits and (any(check_splits_index(parent)) or not exists(parent / TIMM)):
                describe(parent, splits)
                rebuilt.append(parent / TIMM)
    return Reindexing(tuple(map(str, sorted(found.sets, key=str))), tuple(map(str, rebuilt)), tuple(problems))


def _reindex_set(state: SetState, rebuilt: list[Location], report: Report) -> Iterator[Problem]:
    """Rebuild what one set lacks."""
    try:
        manifest = read_manifest(state.folder)
    except PipelineError:
        yield from _rebuild_manifest(state, rebuilt, report)
        return
    shards = [shard for shard in manifest.shards if shard.tar]
    problems = [problem for shard in shards for problem in _rebuild_index(state.folder, shard, rebuilt)]
    yield from problems
    if problems:
        return
    name = shard_prefix(manifest.options, manifest.split, manifest.format_version)
    made = {
        WIDS: wids_index(name, manifest.shards),
        TIMM: timm_index({manifest.split: timm_split(name, manifest.shards)}),
    }
    for file in manifest.files:
        if file.name in made and any(check_file(state.folder, file)):
            _write(state.folder / file.name, made[file.name], rebuilt)
    mean = next((file for file in manifest.files if file.name == MEAN), None)
    if mean and any(check_file(state.folder, mean)):
        _rebuild_mean(state.folder, manifest, rebuilt, report)


def _rebuild_index(folder: Location, shard: ShardRecord, rebuilt: list[Location]) -> Iterator[Problem]:
    """Rebuild the index of a sound tar, if it is missing or damaged."""
    assert shard.tar
    assert shard.idx
    damage = list(check_file(folder, shard.tar))
    yield from damage
    if damage or not any(check_file(folder, shard.idx)):
        return
    samples, _ = scan_samples(folder / shard.tar.name)
    index = dali_index(samples)
    if FileRecord.of(shard.idx.name, index) != shard.idx:
        yield Problem(str(folder / shard.tar.name), "does not give the index that the manifest names")
        return
    _write(folder / shard.idx.name, index, rebuilt)


def _rebuild_mean(folder: Location, manifest: Manifest, rebuilt: list[Location], report: Report) -> None:
    """Rebuild the mean image; from JPEGs it is not the same to the last bit, so that the manifest names the new one."""
    shards = open_shards(folder)
    with_tar = [shard.index for shard in manifest.shards if shard.tar]
    total: Sums | None = None
    for _, sums in sums_of_shards(shards, with_tar, report):
        if total is None:
            total = sums
        else:
            total.merge(sums)
    assert total
    data = total.mean_file()
    _write(folder / MEAN, data, rebuilt)
    record = FileRecord.of(MEAN, data)
    if record not in manifest.files:
        files = tuple(record if file.name == MEAN else file for file in manifest.files)
        write_manifest(folder, replace(manifest, files=files))
        rebuilt.append(folder / MANIFEST)


def _rebuild_manifest(state: SetState, rebuilt: list[Location], report: Report) -> Iterator[Problem]:
    """Rebuild a manifest from plan and journal; without them, only the indexes."""
    folder = state.folder
    try:
        plan = state.begun()
    except PipelineError:
        plan = None
    if plan is None:
        yield from _index_alone(folder, rebuilt)
        yield Problem(
            str(folder / MANIFEST),
            "cannot be rebuilt, because .state/plan.json, which says how the images were made, is missing or damaged, "
            "too; copy one of the two from where the set was made",
        )
        return
    journal = state.journal(with_index=False)
    missing = [index for index in range(plan.shards) if index not in journal]
    if missing:
        text = f"cannot be rebuilt: {len(missing)} of {plan.shards} shards are missing, the first is {missing[0]}"
        yield Problem(str(folder / MANIFEST), f"{text}; run the same `shard` command, which writes them")
        return
    shards = tuple(journal[index].shard for index in range(plan.shards))
    problems = [problem for shard in shards if shard.tar for problem in _rebuild_index(folder, shard, rebuilt)]
    yield from problems
    if problems:
        return
    _rebuild_sums(state, plan, shards, report)
    finish(state, plan)
    rebuilt.append(folder / MANIFEST)


def _rebuild_sums(state: SetState, plan: SetPlan, shards: tuple[ShardRecord, ...], report: Report) -> None:
    """Compute the statistics of shards again, which `finish` needs and removes."""
    there = state.sums.shards()
    lacking = [shard for shard in shards if shard.index not in there]
    side = 0 if plan.options.geometry == "shorter" else plan.options.size_px
    for shard in lacking:
        if not shard.tar:
            state.sums.put(shard.index, Sums.zero((side, side, 3), len(plan.classes)))
    with_tar = [shard.index for shard in lacking if shard.tar]
    if not with_tar:
        return
    opened = open_manifest(state.folder, manifest_of(plan, shards))
    for index, sums in sums_of_shards(opened, with_tar, report):
        state.sums.put(index, sums)


def _index_alone(folder: Location, rebuilt: list[Location]) -> Iterator[Problem]:
    """Rebuild the indexes of tars of which nothing else is known."""
    for name in names_in(folder)[1]:
        if not name.endswith(".tar"):
            continue
        tar, path = folder / name, folder / f"{name.removesuffix('.tar')}.idx"
        try:
            samples, damage = scan_samples(tar)
            if damage:
                yield Problem(str(tar), damage)
            elif not exists(path) or read_whole(path) != dali_index(samples):
                _write(path, dali_index(samples), rebuilt)
        except (OSError, UnicodeEncodeError) as error:
            yield Problem(str(tar), f"cannot be indexed: {error}")


def _write(path: Location, data: bytes, rebuilt: list[Location]) -> None:
    write_whole(path, data)
    rebuilt.append(path)
