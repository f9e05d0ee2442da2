"""Copies of data sets in object stores on this machine: each is fetched once, checked, and shared by all processes.

A copy is a folder like any other data set, `CACHE/SPLIT-DIGEST`, where the digest is the manifest's: a set that is
written anew gets another one, and equal sets in two places share one. Each file appears once its checksum is right, and
the manifest last. Nobody writes to a copy that is complete; it may be removed when nobody reads it.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alexnet_pipeline.dataset.manifest import FileRecord, Manifest, is_finished, read_manifest, write_manifest
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import BusyError, InterruptedRunError, PipelineError, RefusedError
from alexnet_pipeline.files import PartFile, locked, make_folder, naming, retry_passing, sync_folder
from alexnet_pipeline.progress import Advance, Message, Report, Stage
from alexnet_pipeline.storage.place import Location, local_path
from alexnet_pipeline.storage.remote import RemotePath

# Files that are fetched at a time, and how much of each a request asks for: together they fill a fast network, take
# about 150 MB of memory, and are not too much for a slow network, where each request must end within a minute.
THREADS = 8
BLOCK_BYTES = 4 << 20
# How often progress is told, and signals and locks are looked at.
PERIOD_S = 0.25
# Letters of the manifest's digest in a copy's name.
DIGEST_LETTERS = 16
MB = 1_000_000

# The number of the signal that wants the work to stop, 0 for none.
Stop = Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of a data set, complete or not."""

    source: RemotePath
    manifest: Manifest
    target: Path

    def files(self) -> list[FileRecord]:
        """All files but the manifest."""
        shards = (file for shard in self.manifest.shards for file in (shard.tar, shard.idx) if file)
        return list({file.name: file for file in (*shards, *self.manifest.files)}.values())

    def missing(self) -> list[FileRecord]:
        """The files that are not there; one of the right size was checked before it appeared."""
        return [file for file in self.files() if not _has_size(self.target / file.name, file.size_bytes)]

    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return is_finished(self.target) and not self.missing()


def check_cache(folders: Sequence[Location], cache: Path | None) -> None:
    """Make sure that there is a cache where one is needed, and none where it would have no effect.

    Raises:
        RefusedError: it is not so.
    """
    remote = [folder for folder in folders if isinstance(folder, RemotePath)]
    if remote and cache is None:
        raise RefusedError(
            f"{remote[0]} is in an object store; give `cache`, a folder on this machine for copies of its shards"
        )
    if cache is not None and not remote:
        raise RefusedError(
            f"`cache` is for data sets in object stores, and {folders[0]} is on this machine; leave it out"
        )


def open_sets(
    folders: Sequence[Location], cache: Path | None, report: Report, stop: Stop = lambda: 0
) -> tuple[ShardSet, ...]:
    """Open data sets; of one in an object store its copy on this machine, which is fetched where it is missing.

    Args:
        folders: each that of a method and a split.
        cache: folder for copies; None where all sets are on this machine.
        report: gets progress.
        stop: asked now and then.

    Raises:
        RefusedError: `cache` is missing, has no effect or too little space; or a folder holds no finished data set.
        PipelineError: a set cannot be fetched or opened.
        InterruptedRunError: `stop` ended it.
    """
    check_cache(folders, cache)
    remote = [folder for folder in folders if isinstance(folder, RemotePath)]
    copies = dict(zip(remote, cached(remote, cache, report, stop), strict=True)) if cache is not None else {}
    opened = (open_shards(copies[folder] if isinstance(folder, RemotePath) else folder) for folder in folders)
    return tuple(dataclasses.replace(shards, origin=folder) for shards, folder in zip(opened, folders, strict=True))


def cached(folders: Sequence[RemotePath], cache: Path, report: Report, stop: Stop = lambda: 0) -> tuple[Path, ...]:
    """The copies of data sets in object stores; what is missing of them is fetched, by one process at a time.

    Args:
        folders: each that of a method and a split.
        cache: folder for copies, which is made where it is missing.
        report: gets progress.
        stop: asked now and then.

    Raises:
        RefusedError: a folder holds no finished data set, or there is not enough disk space; nothing was fetched.
        PipelineError: a file cannot be fetched, or is not what its manifest says; the others stay.
        InterruptedRunError: `stop` ended it; the files that are complete stay.
    """
    cache = local_path(cache)
    copies = [_copy_of(folder, cache) for folder in folders]
    if not all(copy.is_complete() for copy in copies):  # what is complete needs no lock, and may be read-only
        different = {copy.target: copy for copy in copies}
        with ExitStack() as stack:
            for target, copy in sorted(different.items()):  # in one order, so that nobody waits in a circle
                _lock(stack, target, copy.source, report, stop)
            _complete(list(different.values()), cache, report, stop)
    return tuple(copy.target for copy in copies)


def _copy_of(folder: RemotePath, cache: Path) -> _Copy:
    manifest = read_manifest(folder)
    return _Copy(folder, manifest, cache / f"{manifest.split}-{manifest.digest[:DIGEST_LETTERS]}")


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False


