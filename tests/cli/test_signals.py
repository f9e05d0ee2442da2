"""Signals end a command as its user expects, whichever they are and however many come."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from alexnet_pipeline.cli import signals
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.cli.signals import SAME_REQUEST_S, StopRequest, stopping
from alexnet_pipeline.errors import InterruptedRunError


def test_signals_soon_after_the_first_are_the_same_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later one ends the run at once."""
    now = [100.0]
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: now[0]))
    request = StopRequest()
    assert request() == 0
    request.note(signal.SIGTERM)
    now[0] += SAME_REQUEST_S
    request.note(signal.SIGINT)
    assert request() == signal.SIGTERM
    now[0] += 0.1
    with pytest.raises(KeyboardInterrupt):
        request.note(signal.SIGINT)


def test_a_second_signal_ends_the_command_at_once(tmp_path: Path, monkeypatch) -> None:
    """Whatever the library does meanwhile; the line says that the last steps are lost."""
    now = [100.0]
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def busy(*arguments, stop, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop() == signal.SIGTERM
        now[0] += SAME_REQUEST_S + 1
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        pytest.fail("the second signal did not end it")

    monkeypatch.setattr(importlib.import_module("alexnet_pipeline.alexnet.train"), "train", busy)
    done = CliRunner().invoke(cli, ["train", str(tmp_path), "--run-dir", str(tmp_path)])
    assert done.exit_code == 128 + signal.SIGTERM
    assert "at once, without a new checkpoint; --resume auto continues from the last one" in done.stderr


def test_handlers_are_put_back() -> None:
    """However the block ends."""
    numbers = signals.NUMBERS
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(InterruptedRunError) as error, stopping() as stop:
        assert [signal.getsignal(number) for number in numbers] == [stop.note] * 3
        raise KeyboardInterrupt
    assert error.value.exit_code == 128 + signal.SIGINT
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize(
    "numbers", [(signal.SIGHUP,), (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]
)
def test_a_signal_ends_a_run_in_peace(raw_folders: Path, tmp_path: Path, numbers: tuple[signal.Signals, ...]) -> None:
    """Also when the terminal goes away, and when a second one follows: the exit code is the first one's."""
    command = [sys.executable, "-m", "alexnet_pipeline", "shard", str(raw_folders), str(tmp_path), "--shard-size", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while process.poll() is None and not list(tmp_path.rglob("*.tar")):
            time.sleep(0.01)
        for number in numbers:
            os.killpg(process.pid, number)
        assert process.stderr
        text = process.stderr.read()
    assert process.returncode == 128 + numbers[0]
    assert "Run the same command to resume." in text
    assert "Traceback" not in text
    assert not list(tmp_path.rglob(".part-*"))


def test_what_is_ignored_stays_so() -> None:
    """As SIGHUP is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
