"""Guarantees that a file system cannot give are optional: used as far as they go, with one warning."""

import errno
import os
import threading
from pathlib import Path

import pytest

from alexnet_pipeline import files
from alexnet_pipeline.errors import PipelineError, RefusedError


@pytest.fixture(autouse=True)
def _no_warnings_yet() -> None:
    files._warn_once.cache_clear()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_folder_that_cannot_be_synced_is_written(tmp_path: Path, monkeypatch, caplog, code: int) -> None:
    """CIFS and some FUSE say so; two files give one warning."""
    sync = os.fsync

    def refusing(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", refusing)
    for name in "ab":
        files.write_whole(tmp_path / name, b"data")
    assert (tmp_path / "b").read_bytes() == b"data"
    assert [record.message for record in caplog.records] == [files.CANNOT_SYNC]


def test_a_disk_that_fails_to_sync_is_an_error(tmp_path: Path, monkeypatch) -> None:
    """EIO is no missing feature."""

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.os, "fsync", failing)
    with pytest.raises(PipelineError, match="EIO"):
        files.sync_folder(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_used(tmp_path: Path, monkeypatch, caplog, code: int) -> None:
    """NFS without lockd, Lustre without -o flock: with a warning, and never as "another run is writing"."""

    def refusing(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "fcntl", refusing)
    with files.locked(tmp_path / "lock", "busy"):
        pass
    assert [record.message for record in caplog.records] == [files.CANNOT_LOCK]


@pytest.mark.parametrize(("code", "words"), [(errno.EAGAIN, "^busy$"), (errno.EIO, "cannot lock .*lock: Input/output")])
def test_a_lock_that_fails_says_why(tmp_path: Path, monkeypatch, code: int, words: str) -> None:
    """Only a lock that is held means another run."""

    def refusing(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "fcntl", refusing)
    with pytest.raises(RefusedError, match=words), files.locked(tmp_path / "lock", "busy"):
        pass


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    """A second lock is refused, and giving up one of two ranges leaves the other held."""
    path = tmp_path / "lock"
    refused = []

    def try_it(first: int, count: int) -> None:
        try:
            with files.locked(path, "busy", first=first, count=count):
                pass
        except RefusedError as error:
            refused.append((first, str(error)))

    with files.locked(path, "busy", first=0, count=2):
        for span in ((1, 1), (2, 3), (0, 2)):
            thread = threading.Thread(target=try_it, args=span)
            thread.start()
            thread.join()
    try_it(0, 5)
    assert refused == [(1, "busy"), (0, "busy")]
