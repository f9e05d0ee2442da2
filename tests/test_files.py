"""Guarantees that a file system cannot give are optional: used as far as they go, with one warning."""

import errno
import os
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

    monkeypatch.setattr(files.fcntl, "lockf", refusing)
    with files.locked(tmp_path / "lock", "busy"):
        pass
    assert [record.message for record in caplog.records] == [files.CANNOT_LOCK]


@pytest.mark.parametrize(("code", "words"), [(errno.EAGAIN, "^busy$"), (errno.EIO, "cannot lock .*lock: Input/output")])
def test_a_lock_that_fails_says_why(tmp_path: Path, monkeypatch, code: int, words: str) -> None:
    """Only a lock that is held means another run."""

    def refusing(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "lockf", refusing)
    with pytest.raises(RefusedError, match=words), files.locked(tmp_path / "lock", "busy"):
        pass
