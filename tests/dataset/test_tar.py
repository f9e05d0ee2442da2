"""A tar that changes while it is read is an error and no crash, and what passes is tried again."""

import errno
import os
from pathlib import Path

import pytest

from alexnet_pipeline import files
from alexnet_pipeline.dataset.tar import OpenTar
from alexnet_pipeline.errors import PipelineError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of ten bytes."""
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(10)))
    return path


def test_bytes_are_read_where_they_lie(path: Path) -> None:
    """As often as they are asked for, and none at all."""
    tar = OpenTar(path)
    assert tar.read(3, 4).tobytes() == tar.read(3, 4).tobytes() == bytes([3, 4, 5, 6])
    assert tar.read(10, 0).size == 0
    tar.prefetch(0, 10)


def test_a_file_that_became_shorter_is_named(path: Path) -> None:
    """A mapped file would end the process."""
    tar = OpenTar(path)
    os.truncate(path, 5)
    assert tar.read(0, 5).size == 5
    with pytest.raises(PipelineError, match=r"a\.tar became shorter .* ends at byte 5 of at least 6"):
        tar.read(4, 2)


def test_an_error_that_passes_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is opened anew, because a stale handle stays stale."""
    monkeypatch.setattr(files, "RETRY_WAITS_S", (0.0, 0.0))
    tar, read, failures = OpenTar(path), os.preadv, [errno.ESTALE, errno.ESTALE, errno.EIO]

    def flaky(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if failures:
            raise OSError(failures.pop(), "a passing error")
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", flaky)
    assert tar.read(1, 2).tobytes() == b"\1\2"
    failures += [errno.EIO] * 9
    with pytest.raises(PipelineError, match=r"cannot read .*a\.tar: a passing error"):
        tar.read(1, 2)
