"""A tar that changes is an error and no crash, what passes is tried again, and few tars are open at a time."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_pipeline import files
from alexnet_pipeline.dataset import tar
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
    opened = OpenTar(path)
    assert opened.read(3, 4).tobytes() == opened.read(3, 4).tobytes() == bytes([3, 4, 5, 6])
    assert opened.read(10, 0).size == 0
    opened.prefetch(0, 10)


def test_a_file_that_became_shorter_is_named(path: Path) -> None:
    """A mapped file would end the process."""
    opened = OpenTar(path)
    os.truncate(path, 5)
    assert opened.read(0, 5).size == 5
    with pytest.raises(PipelineError, match=r"a\.tar became shorter .* ends at byte 5 of at least 6"):
        opened.read(4, 2)


def test_an_error_that_passes_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is opened anew, because a stale handle stays stale."""
    monkeypatch.setattr(files, "RETRY_WAITS_S", (0.0, 0.0))
    opened, read, failures = OpenTar(path), os.preadv, [errno.ESTALE, errno.ESTALE, errno.EIO]

    def flaky(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if failures:
            raise OSError(failures.pop(), "a passing error")
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", flaky)
    assert opened.read(1, 2).tobytes() == b"\1\2"
    failures += [errno.EIO] * 9
    with pytest.raises(PipelineError, match=r"cannot read .*a\.tar: a passing error"):
        opened.read(1, 2)


def many_tars(folder: Path, count: int) -> list[OpenTar]:
    """Open files of ten bytes, each with its number in all of them."""
    for number in range(count):
        (folder / f"{number}.tar").write_bytes(bytes([number % 251]) * 10)
    return [OpenTar(folder / f"{number}.tar") for number in range(count)]


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let eight tars be open at a time."""
    monkeypatch.setattr(tar, "MOST_OPEN", 8)


@pytest.mark.usefixtures("few")
def test_few_are_open_at_a_time(tmp_path: Path) -> None:
    """However many there are, and none once nobody holds them; those in use are closed last."""
    before = open_files()
    tars = many_tars(tmp_path, 100)
    assert open_files() - before <= 8
    for number, opened in enumerate(tars):
        assert tars[0].read(3, 1)[0] == 0
        assert opened.read(0, 10).tobytes() == bytes([number % 251]) * 10
        opened.prefetch(0, 10)
        assert open_files() - before <= 8
    descriptor = tars[0]._file
    for opened in tars[1:50]:
        tars[0].read(0, 1)
        opened.read(0, 1)
    assert tars[0]._file is descriptor
    del tars, opened, descriptor
    assert open_files() - before <= 0


@pytest.mark.usefixtures("few")
def test_a_file_that_is_read_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that needs descriptors only lets go of it: here others are opened within a read."""
    tars, read = many_tars(tmp_path, 40), os.preadv

    def slow(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        monkeypatch.setattr(os, "preadv", read)
        for other in tars[1:]:
            other.read(0, 1)
        assert tars[0]._file is None
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", slow)
    assert tars[0].read(2, 3).tobytes() == bytes(3)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("change", ["replaced", "touched", "longer", "gone"])
def test_a_file_that_was_replaced_is_refused(tmp_path: Path, change: str) -> None:
    """When it is opened again: old indexes do not fit new bytes. A copy may even have the same size and time."""
    tars, path = many_tars(tmp_path, 20), tmp_path / "0.tar"
    before = path.stat()
    if change == "replaced":
        (tmp_path / "new").write_bytes(bytes(10))
        os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
        (tmp_path / "new").rename(path)
    elif change == "touched":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    elif change == "longer":
        path.write_bytes(bytes(11))
    else:
        path.unlink()
    words = "No such file" if change == "gone" else r"0\.tar was replaced or changed after it was opened; .* `verify`"
    with pytest.raises(PipelineError, match=words) as found:
        tars[0].read(0, 1)
    assert "\n" not in str(found.value)
    tars[0].prefetch(0, 1)
    assert tars[1].read(0, 1)[0] == 1


def test_others_may_take_the_last_descriptors(tmp_path: Path) -> None:
    """Then tars are closed for a new one."""
    code = """
import os, resource, sys
from pathlib import Path
from alexnet_pipeline.dataset.tar import OpenTar
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
tars = [OpenTar(path) for path in sorted(Path(sys.argv[1]).iterdir())]
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
assert all(tar.read(0, 10).size == 10 for tar in tars)
"""
    many_tars(tmp_path, 100)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