def _lock(stack: ExitStack, target: Path, source: RemotePath, report: Report, stop: Stop) -> None:
    """Wait until no other process fetches a copy; the wait heeds signals."""
    told = False
    while True:
        try:
            stack.enter_context(locked(target.with_name(f".{target.name}.lock"), f"{target} is being fetched"))
            return
        except BusyError:
            if not told:
                report(Message(f"waiting for another process that fetches {source}"))
                told = True
        _heed(stop)
        time.sleep(PERIOD_S)


def _complete(copies: Sequence[_Copy], cache: Path, report: Report, stop: Stop) -> None:
    """Fetch what is missing, which others may have done meanwhile; then write the manifests."""
    missing = [(copy, file) for copy in copies for file in copy.missing()]
    if missing:
        _check_space(copies, cache, sum(file.size_bytes for _, file in missing))
        for copy in copies:
            make_folder(copy.target)
        _fetch(copies, missing, report, stop)
    for copy in copies:
        if not is_finished(copy.target):
            make_folder(copy.target)
            sync_folder(copy.target)
            write_manifest(copy.target, copy.manifest)


def _check_space(copies: Sequence[_Copy], cache: Path, needed_bytes: int) -> None:
    with naming(cache):
        free_bytes = shutil.disk_usage(cache).free
    if needed_bytes > free_bytes:
        raise RefusedError(
            f"{cache} has {free_bytes:,} bytes free, and {' and '.join(str(copy.source) for copy in copies)} needs "
            f"{needed_bytes:,}; free some space, or choose another `cache`"
        )


class _Progress:
    """What the threads that fetch, and the one that waits for them, tell each other."""

    def __init__(self, total_bytes: int, done_bytes: int) -> None:
        self.total_bytes, self.ended = total_bytes, False
        self._done_bytes, self._lock = done_bytes, threading.Lock()

    def add(self, size_bytes: int) -> None:
        """Count bytes that were fetched."""
        with self._lock:
            self._done_bytes += size_bytes

    def done_mb(self) -> int:
        """What is there, as a part of `total_mb`."""
        return -(-self._done_bytes // MB)

    def total_mb(self) -> int:
        """Of all files."""
        return -(-self.total_bytes // MB)


def _fetch(copies: Sequence[_Copy], missing: Sequence[tuple[_Copy, FileRecord]], report: Report, stop: Stop) -> None:
    """Fetch files, several at a time; after an error or a signal the threads end at their next block."""
    total_bytes = sum(file.size_bytes for copy in copies for file in copy.files())
    progress = _Progress(total_bytes, total_bytes - sum(file.size_bytes for _, file in missing))
    for copy in {copy.target: copy for copy, _ in missing}.values():
        report(Message(f"fetching {copy.source} to {copy.target}"))
    report(Stage("fetch", progress.total_mb(), progress.done_mb(), unit="MB"))
    with ThreadPoolExecutor(THREADS, "fetch") as pool:
        try:
            waiting = {pool.submit(_fetch_file, copy, file, progress) for copy, file in missing}
            while waiting:
                finished, waiting = wait(waiting, PERIOD_S, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                report(Advance(progress.done_mb()))
                _heed(stop)
        except BaseException as error:
            progress.ended = True
            pool.shutdown(wait=False, cancel_futures=True)
            error.add_note(f"{progress.done_mb():,} of {progress.total_mb():,} MB are fetched")
            raise


def _heed(stop: Stop) -> None:
    number = stop()
    if number:
        raise InterruptedRunError(number, "interrupted while shards were fetched; the same call fetches the rest")


def _fetch_file(copy: _Copy, file: FileRecord, progress: _Progress) -> None:
    place, digest = copy.source / file.name, hashlib.sha256()
    try:
        with PartFile(copy.target / file.name) as part:
            for data in _blocks(place, file.size_bytes):
                if progress.ended:
                    return
                part.write(data)
                digest.update(data)
                progress.add(len(data))
            if digest.hexdigest() != file.sha256:
                raise _other(place, copy, f"its sha256 is {digest.hexdigest()}, expected {file.sha256}")
            part.commit()
    except FileNotFoundError as error:
        raise _other(place, copy, "there is no such object") from error
    except OSError as error:
        if error.errno == errno.EBADMSG:
            raise _other(place, copy, str(error.strerror)) from error
        raise PipelineError(
            f"cannot read {place}: {error.strerror}; mend that, then run the same command again, which fetches the rest"
        ) from error


def _blocks(place: RemotePath, size_bytes: int) -> Iterator[bytes]:
    """All bytes of an object, in order.

    Raises:
        OSError: it cannot be read, or has another size.
    """
    for offset in range(0, size_bytes, BLOCK_BYTES):
        wanted = min(BLOCK_BYTES, size_bytes - offset)
        data, status = retry_passing(partial(place.read, offset, wanted))
        if status.size_bytes != size_bytes:
            text = f"it has {status.size_bytes:,} bytes, expected {size_bytes:,}"
            raise OSError(errno.EBADMSG, text, str(place))
        if len(data) != wanted:
            raise OSError(errno.EIO, f"the store sent {len(data)} of {wanted} bytes", str(place))
        yield data


def _other(place: RemotePath, copy: _Copy, found: str) -> PipelineError:
    return PipelineError(
        f"{place} is not what its manifest says: {found}; if the set is being written anew, wait, then run the same "
        f"command again; else run `verify` on {copy.source}"
    )
