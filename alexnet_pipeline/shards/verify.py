"""Verify finished data sets: every file against the manifest, and every tar against its index."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from alexnet_pipeline.cores import core_count
from alexnet_pipeline.dataset.index import dali_index
from alexnet_pipeline.dataset.manifest import MANIFEST, Manifest, ShardRecord, read_manifest
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.progress import Advance, Progress, Report, Stage, reporting
from alexnet_pipeline.records import EXTENSIONS
from alexnet_pipeline.shards.check import REINDEX, Problem, check_file, check_folder, check_splits_index
from alexnet_pipeline.shards.check_samples import Tally, check_samples, check_totals
from alexnet_pipeline.shards.find import find_sets
from alexnet_pipeline.shards.options import VerifyOptions
from alexnet_pipeline.shards.scan import scan_samples
from alexnet_pipeline.storage.place import Location, StrPath, locate
from alexnet_pipeline.storage.reading import read_whole
from alexnet_pipeline.text import counted, html_table

PART_IMAGES = 500  # samples that a thread checks at a time


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`.

    Attributes:
        folders: the data sets that were checked.
        shards: number of their tars.
        images: number of samples in these tars.
        size_bytes: size of these tars.
        problems: the problems found; empty if all data sets are sound.
    """

    folders: tuple[str, ...]
    shards: int
    images: int
    size_bytes: int
    problems: tuple[Problem, ...]

    def __repr__(self) -> str:
        verdict = counted(len(self.problems), "problem") if self.problems else "sound"
        counts = (len(self.folders), "data set"), (self.shards, "shard"), (self.images, "image")
        return f"<{verdict}: {', '.join(counted(*count) for count in counts)}>"

    def _repr_html_(self) -> str:
        rows = [(each.path, each.text) for each in self.problems]
        return html_table(("file", "problem"), rows or [(", ".join(self.folders), "none: sound")])


@takes_options(VerifyOptions)
def verify(path: StrPath, *, progress: Progress = True, **options: object) -> Verification:
    """Check every data set at or below a path against its manifest.

    Args:
        path: folder of a data set, or of several, on this machine or in an object store.
        progress: whether to show a bar on a terminal or in a notebook; or a function to call with each event.
        **options: see below.

    Raises:
        RefusedError: there is no data set.
    """
    chosen = make(VerifyOptions, options)
    top = locate(path)
    found = find_sets(top)
    folders, problems = sorted(found.sets, key=str), list(found.problems)
    manifests = _read_manifests(folders, problems)
    for folder, manifest in manifests.items():
        problems += check_folder(folder, manifest)
    for parent in sorted({folder.parent for folder in folders if folder != top}, key=str):
        if manifests.keys() >= {folder for folder in folders if folder.parent == parent}:
            problems += check_splits_index(parent)
    shards = [shard for manifest in manifests.values() for shard in manifest.shards if shard.tar]
    with reporting(progress) as report, ThreadPoolExecutor(chosen.workers or core_count()) as pool:
        run = functools.partial(_run, pool, report, problems)
        files = [(folder, each, shard) for folder, each in manifests.items() for shard in each.shards]
        for more in run(Stage("verify", len(files), unit="shards"), lambda task: list(_check_shard(*task)), files):
            problems += more
        opened = [each for each in (_open(folder, problems) for folder in manifests) if each]
        tallies = [Tally.of(each, deep=chosen.deep) for each in opened]
        parts = [(number, part) for number, each in enumerate(opened) for part in _parts(each)]
        check = functools.partial(_check_part, opened, deep=chosen.deep)
        for number, tally in run(Stage("verify samples", len(parts), unit="parts"), check, parts):
            tallies[number].merge(tally)
            problems += tally.problems
    for each, tally in zip(opened, tallies, strict=True):
        problems += check_totals(each, tally)
    return Verification(
        folders=tuple(map(str, folders)),
        shards=len(shards),
        images=sum(shard.samples_images for shard in shards),
        size_bytes=sum(shard.tar.size_bytes for shard in shards if shard.tar),
        problems=tuple(problems),
    )


def _read_manifests(folders: Sequence[Location], problems: list[Problem]) -> dict[Location, Manifest]:
    manifests: dict[Location, Manifest] = {}
    for folder in folders:
        try:
            manifests[folder] = read_manifest(folder)
        except PipelineError as error:
            problems.append(Problem(str(folder), str(error)))
    return manifests


def _run(
    pool: ThreadPoolExecutor,
    report: Report,
    problems: Sequence[Problem],
    stage: Stage,
    check: Callable[[Any], Any],
    tasks: Sequence[Any],
) -> Iterator[Any]:
    """The result of each task; they are checked in threads, since hashing and decoding release the GIL."""
    report(stage)
    for done, result in enumerate(pool.map(check, tasks), 1):
        yield result
        report(Advance(done, counted(len(problems), "problem") if problems else ""))


def _open(folder: Location, problems: list[Problem]) -> ShardSet | None:
    """Open a set; one that cannot be opened has at least one problem."""
    try:
        return open_shards(folder)
    except RefusedError:  # a set without samples
        return None
    except PipelineError as error:
        if not any(problem.path.startswith(str(folder)) for problem in problems):
            problems.append(Problem(str(folder), str(error)))
        return None


def _parts(shards: ShardSet) -> Iterator[range]:
    for first in range(0, len(shards), PART_IMAGES):
        yield range(first, min(first + PART_IMAGES, len(shards)))


def _check_part(opened: Sequence[ShardSet], task: tuple[int, range], *, deep: bool) -> tuple[int, Tally]:
    number, positions = task
    return number, check_samples(opened[number], positions, deep=deep)


def _check_shard(folder: Location, manifest: Manifest, shard: ShardRecord) -> Iterator[Problem]:
    """A shard's files against the manifest, and its tar against its index."""
    if not (shard.tar and shard.idx):
        if shard.tar or shard.idx or shard.samples_images:
            yield Problem(str(folder / MANIFEST), f"shard {shard.index} has samples, but no tar or no index")
        return
    problems = [*check_file(folder, shard.tar), *check_file(folder, shard.idx, REINDEX)]
    yield from problems
    if problems:
        return
    path = folder / shard.tar.name
    try:
        samples, damage = scan_samples(path)
        index = read_whole(folder / shard.idx.name)
    except OSError as error:
        yield Problem(str(path), f"cannot be read: {error.strerror}")
        return
    wanted = {EXTENSIONS[manifest.options.encoding], "cls", "json"}
    if damage:
        yield Problem(str(path), damage)
    if dali_index(samples) != index:
        yield Problem(str(folder / shard.idx.name), "does not describe its tar")
    if len(samples) != shard.samples_images:
        yield Problem(str(path), f"holds {len(samples)} samples, the manifest says {shard.samples_images}")
    for components in samples:
        extensions = [extension for extension, *_ in components]
        if set(extensions) != wanted or len(extensions) != len(wanted):
            key = components[0][3].partition(".")[0]
            yield Problem(str(path), f"sample {key} has the members {', '.join(sorted(extensions))}")
