"""The only door to stdout and stderr: a lost terminal, pipe or log never ends or falsifies the work."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

STANDARD_DESCRIPTORS = (0, 1, 2)


def prepare_streams() -> None:
    """Make stdout and stderr safe to write to, at the start of the program.

    Descriptors that are closed are opened on the null device, or the next files that are opened would get their numbers
    and our lines. Characters that an encoding lacks are escaped.
    """
    for descriptor in STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the program's life
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str, *, err: bool = False) -> None:
    """Write a line to stdout, or to stderr; what cannot be written is dropped."""
    stream = sys.stderr if err else sys.stdout
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except (OSError, ValueError):  # ValueError: the stream is closed
        drop(stream)


def drop(stream: TextIO) -> None:
    """Let a stream that failed write to the null device, so that neither later lines nor its end fail again."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a descriptor
        os.dup2(nothing.fileno(), stream.fileno())
