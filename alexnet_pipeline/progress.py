"""Progress events of long-running work, and the progress bar for terminals and notebooks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from alexnet_pipeline.text import printable

LOG = logging.getLogger("alexnet_pipeline")
# What a terminal raises that is lost, closed, or cannot show a character.
LOST = (OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Stage:
    """The start of a stage of the work, and of a new count.

    Attributes:
        name: name of the stage, like `shard`.
        total: number of units, None if it is unknown.
        done: units that an earlier run completed.
        unit: what is counted, in the plural.
    """

    name: str
    total: int | None = None
    done: int = 0
    unit: str = "images"


@dataclass(frozen=True, slots=True)
class Advance:
    """Progress within the current stage.

    Attributes:
        done: units completed so far, including those of an earlier run.
        detail: text to show beside the count, like `3 rejected`.
    """

    done: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A line of text for the user.

    Attributes:
        text: the line.
        warning: whether it is a warning.
    """

    text: str
    warning: bool = False


Event = Stage | Advance | Message
Report = Callable[[Event], None]
# Type of the parameter `progress`: True for a progress bar, False for none, or a function to call with each event.
Progress = bool | Report


def silent(event: Event) -> None:
    """Ignore an event."""


def warn_to(report: Report) -> Callable[[str], None]:
    """Return a function that reports a line as a warning."""
    return lambda text: report(Message(text, warning=True))


@contextmanager
def reporting(progress: Progress) -> Iterator[Report]:
    """Give the function to call with each event, for a value of the parameter `progress`.

    True shows a bar on a terminal or in a notebook. Where no bar is shown, warnings are logged.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    bar = Bar() if progress else None
    try:
        yield bar.report if bar else _log_warnings
    finally:
        if bar:
            bar.close()


def _log_warnings(event: Event) -> None:
    if isinstance(event, Message) and event.warning:
        LOG.warning("%s", printable(event.text))


class Rate:
    """A rate in units per second, measured from the first finished unit on, which excludes start-up."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def add(self, done: int, begun_at: int) -> None:
        """Record that `done` units are finished, `begun_at` of them by an earlier run."""
        self._last = (time.monotonic(), done)
        if self._first is None and done > begun_at:
            self._first = self._last

    def per_second(self) -> float:
        """The rate, or 0 while it is unknown."""
        if self._first is None or self._last[1] == self._first[1]:
            return 0.0
        return (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])

    def text(self, unit: str) -> str:
        """Like `1,200 images/s` or `0.31 steps/s`; empty while it is unknown."""
        rate = self.per_second()
        return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s" if rate else ""


class Bar:
    """A progress bar (by rich) on a terminal or in a notebook; elsewhere it only logs warnings.

    A terminal that goes away costs the bar, not the work.
    """

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - takes 60 ms, which `import alexnet_pipeline` saves

        self._console = Console(stderr=True)
        self.shown = self._console.is_terminal or self._console.is_jupyter
        self._display: Any = None
        self._task: Any = None
        self._stage = Stage("")
        self._rate = Rate()

    def report(self, event: Event) -> None:
        """Show an event."""
        if not self.shown:
            _log_warnings(event)
            return
        try:
            self._show(event)
        except LOST:
            self.shown, self._display = False, None

    def close(self) -> None:
        """Stop the bar."""
        display, self._display = self._display, None
        if display:
            with suppress(*LOST):
                display.stop()

    def _show(self, event: Event) -> None:
        if isinstance(event, Stage):
            self._begin(event)
        elif isinstance(event, Advance):
            self._rate.add(event.done, self._stage.done)
            pace = self._rate.text(self._stage.unit)
            if self._display:
                self._display.update(self._task, completed=event.done, pace=pace, detail=event.detail, refresh=True)
        else:
            text = printable(f"warning: {event.text}" if event.warning else event.text)
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _begin(self, stage: Stage) -> None:
        from rich.progress import (  # noqa: PLC0415 - as above
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.close()
        self._stage, self._rate = stage, Rate()
        counted = [MofNCompleteColumn(), TimeRemainingColumn()] if stage.total is not None else []
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *counted,
            TextColumn("{task.fields[pace]}"),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            auto_refresh=stage.total is None,
        )
        self._task = self._display.add_task(stage.name, total=stage.total, completed=stage.done, pace="", detail="")
        self._display.start()
