"""Objects of a store, named by URLs and used like paths."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.storage.hub import SCHEME as HUB
from alexnet_pipeline.storage.hub import Hub, repository_of
from alexnet_pipeline.storage.objects import Bucket
from alexnet_pipeline.storage.store import Status, Store

# The schemes of URLs that are taken; all others are refused.
SCHEMES = ("s3", "gs", "az", "hf", "http", "https")
# Those of stores that are only read.
READ_ONLY = ("hf", "http", "https")
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/{1,2}(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class RemotePath:
    """The place of an object, or of all objects below a prefix; used like a `Path`.

    Attributes:
        root: scheme and bucket, like `s3://bucket`, or scheme and data set, like `hf://datasets/owner/name@revision`.
        key: what follows, without slashes at its ends.
    """

    root: str
    key: str = ""

    @classmethod
    def of_url(cls, url: str) -> RemotePath:
        """Take a URL apart.

        Raises:
            RefusedError: its scheme is not one of `SCHEMES`, it lacks a bucket, or it holds credentials.
        """
        match = URL.fullmatch(url)
        assert match is not None, "callers ask `is_url` first"
        scheme, rest = match[1].lower(), match[2]
        if scheme not in SCHEMES:
            raise RefusedError(
                f"{_without_secrets(url)}: {scheme}:// is not supported; expected a path or one of "
                f"{', '.join(f'{each}://' for each in SCHEMES)}"
            )
        if scheme == HUB:
            bucket, key = repository_of(rest.lstrip("/"))
        else:
            bucket, _, key = rest.lstrip("/").partition("/")
        if not bucket:
            raise RefusedError(f"{url} names no bucket; expected {scheme}://BUCKET/PREFIX")
        if ("@" in bucket and scheme != HUB) or "?" in rest or "#" in rest:
            raise RefusedError(
                f"{_without_secrets(url)} holds more than a place; give credentials by environment variables"
            )
        parts = [part for part in key.split("/") if part]
        if any(part in {".", ".."} for part in parts):
            raise RefusedError(f"{url} holds . or ..; name the place itself")
        return cls(f"{scheme}://{bucket}", "/".join(parts))

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.root, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """The last part of the key, or the bucket or data set."""
        return self.key.rpartition("/")[2] or self.root.partition("@")[0].rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The place above; a bucket is its own parent."""
        return RemotePath(self.root, self.key.rpartition("/")[0])

    @property
    def scheme(self) -> str:
        """The scheme of the URL."""
        return self.root.partition(":")[0]

    def is_relative_to(self, other: object) -> bool:
        """Whether this place is another one, or lies below it."""
        if not isinstance(other, RemotePath) or self.root != other.root:
            return False
        return not other.key or self.key == other.key or self.key.startswith(f"{other.key}/")

    def relative_to(self, other: RemotePath) -> str:
        """The names that lead here from a place above."""
        return self.key[len(other.key) :].strip("/")

    def status(self) -> Status:
        """Ask for an object's size and version.

        Raises:
            OSError: there is no such object, or the store cannot be asked.
        """
        return self._store.status(self.key)

    def exists(self) -> bool:
        """Whether there is such an object.

        Raises:
            OSError: there is no such bucket, or the store cannot be asked.
        """
        try:
            self.status()
        except FileNotFoundError:
            return False
        return True

    def read(self, offset: int, size_bytes: int) -> tuple[bytes, Status]:
        """Read a range, with the status of the object that it came from; fewer bytes at the end of the object.

        Raises:
            OSError: there is no such object, or it cannot be read.
        """
        return self._store.read(self.key, offset, size_bytes)

    def read_whole(self, most_bytes: int) -> bytes:
        """Read an object.

        Raises:
            OSError: there is no such object, it cannot be read, or it has more bytes.
        """
        return self._store.read_whole(self.key, most_bytes)

    def put(self, data: bytes | memoryview, *, create: bool) -> None:
        """Write an object at once.

        Raises:
            FileExistsError: `create`, and there is one.
            OSError: it cannot be written.
        """
        self._writable.put(self.key, data, create=create)

    def delete(self) -> None:
        """Remove an object; it is no error if there is none.

        Raises:
            OSError: the store refuses.
        """
        self._writable.delete(self.key)

    def walk(self) -> Iterator[tuple[str, Status]]:
        """Every object below this place, as (name from here, status), in the order of their keys.

        What passes is tried again here, because callers cannot begin a list again.

        Raises:
            OSError: the store cannot be asked.
        """
        return self._store.walk(self.key)

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of folders and of objects directly below this place, each sorted.

        Raises:
            OSError: the store cannot be asked.
        """
        return self._store.names(self.key)

    @property
    def _store(self) -> Store:
        return Hub(self.root) if self.scheme == HUB else Bucket(self.root)

    @property
    def _writable(self) -> Bucket:
        if self.scheme in READ_ONLY:
            raise OSError(errno.EROFS, f"{self.scheme}:// can only be read", str(self))
        return Bucket(self.root)


def is_url(place: str) -> bool:
    """Whether a place is a URL, also with one slash after the colon, as `Path` leaves it."""
    return URL.fullmatch(place) is not None


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", url.partition("?")[0])
