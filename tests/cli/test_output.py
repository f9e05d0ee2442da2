"""Nothing that happens to stdout or stderr ends or falsifies the work, and the exit code tells of the work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m alexnet_pipeline"


def run(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; its exit status is that of the command itself."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        env=os.environ | variables,
    )


@pytest.mark.parametrize(
    "lost",
    [
        ">/dev/full 2>/dev/full",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        "2>&1 | head -1",
        "2> >(true) > >(true)",
    ],
    ids=["a full disk", "closed", "all closed", "a reader that leaves", "readers that are gone"],
)
def test_a_lost_output_changes_nothing(raw_folders: Path, tmp_path: Path, lost: str) -> None:
    """One image is broken, so that the right exit code is 3, and every set is finished."""
    done = run(f"{COMMAND} shard {raw_folders} {tmp_path}/out --size 32 --workers 1 {lost}")
    assert done.returncode == 3
    assert len(list(tmp_path.glob("out/antialias/*/manifest.json"))) == 2


@pytest.mark.parametrize("lost", [">/dev/full", ">&-", "| true"])
def test_a_refusal_keeps_its_exit_code(tmp_path: Path, lost: str) -> None:
    """Nobody reads why, but the shell still sees that it was refused."""
    assert run(f"{COMMAND} verify {tmp_path} 2>&1 {lost}").returncode == 2


def test_the_first_lines_of_help_are_enough() -> None:
    """`--help | head -1` is no error."""
    done = run(f"{COMMAND} shard --help | head -1")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_characters_that_the_output_lacks_are_escaped(tmp_path: Path, encoding: str) -> None:
    """A class in Japanese does not end a conversion in Latin-1."""
    for name in ("日本/ü.jpg", "b/1.jpg"):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    done = run(f"{COMMAND} shard {tmp_path}/source {tmp_path}/out --workers 1", PYTHONIOENCODING=encoding)
    assert done.returncode == 3
    assert r"\u65e5\u672c" in done.stdout


def test_a_terminal_that_goes_away_costs_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever rich raises of it, in the middle or at the end."""
    from alexnet_pipeline.progress import Advance, Bar, Message, Stage

    class Gone:
        def update(self, *arguments: object, **about: object) -> None:
            raise OSError(5, "Input/output error")

        def stop(self) -> None:
            raise ValueError("I/O operation on closed file")

    bar = Bar()
    bar.shown, bar._display = True, Gone()
    bar.report(Advance(1))
    assert not bar.shown
    bar.report(Stage("shard", 10))
    bar.report(Message("fine"))
    bar._display = Gone()
    bar.close()
