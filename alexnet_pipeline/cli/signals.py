"""Signals that ask a command to stop: Ctrl-C, SIGTERM, and SIGHUP, which comes when the terminal goes away."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from alexnet_pipeline.errors import InterruptedRunError

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Slurm's `--signal=B:USR1@120` asks so for a checkpoint before a job's time is over.
TRAINING_NUMBERS = (*NUMBERS, signal.SIGUSR1)
# Batch systems send a signal to each process and to the group, and people press Ctrl-C twice: within so many seconds a
# second signal is the same request.
SAME_REQUEST_S = 5.0

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """Remembers the first signal; a later one ends the command at once."""

    def __init__(self) -> None:
        self._number, self._first_s = 0, 0.0

    def __call__(self) -> int:
        """The number of the signal that asks to stop, 0 for none."""
        return self._number

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal."""
        if not self._number:
            self._number, self._first_s = number, time.monotonic()
        elif time.monotonic() - self._first_s > SAME_REQUEST_S:
            raise KeyboardInterrupt


@contextmanager
def interrupting() -> Iterator[None]:
    """Let the first signal raise, as long as the block lasts, and leave its end in peace from those that follow soon.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
        InterruptedRunError: on another signal.
    """
    request = StopRequest()

    def interrupt(number: int, frame: FrameType | None) -> None:
        first = not request()
        request.note(number)
        if first:
            raise KeyboardInterrupt if number == signal.SIGINT else InterruptedRunError(number, "Interrupted.")

    with _handling(interrupt):
        yield


@contextmanager
def noting(request: StopRequest) -> Iterator[None]:
    """Let a request note signals, as long as the block lasts."""
    with _handling(request.note, TRAINING_NUMBERS):
        yield


@contextmanager
def stopping() -> Iterator[StopRequest]:
    """Turn signals into a request to stop training, as long as the block lasts.

    Raises:
        InterruptedRunError: a second request came before the first was heeded.
    """
    request = StopRequest()
    try:
        with noting(request):
            yield request
    except KeyboardInterrupt as error:
        text = "Interrupted at once, without a new checkpoint; --resume auto continues from the last one."
        raise InterruptedRunError(request() or signal.SIGINT, text) from error


def ignore_signals() -> None:
    """Let the program end in peace, with the exit code that it has."""
    for number in TRAINING_NUMBERS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _handling(handler: Handler, numbers: Sequence[signal.Signals] = NUMBERS) -> Iterator[None]:
    """Handle signals, as long as the block lasts; what is ignored, as SIGHUP is under nohup, stays so."""
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number in numbers if before[number] != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
