"""Committed shards in, the state that makes a run resumable out.

A data set's folder holds `.state/`: `plan.json` (what was begun), `journal-A-B.jsonl` (one line per committed
shard, one file per writer, because appends from several machines to one file are not atomic), `sums-*.npz`
(statistics of each shard until the manifest holds them) and `lock`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.records import JournalEntry, ShardRecord, entry_from_json, to_json
from alexnet_pipeline.files import PART, naming, write_whole

STATE = ".state"


class DatasetState:
    """The resumable state of one data set's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / STATE

    @property
    def manifest(self) -> Path:
        """Where the manifest is, once the data set is complete."""
        return self.folder / "manifest.json"

    def begun(self) -> dict[str, Any] | None:
        """What was begun here, or None.

        Raises:
            RefusedError: it cannot be read.
        """
        path = self._state / "plan.json"
        try:
            plan: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RefusedError(f"{path} cannot be read ({error}); --restart begins again") from error
        return plan

    def begin(self, plan: dict[str, Any]) -> None:
        """Record what is begun here."""
        with naming(self.folder):
            self._state.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plan, sort_keys=True, indent=1)
        write_whole(self._state / "plan.json", text.encode("ascii"))

    def clear(self) -> None:
        """Remove all that an earlier run left; the manifest first, for without it the rest is no data set."""
        with naming(self.folder):
            self.manifest.unlink(missing_ok=True)
            for path in sorted(self.folder.glob("*")):
                if path.suffix in {".tar", ".idx", ".json", ".npy"}:
                    path.unlink()
            lock = self._state / "lock"
            for path in self._state.glob("*"):
                if path != lock:
                    path.unlink()

    def clear_parts(self, first: int, last: int) -> None:
        """Remove what stopped workers left of shards [first, last); only the holder of their lock may."""
        for path in (*self.folder.glob(PART + "*"), *self._state.glob(PART + "*")):
            number = path.name.partition(".npz")[0].rpartition("-")[2].partition(".")[0]
            if number.isdigit() and first <= int(number) < last:
                with suppress(OSError):
                    path.unlink()

    @contextmanager
    def locked(self, first: int, last: int) -> Iterator[None]:
        """Hold shards [first, last): writers of other ranges may work beside us, even on other machines.

        The lock is the kernel's, so that a dead writer's is gone with it.

        Raises:
            RefusedError: another writer holds some of them.
        """
        with naming(self._state):
            self._state.mkdir(parents=True, exist_ok=True)
            handle = (self._state / "lock").open("ab")
        with handle:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, max(1, last - first), first)
            except OSError as error:
                raise RefusedError(
                    f"another run is writing {self.folder}; wait for it, or choose another folder"
                ) from error
            yield

    def journal(self) -> dict[int, JournalEntry]:
        """The committed shards by index; a line that a crash cut short is left out."""
        entries: dict[int, JournalEntry] = {}
        for path in sorted(self._state.glob("journal-*.jsonl"), key=_written_ns):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    with suppress(ValueError, KeyError, TypeError):
                        entry = entry_from_json(json.loads(line))
                        entries[entry.shard.index] = entry
        return {index: entry for index, entry in entries.items() if self._is_there(entry.shard)}

    @contextmanager
    def journal_writer(self, first: int, last: int) -> Iterator[JournalWriter]:
        """Append to this writer's journal."""
        path = self._state / f"journal-{first:06d}-{last:06d}.jsonl"
        with naming(path):
            handle = path.open("ab")
        with handle:
            yield JournalWriter(path, handle)

    def sums_path(self, index: int) -> Path:
        """Where a shard's statistics are kept until the manifest is written."""
        return self._state / f"sums-{index:06d}.npz"

    def drop_sums(self) -> None:
        """Remove the shards' statistics, now that the manifest holds them."""
        for path in self._state.glob("sums-*.npz"):
            path.unlink(missing_ok=True)

    def _is_there(self, record: ShardRecord) -> bool:
        files = [file for file in (record.tar, record.idx) if file]
        try:
            return all((self.folder / file.name).stat().st_size == file.size_bytes for file in files)
        except FileNotFoundError:
            return False


class JournalWriter:
    """Appends lines that are durable when `append` returns."""

    def __init__(self, path: Path, handle: BinaryIO) -> None:
        self._path = path
        self._handle = handle
        if handle.tell():  # a crash may have cut the last line; an empty line costs nothing
            self._write(b"\n")

    def append(self, entry: JournalEntry) -> None:
        """Record one committed shard."""
        self._write(to_json(entry).encode("ascii") + b"\n")

    def _write(self, data: bytes) -> None:
        with naming(self._path):
            self._handle.write(data)
            self._handle.flush()
            os.fsync(self._handle.fileno())


def _written_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


def free_bytes(folder: Path) -> int:
    """Free space where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
