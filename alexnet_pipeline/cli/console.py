"""Output of the command line: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from alexnet_pipeline.cli.options import INVOKED, settings
from alexnet_pipeline.cli.output import say
from alexnet_pipeline.progress import Advance, Bar, Event, Message, Rate, Report, Stage
from alexnet_pipeline.text import printable

# A parameter in a message of the library: `size`, `resume='auto'`.
PARAMETER = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")
# Seconds between the lines that report progress without a terminal, and between looks at the clock where events may be
# far apart: five at most from line to line.
PLAIN_PERIOD_S, BEAT_S = 4.0, 0.5


def size_text(size_bytes: float) -> str:
    """Bytes in the largest decimal unit that leaves a number of at least 1."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"


def time_text(seconds: float) -> str:
    """Seconds as `5 s`, `3 min` or `2 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def command_line() -> str:
    """The command as a person would type it again."""
    return shlex.join(["alexnet-pipeline", *sys.argv[1:]])


def note(ctx: click.Context, line: str) -> None:
    """Print a line on stderr, unless quiet."""
    if not settings(ctx)["quiet"]:
        say(line, err=True)


def next_steps(ctx: click.Context, *commands: Sequence[object]) -> None:
    """Print on stderr what a person may want to type next, unless quiet or for a program.

    Args:
        ctx: context of the command.
        commands: the words of each, without the program's name.
    """
    if settings(ctx)["as_json"]:
        return
    for number, words in enumerate(commands):
        note(ctx, f"{'     ' if number else 'next:'} {shlex.join(['alexnet-pipeline', *map(str, words)])}")


def warn(line: str) -> None:
    """Print a warning on stderr, even when quiet."""
    say(f"warning: {printable(line)}", err=True)


class LoggedWarnings(logging.Handler):
    """Prints what the library logs as warnings of the command line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        warn(record.getMessage())


def with_flags(text: str, ctx: click.Context) -> str:
    """Replace the parameters of the invoked command by its flags in a message of the library."""
    command: click.Command = ctx.meta.get(INVOKED, ctx.command)
    parameters = {parameter.name: parameter for parameter in command.params}

    def flag(match: re.Match[str]) -> str:
        parameter = parameters.get(match[1])
        if isinstance(parameter, click.Argument):
            return str(parameter.human_readable_name).upper()
        if not isinstance(parameter, click.Option):
            return match[0]
        value = (match[2] or "").strip("'\"")
        if parameter.is_flag:
            return parameter.secondary_opts[0] if value == "False" and parameter.secondary_opts else parameter.opts[0]
        return f"{parameter.opts[0]} {value}".strip()

    return PARAMETER.sub(flag, text)


def print_result(ctx: click.Context, result: Any, lines: Sequence[str]) -> None:
    """Print the result on stdout, as JSON if asked for."""
    if settings(ctx)["as_json"]:
        say(json.dumps(result, default=_plain, indent=1))
    else:
        say("\n".join(lines))


@contextmanager
def reporting(ctx: click.Context, *, plain: bool = False, steady: bool = False) -> Iterator[Report]:
    """Report progress according to the global options: a bar on a terminal, otherwise occasional lines.

    Args:
        ctx: context of the command.
        plain: whether to show no bar even on a terminal, for many short stages.
        steady: whether lines come between events, too, which may be minutes apart; for work that does not fork, since
            a thread prints them.
    """
    chosen = settings(ctx)
    bar = None if chosen["quiet"] or chosen["no_progress"] or plain else Bar()
    lines = PlainProgress(quiet=chosen["quiet"])
    try:
        shown = bar.report if bar and bar.shown else lines.report
        if steady and shown == lines.report:
            lines.start()

        def report(event: Event) -> None:
            if isinstance(event, Message):
                event = dataclasses.replace(event, text=with_flags(event.text, ctx))
            shown(event)

        yield report
    finally:
        lines.close()
        if bar:
            bar.close()


class PlainProgress:
    """Progress as lines on stderr, one every `PLAIN_PERIOD_S` seconds."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage, self._rate = Stage(""), Rate()
        self._last = Advance(0)
        self._happened_s = self._told_s = time.monotonic()
        self._lock, self._closed = threading.Lock(), threading.Event()

    def start(self) -> None:
        """Print lines between events, too, until `close`."""
        if not self._quiet:
            threading.Thread(target=self._beat_on, name="progress", daemon=True).start()

    def close(self) -> None:
        """Print no more lines of its own accord."""
        self._closed.set()

    def report(self, event: Event) -> None:
        """Print an event, if a line is due."""
        with self._lock:
            self._report(event)

    def beat(self) -> None:
        """Print how things stood at the last event, and when that was, if a line is due."""
        with self._lock:
            ago = time_text(time.monotonic() - self._happened_s)
            if self._stage.total is not None and self._last.done < self._stage.total:
                self._tell(f"{ago} ago" if self._last.done > self._stage.done else f"begun {ago} ago")

    def _beat_on(self) -> None:
        while not self._closed.wait(BEAT_S):
            self.beat()

    def _report(self, event: Event) -> None:
        if isinstance(event, Message):
            if event.warning:
                warn(event.text)
            elif not self._quiet:
                say(printable(event.text), err=True)
        elif isinstance(event, Stage):
            self._begin(event)
        elif not self._quiet:
            self._advance(event)

    def _begin(self, stage: Stage) -> None:
        self._stage, self._rate, self._last = stage, Rate(), Advance(stage.done)
        self._happened_s = self._told_s = time.monotonic()
        if not self._quiet and stage.total is None:
            say(stage.name, err=True)
        elif not self._quiet and stage.done:
            say(f"{stage.name}: resuming, {stage.done:,} of {stage.total:,} {stage.unit} done", err=True)

    def _advance(self, event: Advance) -> None:
        self._rate.add(event.done, self._stage.done)
        self._last, self._happened_s = event, time.monotonic()
        self._tell()

    def _tell(self, when: str = "") -> None:
        event, now, rate = self._last, time.monotonic(), self._rate.per_second()
        if now - self._told_s < PLAIN_PERIOD_S:
            return
        self._told_s = now
        total = self._stage.total or 0
        parts = [f"{event.done:,} of {total:,} {self._stage.unit}"]
        if rate:
            parts += [self._rate.text(self._stage.unit), f"{time_text((total - event.done) / rate)} left"]
        parts += [part for part in (event.detail, when) if part]
        say(f"{self._stage.name}: {', '.join(parts)}", err=True)


def _plain(value: Any) -> Any:
    """Convert a result for JSON: records to objects, anything else to text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
