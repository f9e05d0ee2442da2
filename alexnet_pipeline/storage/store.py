"""What a store is: places that are asked for status, ranges and lists, and the errors that it raises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Status(NamedTuple):
    """What a store says of an object.

    Attributes:
        size_bytes: its size.
        version: a number that changes with its content, from its ETag, or else its time; for a file on disk its
            modification time in nanoseconds.
    """

    size_bytes: int
    version: int


class MissingBucketError(OSError):
    """There is no such bucket or data set: nobody made it, or it has another name.

    It is no FileNotFoundError, by which callers know that an object is not there yet.
    """


class Store(Protocol):
    """A bucket, or whatever holds objects by keys; threads may share it. Errors name the place."""

    def status(self, key: str) -> Status:
        """Size and version of an object.

        Raises:
            OSError: there is none, or the store cannot be asked.
        """

    def read(self, key: str, offset: int, size_bytes: int) -> tuple[bytes, Status]:
        """A range, with the status of the object that it came from; fewer bytes at the end of the object.

        Raises:
            OSError: there is no such object, or it cannot be read.
        """

    def read_whole(self, key: str, most_bytes: int) -> bytes:
        """All of an object.

        Raises:
            OSError: there is no such object, it cannot be read, or it has more bytes.
        """

    def walk(self, key: str) -> Iterator[tuple[str, Status]]:
        """Every object below a key, as (name from there, status), in the order of their keys.

        What passes is tried again here, because callers cannot begin a list again.

        Raises:
            OSError: the store cannot be asked.
        """

    def names(self, key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of folders and of objects directly below a key, each sorted.

        Raises:
            OSError: the store cannot be asked.
        """


def version_of(text: str) -> int:
    """A version as a number of 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
