"""The state that makes a run resumable: its plan, its committed shards and, on a disk, its lock.

A data set's folder holds `.state/`: `plan.json` (the plan), `done/000123.json` (the record of a committed shard, its
last file), `sums-000123.npz` (its statistics until the manifest holds them) and `lock`. Each is written whole and at
once, so that disks and object stores serve alike, and any number of writers. Version 0.1 appended the records to
`journal-A-B.jsonl`, which is still read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_pipeline.dataset.index import TIMM, WIDS
from alexnet_pipeline.dataset.manifest import (
    FIRST_VERSION,
    FORMAT_VERSION,
    MANIFEST,
    MEAN,
    Count,
    FileRecord,
    Manifest,
    ShardCount,
    ShardRecord,
    SplitName,
    is_finished,
    read_manifest,
)
from alexnet_pipeline.errors import OtherContentError, PipelineError, RefusedError
from alexnet_pipeline.files import PART, name_of_part
from alexnet_pipeline.options import check
from alexnet_pipeline.records import Reject, SetOptions, SourceAccount, fingerprint, from_json, to_json
from alexnet_pipeline.shards.kept_sums import KeptSums
from alexnet_pipeline.shards.names import STATE, shard_prefix
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import blocks_of, exists, names_in, read_whole, status_of
from alexnet_pipeline.storage.writing import create, delete, locked, make_folder, sync_folder, write_whole

PLAN, DONE = "plan.json", "done"
# The number of a shard at the end of a file's name, before the digits of a group of statistics.
NUMBER = re.compile(r"(?:^|-)(\d{6,})(?:-[0-9a-f]{4})?\.(?:tar|idx|npz|json)$")
# Records that are asked for at the same time; a store answers each after tens of milliseconds.
RECORDS_IN_FLIGHT = 32


@dataclass(frozen=True, slots=True)
class SetPlan:
    """The plan of a data set, recorded when it is started and compared when it is resumed.

    Attributes:
        format_version: format version of the manifest to come.
        split: `train`, `val` or `test`.
        options: the options that determine the bytes.
        definition: the method as a formula.
        geometry_definition: the geometry in words.
        versions: versions of the libraries that determine the bytes.
        classes: class names; the position is the label.
        images: number of planned images.
        shards: number of planned shards.
        input: digest of the planned images, in order.
        source_rejects: inputs that were rejected while the source was listed.
        class_words: for each class its words, or "".
        source: how the source was recognised, and what in it is not an image.
        fingerprint: sha256 of all other fields but words and source. Those two describe a source, and do not touch a
            shard: the same images in another layout have the same plan, and a file added to a source does not forbid
            to resume.
    """

    format_version: int
    split: SplitName
    options: SetOptions
    definition: str
    geometry_definition: str
    versions: dict[str, str]
    classes: tuple[str, ...]
    images: Count
    shards: ShardCount
    input: str
    source_rejects: tuple[Reject, ...]
    class_words: tuple[str, ...] = field(default=(), compare=False)
    source: SourceAccount = field(default_factory=SourceAccount, compare=False)
    fingerprint: str = ""

    def sealed(self) -> SetPlan:
        """The same plan with its fingerprint filled in."""
        data = dataclasses.asdict(self)
        del data["fingerprint"], data["class_words"], data["source"]
        if self.format_version == FIRST_VERSION:
            del data["options"]["orientation"]
        return dataclasses.replace(self, fingerprint=fingerprint(data))


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """The record of a committed shard, and what it was made from.

    Attributes:
        shard: the finished shard.
        source_stamp: digest of the sizes and modification times of its planned inputs; kept out of the
            manifest, which must not depend on when a source was copied.
    """

    shard: ShardRecord
    source_stamp: str


class SetState:
    """The resumable state of one data set's folder.

    Attributes:
        folder: the folder.
        sums: the statistics of its committed shards.
    """

    def __init__(self, folder: Location) -> None:
        self.folder = folder
        self.sums = KeptSums(folder)
        self._state = folder / STATE

    @property
    def finished(self) -> bool:
        """Whether the manifest is written."""
        return is_finished(self.folder)

    @property
    def started(self) -> bool:
        """Whether a plan was recorded here, even one that cannot be read."""
        return exists(self._state / PLAN)

    def begun(self) -> SetPlan | None:
        """The plan that was recorded here, or None.

        Raises:
            RefusedError: the plan cannot be read.
            PipelineError: the store cannot be reached.
        """
        path = self._state / PLAN
        try:
            plan = from_json(read_whole(path), SetPlan)
            check(plan.options)
            if plan.format_version <= FORMAT_VERSION and plan.sealed().fingerprint != plan.fingerprint:
                raise ValueError("it does not have the fingerprint that it says")
            return plan
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise RefusedError(f"{self.folder} cannot be made: a file is in its way; choose another folder") from error
        except (OSError, ValueError) as error:
            if not isinstance(self.folder, Path) and isinstance(error, OSError):
                raise PipelineError(f"cannot read {path}: {error.strerror}") from error
            raise RefusedError(f"{path} cannot be read ({error}); `restart=True` begins again") from error

    def begin(self, plan: SetPlan, *, again: bool = False) -> None:
        """Record the plan of a run that starts; with `again`, of one that goes on in another way.

        Any number of writers may begin the same set at once.

        Raises:
            RefusedError: another one has begun another plan meanwhile.
        """
        path, data = self._state / PLAN, to_json(plan, indent=1)
        make_folder(self._state)
        if again:
            write_whole(path, data)
            return
        try:
            create(path, data)
        except OtherContentError as error:
            other = self.begun()
            if other is None or other.fingerprint != plan.fingerprint:
                raise RefusedError(
                    f"{self.folder} was begun with other settings a moment ago; choose another folder"
                ) from error

    def clear(self) -> None:
        """Remove what an earlier run wrote, by its manifest, plan and records; any other file is the user's.

        The manifest goes first, because without it the rest is not a data set.
        """
        written = self._written()
        delete(self.folder / MANIFEST)
        for name in self._names(self.folder):
            if name_of_part(name) in written:
                delete(self.folder / name)
        for folder in (self._state / DONE, self._state):
            for name in self._names(folder):
                if name != "lock":
                    delete(folder / name)

    def reopen(self) -> None:
        """Make an unfinished set of a finished one, by removing its manifest; all other files stay."""
        delete(self.folder / MANIFEST)
        sync_folder(self.folder)

    def clear_parts(self, first: int, last: int) -> None:
        """Remove partial files of shards [first, last) that stopped workers left; the caller holds their lock."""
        if not isinstance(self.folder, Path):  # an object appears whole
            return
        for folder in (self.folder, self.folder / STATE, self.folder / STATE / DONE):
            for path in folder.glob(PART + "*"):
                number = NUMBER.search(name_of_part(path.name))
                if number and first <= int(number[1]) < last:
                    with suppress(OSError):
                        path.unlink()

    def locked(self, first: int, last: int) -> AbstractContextManager[None]:
        """Lock shards [first, last) for writing; others may write other ranges, even on other machines.

        Raises:
            RefusedError: another writer holds some of them.
        """
        busy = f"another run is writing {self.folder}; wait for it, or choose another folder"
        return locked(self._state / "lock", busy, first=first, count=max(1, last - first))

    def tars(self) -> list[Location]:
        """The tars in the folder, of whatever origin."""
        return [self.folder / name for name in self._names(self.folder) if name.endswith(".tar")]

    def journal(self, *, expected: int = 0, with_index: bool = True) -> dict[int, JournalEntry]:
        """The committed shards by index, without those whose files are gone or whose record a crash cut off.

        Args:
            expected: so many shards are asked for by name, should a store's list lack them.
            with_index: whether a shard without its index is gone, too.

        Raises:
            PipelineError: a record cannot be read.
        """
        entries: dict[int, list[JournalEntry]] = {}
        for entry in self._entries(expected):
            entries.setdefault(entry.shard.index, []).append(entry)
        with ThreadPoolExecutor(RECORDS_IN_FLIGHT) as pool:
            chosen = pool.map(lambda each: self._of_the_tar(each, with_index=with_index), entries.values())
            return {entry.shard.index: entry for entry in chosen if entry is not None}

    def commit(self, entry: JournalEntry) -> None:
        """Record a committed shard, whose files are all written."""
        make_folder(self._state / DONE)  # a run of an earlier version did not
        write_whole(self._state / DONE / f"{entry.shard.index:06d}.json", to_json(entry))

    def uncommit(self, index: int, prefix: str) -> None:
        """Forget a shard that is to be written anew; a store would refuse to write over its files."""
        delete(self._state / DONE / f"{index:06d}.json")
        if not isinstance(self.folder, Path):
            for suffix in (".tar", ".idx"):
                delete(self.folder / f"{prefix}-{index:06d}{suffix}")

    def drop_sums(self) -> None:
        """Remove the shards' statistics, once the manifest holds them."""
        self.sums.drop()
        for name in self._names(self._state):
            if name.startswith(PART) and name.endswith(PLAN):
                delete(self._state / name)

    def _names(self, folder: Location) -> tuple[str, ...]:
        """The names of the files in a folder; none if there is no such folder."""
        try:
            return names_in(folder)[1]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise PipelineError(f"cannot list {folder}: {error.strerror}") from error

    def _entries(self, expected: int = 0) -> Iterator[JournalEntry]:
        """Every record of a committed shard; there are several where an earlier version kept journals."""
        names = self._names(self._state)
        for name in names:
            if name.startswith("journal-") and name.endswith(".jsonl"):
                yield from self._lines(self._state / name)
        records = {name for name in self._names(self._state / DONE) if name.endswith(".json") and name[0] != "."}
        records |= {f"{index:06d}.json" for index in range(expected)}
        with ThreadPoolExecutor(RECORDS_IN_FLIGHT) as pool:
            yield from filter(None, pool.map(self._record, sorted(records)))

    def _record(self, name: str) -> JournalEntry | None:
        path = self._state / DONE / name
        try:
            return from_json(read_whole(path), JournalEntry)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PipelineError(f"cannot read {path}: {error.strerror}") from error
        except ValueError:
            return None  # its shard is written again

    def _lines(self, path: Location) -> Iterator[JournalEntry]:
        """The last entry of a journal for each shard."""
        entries: dict[int, JournalEntry] = {}
        try:
            lines = read_whole(path).splitlines(keepends=True)
        except OSError as error:
            raise PipelineError(f"cannot read {path}: {error.strerror}") from error
        for line in lines:
            if line.endswith(b"\n"):
                with suppress(ValueError):
                    entry = from_json(line, JournalEntry)
                    entries[entry.shard.index] = entry
        yield from entries.values()

    def _of_the_tar(self, entries: list[JournalEntry], *, with_index: bool) -> JournalEntry | None:
        """The entry that describes the files that are there, by their content where entries differ; None if none does.

        No clock tells which writer came last: those of two machines may differ.
        """
        there = [entry for entry in entries if self._is_there(entry.shard, with_index=with_index)]
        if len({entry.shard for entry in there}) > 1:
            there = [entry for entry in there if entry.shard.tar and self._is_content(entry.shard.tar)]
        return there[-1] if there else None

    def _is_content(self, file: FileRecord) -> bool:
        state = hashlib.sha256()
        for block in blocks_of(self.folder / file.name):
            state.update(block)
        return state.hexdigest() == file.sha256

    def _written(self) -> set[str]:
        """The names of all files that a run wrote here, or would have written next."""
        about: list[SetPlan | Manifest] = []
        with suppress(PipelineError):
            about += filter(None, [self.begun()])
        with suppress(PipelineError):
            about += [read_manifest(self.folder)] if self.finished else []
        names = {MANIFEST, MEAN, WIDS, TIMM} if about else {MANIFEST}
        for each in about:
            with suppress(RefusedError):
                prefix = shard_prefix(each.options, each.split, each.format_version)
                shards = each.shards if isinstance(each, SetPlan) else len(each.shards)
                names |= {f"{prefix}-{index:06d}{suffix}" for index in range(shards) for suffix in (".tar", ".idx")}
        with suppress(PipelineError):
            names |= {file.name for entry in self._entries() for file in (entry.shard.tar, entry.shard.idx) if file}
        return names

    def _is_there(self, record: ShardRecord, *, with_index: bool) -> bool:
        files = [file for file in (record.tar, record.idx if with_index else None) if file]
        try:
            return all(status_of(self.folder / file.name).size_bytes == file.size_bytes for file in files)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise PipelineError(f"cannot read {self.folder}: {error.strerror}") from error


def find_states(out: Location) -> list[SetState]:
    """The states of all data sets below a folder, finished or not.

    Raises:
        PipelineError: the folder cannot be listed.
    """
    if isinstance(out, Path):
        return [SetState(path.parent.parent) for path in sorted(out.glob(f"**/{STATE}/{PLAN}"))]
    try:
        found = [out, *(out / name for name in names_in(out)[0])]
        found += [folder / name for folder in found[1:] for name in names_in(folder)[0]]
        return [SetState(folder) for folder in found if exists(folder / STATE / PLAN)]
    except OSError as error:
        raise PipelineError(f"cannot list {out}: {error.strerror}") from error


def free_bytes(folder: Location) -> int | None:
    """Free disk space where a folder is, or will be; None in a store."""
    if not isinstance(folder, Path):
        return None
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
