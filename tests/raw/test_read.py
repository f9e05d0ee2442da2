"""The one reader of raw bytes: exactly the listed range, and nothing of a file that has changed."""

import dataclasses
import errno
import os
from pathlib import Path

import pytest

from alexnet_pipeline import files
from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.raw import read as module
from alexnet_pipeline.raw.read import READ_AHEAD, Reader, read_image
from alexnet_pipeline.records import RawImage


@pytest.fixture
def listed(tmp_path):
    """Ten ranges of one file."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    version = path.stat().st_mtime_ns
    return [RawImage(str(n), 0, "c", f"c/{n}", str(path), 10 * n, 10, version) for n in range(10)]


def test_ranges_are_read_with_and_without_prefetching(listed) -> None:
    """Each its own, also where a file was opened ahead of time; all files are closed."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Reader(listed) as reader:
        for position in range(len(listed)):
            reader.prefetch(position)
            assert reader.read(position) == bytes(range(10 * position, 10 * position + 10))
            if position == 3:
                assert len(list(Path("/proc/self/fd").iterdir())) == before + READ_AHEAD
                break
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert read_image(listed[7]) == bytes(range(70, 80))


def test_a_changed_file_ends_the_run(listed) -> None:
    """Touched or shortened since it was listed: its bytes are not those that were planned."""
    path = listed[0].path
    os.utime(path, ns=(1, 1))
    with pytest.raises(PipelineError, match="changed after the source was listed"):
        read_image(listed[0])
    os.truncate(path, 95)
    with pytest.raises(PipelineError, match="changed after the source was listed"):
        read_image(dataclasses.replace(listed[9], version=Path(path).stat().st_mtime_ns))


def test_what_cannot_be_read_ends_the_run(listed, tmp_path) -> None:
    """It says nothing of the image; prefetching it does no harm."""
    gone = dataclasses.replace(listed[0], path=str(tmp_path / "gone"))
    with Reader([gone] * 9) as reader:
        reader.prefetch(0)
        with pytest.raises(PipelineError, match=r"cannot read .*gone: No such file.*to resume"):
            reader.read(0)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EMFILE, errno.ENOMEM])
def test_what_passes_is_tried_again(listed, monkeypatch, code) -> None:
    """Three times, with growing waits; then the run ends, and no image is rejected for it."""
    waits: list[float] = []
    failures = 2
    pread = os.pread

    def failing(*arguments):
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OSError(code, os.strerror(code))
        return pread(*arguments)

    monkeypatch.setattr(module.os, "pread", failing)
    monkeypatch.setattr(files.time, "sleep", waits.append)
    assert read_image(listed[3]) == bytes(range(30, 40))
    assert waits == [0.1, 1.0]
    failures = 99
    with pytest.raises(PipelineError, match=os.strerror(code)):
        read_image(listed[3])


def test_hints_may_fail(listed, monkeypatch) -> None:
    """Some file systems take no advice."""

    def refusing(*arguments):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(module.os, "posix_fadvise", refusing)
    with Reader(listed) as reader:
        reader.prefetch(0)
        assert reader.read(READ_AHEAD) == bytes(range(40, 50))


def test_a_file_that_is_no_photograph_is_not_read(listed) -> None:
    """A film of 40 GB that is named .JPEG costs nothing."""
    with pytest.raises(RejectedImageError, match="too_large: 40,000,000,000 bytes"):
        read_image(dataclasses.replace(listed[0], size_bytes=40_000_000_000))
