"""The state on disk that makes a run resumable: its plan, its committed shards and its lock.

A data set's folder holds `.state/`: `plan.json` (the plan), `journal-A-B.jsonl` (one line per committed shard;
one file per writer, because appends from several machines to one file are not atomic), `sums-*.npz` (statistics of
each shard until the manifest holds them) and `lock`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

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
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.files import PART, locked, make_folder, naming, read_whole, sync_folder, write_whole
from alexnet_pipeline.options import check
from alexnet_pipeline.records import Reject, SetOptions, SourceAccount, fingerprint, from_json, to_json
from alexnet_pipeline.shards.names import STATE, shard_prefix

PLAN = "plan.json"


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
    """A line of the journal: a committed shard and what it was made from.

    Attributes:
        shard: the finished shard.
        source_stamp: digest of the sizes and modification times of its planned inputs; kept out of the
            manifest, which must not depend on when a source was copied.
    """

    shard: ShardRecord
    source_stamp: str


class SetState:
    """The resumable state of one data set's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / STATE

    @property
    def finished(self) -> bool:
        """Whether the manifest is written."""
        return is_finished(self.folder)

    @property
    def started(self) -> bool:
        """Whether a plan was recorded here, even one that cannot be read."""
        return (self._state / PLAN).exists()

    def begun(self) -> SetPlan | None:
        """The plan that was recorded here, or None.

        Raises:
            RefusedError: the plan cannot be read.
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
            raise RefusedError(f"{path} cannot be read ({error}); `restart=True` begins again") from error

    def begin(self, plan: SetPlan) -> None:
        """Record the plan of a run that starts, or that goes on in another way."""
        make_folder(self._state)
        write_whole(self._state / PLAN, to_json(plan, indent=1))

    def clear(self) -> None:
        """Remove what an earlier run wrote, by its manifest, plan and journal; any other file is the user's.

        The manifest goes first, because without it the rest is not a data set.
        """
        written = self._written()
        with naming(self.folder):
            (self.folder / MANIFEST).unlink(missing_ok=True)
            for path in sorted(self.folder.glob("*")):
                if path.name.removeprefix(PART) in written:
                    path.unlink()
            for path in self._state.glob("*"):
                if path.name != "lock":
                    path.unlink()

    def reopen(self) -> None:
        """Make an unfinished set of a finished one, by removing its manifest; all other files stay."""
        with naming(self.folder):
            (self.folder / MANIFEST).unlink(missing_ok=True)
        sync_folder(self.folder)

    def clear_parts(self, first: int, last: int) -> None:
        """Remove partial files of shards [first, last) that stopped workers left; the caller holds their lock."""
        for path in (*self.folder.glob(PART + "*"), *self._state.glob(PART + "*")):
            number = path.name.partition(".npz")[0].rpartition("-")[2].partition(".")[0]
            if number.isdigit() and first <= int(number) < last:
                with suppress(OSError):
                    path.unlink()

    def locked(self, first: int, last: int) -> AbstractContextManager[None]:
        """Lock shards [first, last) for writing; others may write other ranges, even on other machines.

        Raises:
            RefusedError: another writer holds some of them.
        """
        busy = f"another run is writing {self.folder}; wait for it, or choose another folder"
        return locked(self._state / "lock", busy, first=first, count=max(1, last - first))

    def journal(self, *, with_index: bool = True) -> dict[int, JournalEntry]:
        """The committed shards by index, without those whose files are gone or whose line a crash truncated.

        Args:
            with_index: whether a shard without its index is gone, too.

        Raises:
            PipelineError: a journal cannot be read.
        """
        entries: dict[int, list[JournalEntry]] = {}
        for entry in self._lines():
            entries.setdefault(entry.shard.index, []).append(entry)
        chosen = {index: self._of_the_tar(each, with_index=with_index) for index, each in entries.items()}
        return {index: entry for index, entry in chosen.items() if entry is not None}

    @contextmanager
    def journal_writer(self, first: int, last: int) -> Iterator[JournalWriter]:
        """Open the journal of the writer of shards [first, last) for appending."""
        path = self._state / f"journal-{first:06d}-{last:06d}.jsonl"
        with naming(path):
            handle = path.open("ab")
        with handle:
            yield JournalWriter(path, handle)

    def sums_path(self, index: int) -> Path:
        """Where a shard's statistics are kept until the manifest is written."""
        return self._state / f"sums-{index:06d}.npz"

    def drop_sums(self) -> None:
        """Remove the shards' statistics, once the manifest holds them."""
        for path in self._state.glob("sums-*.npz"):
            path.unlink(missing_ok=True)

    def _lines(self) -> Iterator[JournalEntry]:
        """The last entry of each journal for each shard; overlapping ranges have one in several journals."""
        for path in sorted(self._state.glob("journal-*.jsonl")):
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
        with (self.folder / file.name).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest() == file.sha256

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
            names |= {file.name for entry in self._lines() for file in (entry.shard.tar, entry.shard.idx) if file}
        return names

    def _is_there(self, record: ShardRecord, *, with_index: bool) -> bool:
        files = [file for file in (record.tar, record.idx if with_index else None) if file]
        try:
            return all((self.folder / file.name).stat().st_size == file.size_bytes for file in files)
        except FileNotFoundError:
            return False


class JournalWriter:
    """Appends entries to a journal; an entry is durable when `append` returns."""

    def __init__(self, path: Path, handle: BinaryIO) -> None:
        self._path = path
        self._handle = handle
        if handle.tell():  # a crash may have truncated the last line; an empty line does no harm
            self._write(b"\n")

    def append(self, entry: JournalEntry) -> None:
        """Record one committed shard."""
        self._write(to_json(entry))

    def _write(self, data: bytes) -> None:
        with naming(self._path):
            self._handle.write(data)
            self._handle.flush()
            os.fsync(self._handle.fileno())


def find_states(out: Path) -> list[SetState]:
    """The states of all data sets below a folder, finished or not."""
    return [SetState(path.parent.parent) for path in sorted(out.glob(f"**/{STATE}/{PLAN}"))]


def free_bytes(folder: Path) -> int:
    """Free disk space where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
