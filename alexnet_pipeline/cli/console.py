"""Events of a run in, what a person at a terminal or in a log sees out: on stderr, stdout stays for data."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import click

# Without a terminal one line in so many seconds is enough, and a log stays readable.
PLAIN_PERIOD_S = 30.0


def printable(text: str) -> str:
    """A name from the outside without control characters or undecodable bytes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


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


def note(ctx: click.Context, line: str) -> None:
    """A line on stderr, unless quiet."""
    if not ctx.find_root().params["quiet"]:
        click.echo(line, err=True)


def print_result(ctx: click.Context, result: Any, lines: Sequence[str]) -> None:
    """The result on stdout, as JSON if asked for."""
    if ctx.find_root().params["as_json"]:
        click.echo(json.dumps(result, default=dataclasses.asdict, indent=1))
    else:
        click.echo("\n".join(lines))


def rate_text(name: str, share: float, interval: Sequence[float]) -> str:
    """An error rate in percent beside its 95 % interval."""
    return f"{name} error {100 * share:.1f} % ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


class _Reporter:
    """What both kinds of progress share: whether there is a bar, and lines that do not tear it."""

    def __init__(self, *, quiet: bool, plain: bool) -> None:
        self._quiet = quiet
        self._rich = not quiet and not plain and sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def warn(self, line: str) -> None:
        """Something a person should know, even when quiet."""
        self._line(f"warning: {printable(line)}")

    def _line(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text, err=True)


class ConsoleReporter(_Reporter):
    """Shows how a run goes: a bar on a terminal, else a line now and then.

    Args:
        what: goes before the numbers.
        quiet: only warnings.
        plain: no bar, even on a terminal.
    """

    def __init__(self, what: str, *, quiet: bool, plain: bool) -> None:
        super().__init__(quiet=quiet, plain=plain)
        self._what = what
        self._images, self._started, self._last = 0, 0.0, 0.0

    def begin(self, images: int, resumed_images: int) -> None:
        """A run begins."""
        self._images, self._started = images, time.monotonic()
        self._last = self._started
        if resumed_images and not self._quiet:
            self._line(f"{self._what}: {resumed_images:,} images were done before")
        if self._rich and images:
            self._start_bar(images)

    def progress(self, images: int, rejects: int) -> None:
        """So many images are worked on."""
        now = time.monotonic()
        rate = images / max(1e-9, now - self._started)
        if self._bar:
            self._bar.update(self._task, completed=images, rejects=rejects, rate=f"{rate:,.0f}", refresh=True)
        elif not self._quiet and (now - self._last >= PLAIN_PERIOD_S):
            self._last = now
            left = time_text((self._images - images) / max(1e-9, rate))
            self._line(
                f"{self._what}: {images:,} of {self._images:,} images, {rate:,.0f} images/s, {left} left, "
                f"{rejects} rejected"
            )

    def _start_bar(self, images: int) -> None:
        from rich.console import Console  # noqa: PLC0415 - 60 ms that `--help` need not wait for
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} images/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rejects]} rejected"),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._bar.add_task(self._what, total=images, rate="0", rejects=0)
        self._bar.start()


def shard_reporter(ctx: click.Context, what: str = "shard", *, plain: bool = False) -> ConsoleReporter:
    """A reporter as the global options ask for."""
    settings = ctx.find_root().params
    return ConsoleReporter(what, quiet=settings["quiet"], plain=plain or settings["no_progress"])


def training_reporter(ctx: click.Context, *, plain: bool = False) -> TrainingReporter:
    """A reporter of training as the global options ask for."""
    settings = ctx.find_root().params
    return TrainingReporter(quiet=settings["quiet"], plain=plain or settings["no_progress"])


class TrainingReporter(_Reporter):
    """Shows how training goes: a bar on a terminal, else a line now and then, and a line for each validation.

    Args:
        quiet: only warnings.
        plain: no bar, even on a terminal.
    """

    def __init__(self, *, quiet: bool, plain: bool) -> None:
        super().__init__(quiet=quiet, plain=plain)
        self._steps, self._first, self._started, self._last = 0, 0, 0.0, 0.0

    def begin(self, steps: int, done: int, where: str) -> None:
        """A run begins or goes on."""
        self._steps, self._first = steps, done
        self._started = self._last = time.monotonic()
        if not self._quiet:
            self._line(f"train: {f'step {done:,} of ' if done else ''}{steps:,} steps, {where}")
        if self._rich:
            self._start_bar(done)

    def step(self, line: dict[str, Any]) -> None:
        """Metrics of some steps."""
        now = time.monotonic()
        told = (
            f"loss {line['loss']:.3f}, {line['images_per_s']:,.0f} images/s, "
            f"{100 * line['input_wait']:.0f} % waiting for input"
        )
        if self._bar:
            self._bar.update(self._task, completed=line["step"], told=told, refresh=True)
        elif not self._quiet and now - self._last >= PLAIN_PERIOD_S:
            self._last = now
            done = line["step"] - self._first
            left = time_text((now - self._started) / max(1, done) * (self._steps - line["step"]))
            self._line(f"train: step {line['step']:,} of {self._steps:,}, {told}, {left} left")

    def evaluated(self, line: dict[str, Any]) -> None:
        """Errors on the validation set."""
        if not self._quiet:
            errors = rate_text("top-1", line["top1_error"], line["top1_interval"])
            self._line(f"val: step {line['step']:,}, {line['protocol']}, {line['total_images']:,} images: {errors}")

    def _start_bar(self, done: int) -> None:
        from rich.console import Console  # noqa: PLC0415 - as above
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        self._bar = Progress(
            TextColumn("train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._bar.add_task("train", total=self._steps, completed=done, told="")
        self._bar.start()
