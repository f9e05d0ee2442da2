"""Progress is seen: often enough in a log, and as a share of the whole on a terminal."""

import io
import itertools
import threading
from types import SimpleNamespace

import click
import pytest
from rich.console import Console

from alexnet_pipeline import progress
from alexnet_pipeline.cli import console
from alexnet_pipeline.cli.options import GLOBALS
from alexnet_pipeline.progress import Advance, Bar, Rate, Stage


def lines_of(period_s: float, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """The lines, each with its time, of a minute whose events come every so often."""
    now, lines = [0.0], []
    for module in (progress, console):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(console, "say", lambda line, err: lines.append((now[0], line)))
    plain = console.PlainProgress(quiet=False)
    plain.report(Stage("train", total=500, done=100, unit="steps"))
    for count in range(1, int(60 / period_s)):
        now[0] = count * period_s
        plain.report(Advance(100 + count, "loss 6.9"))
    return lines


@pytest.mark.parametrize("period_s", [0.2, 1.0, 5.0])
def test_a_log_gets_a_line_every_five_seconds(monkeypatch: pytest.MonkeyPatch, period_s: float) -> None:
    """At least; and not one for each event, where those are many."""
    lines = lines_of(period_s, monkeypatch)
    times = [time for time, _ in lines]
    assert max(after - before for before, after in itertools.pairwise(times)) <= 5
    assert times[-1] >= 54
    assert len(times) <= 16
    assert lines[0] == (0, "train: resuming, 100 of 500 steps done")


def test_a_log_gets_lines_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 12 s, then one of 7: how things stood, and since when; nothing once all is done."""
    now, lines = [0.0], []
    for module in (progress, console):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(console, "say", lambda line, err: lines.append((now[0], line)))
    plain = console.PlainProgress(quiet=False)
    plain.report(Stage("train", total=2, unit="steps"))
    for count in range(1, 60):
        now[0] = count * 0.5
        if now[0] in {12.0, 19.0}:
            plain.report(Advance(1 if now[0] == 12 else 2, "loss 6.9"))
        plain.beat()
    assert lines == [
        (4, "train: 0 of 2 steps, begun 4 s ago"),
        (8, "train: 0 of 2 steps, begun 8 s ago"),
        (12, "train: 1 of 2 steps, loss 6.9"),
        (16, "train: 1 of 2 steps, loss 6.9, 4 s ago"),
    ]


def test_lines_between_events_end_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread looks at the clock until then; without being asked for, or where all is quiet, there is none."""
    beats, beaten = [], threading.Event()
    monkeypatch.setattr(console, "BEAT_S", 0.01)
    monkeypatch.setattr(console.PlainProgress, "beat", lambda plain: beats.append(1) or beaten.set())
    for arguments, steady in (([], False), (["-q"], True), ([], True)):
        context = click.Context(click.Command("x"), obj={**GLOBALS, "quiet": bool(arguments), "no_progress": True})
        with console.reporting(context, steady=steady):
            threads = [thread for thread in threading.enumerate() if thread.name == "progress"]
            assert bool(threads) == (steady and not arguments)
            assert not threads or beaten.wait(60)
    threads[0].join(60)
    assert not threads[0].is_alive()


def test_slow_steps_have_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two digits, not 0 steps/s; the time left is that of what is left of the whole."""
    assert lines_of(5.0, monkeypatch)[-1][1] == "train: 111 of 500 steps, 0.2 steps/s, 32 min left, loss 6.9"


def test_rates_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their size."""
    rate = Rate()
    for per_second, text in ((0.0, ""), (0.123, "0.12 steps/s"), (9.94, "9.9 steps/s"), (1234.5, "1,234 steps/s")):
        monkeypatch.setattr(rate, "per_second", lambda value=per_second: value)
        assert rate.text("steps") == text


def test_a_resumed_bar_shows_the_whole() -> None:
    """Where it stands in it, from the first moment on."""
    bar, shown = Bar(), io.StringIO()
    bar._console, bar.shown = Console(file=shown, force_terminal=True, width=120), True
    bar.report(Stage("train", total=50, done=30, unit="steps"))
    bar.close()
    assert "30/50" in shown.getvalue()
