"""Objects of a store, named by URLs: status, ranges, lists, and puts that create or replace.

Stores are reached through obstore, which takes credentials and endpoints from the usual environment variables.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import retry_passing

# The schemes of URLs that are taken; all others are refused.
SCHEMES = ("s3", "gs", "az", "http", "https")
# Those of stores that are only read.
READ_ONLY = ("http", "https")
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/{1,2}(.*)", re.DOTALL)
# Beginnings of the names of variables from which obstore takes credentials and endpoints.
VARIABLES = ("AWS_", "AZURE_", "GOOGLE_")
# Variables that allow requests without encryption, for stores in one's own network.
ALLOW_HTTP = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")
# How long a request is tried again by the client itself, after errors of the server and of the connection.
MAX_RETRIES = 6
RETRY_TIMEOUT_S = 60
REQUEST_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 5
# Objects in one answer to a list; stores give no more.
PAGE_OBJECTS = 1000
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.1, 5.0
# Where machines of a cloud are asked for credentials when there are none in the environment.
METADATA = "169.254.169.254"
# Longest part of a store's error that is shown.
ERROR_LETTERS = 300
# What stores call a bucket that is not there.
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
# Answers to a request that may be other ones when it is sent again: too slow, two writers at once, too many.
MAY_PASS = (408, 409, 425, 429)


class MissingBucketError(OSError):
    """There is no such bucket: nobody made it, or it has another name.

    It is no FileNotFoundError, by which callers know that an object is not there yet.
    """


class Status(NamedTuple):
    """What a store says of an object.

    Attributes:
        size_bytes: its size.
        version: a number that changes with its content, from its ETag, or else its time; for a file on disk its
            modification time in nanoseconds.
    """

    size_bytes: int
    version: int


@dataclass(frozen=True, slots=True, order=True)
class RemotePath:
    """The place of an object, or of all objects below a prefix; used like a `Path`.

    Attributes:
        root: scheme and bucket, like `s3://bucket`.
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
        bucket, _, key = rest.lstrip("/").partition("/")
        if not bucket:
            raise RefusedError(f"{url} names no bucket; expected {scheme}://BUCKET/PREFIX")
        if "@" in bucket or "?" in rest or "#" in rest:
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
        """The last part of the key, or the bucket."""
        return self.key.rpartition("/")[2] or self.root.rpartition("/")[2]

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
        try:
            return _status(self._call("head"))
        except FileNotFoundError:
            self._call("get")  # a HEAD has no body to say that it is the bucket that is missing
            raise

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
        return self._get({"range": (offset, offset + size_bytes)}) if size_bytes else (b"", self.status())

    def read_whole(self, most_bytes: int) -> bytes:
        """Read an object.

        Raises:
            OSError: there is no such object, it cannot be read, or it has more bytes.
        """
        return self._get({}, most_bytes)[0]

    def put(self, data: bytes | memoryview, *, create: bool) -> None:
        """Write an object at once.

        Raises:
            FileExistsError: `create`, and there is one.
            OSError: it cannot be written.
        """
        if self.scheme in READ_ONLY:
            raise OSError(errno.EROFS, f"{self.scheme}:// can only be read", str(self))
        self._call("put", data, mode="create" if create else "overwrite", use_multipart=False)

    def delete(self) -> None:
        """Remove an object; it is no error if there is none.

        Raises:
            OSError: the store refuses.
        """
        try:
            self._call("delete")
        except FileNotFoundError:
            return

    def walk(self) -> Iterator[tuple[str, Status]]:
        """Every object below this place, as (name from here, status), in the order of their keys.

        A list that is cut off goes on behind the last key that came, because callers cannot begin it again.

        Raises:
            OSError: the store cannot be asked.
        """
        pages, last = self._pages(None), None

        def next_page() -> Any:
            nonlocal pages
            try:
                return self._named(lambda: next(pages, None))
            except OSError:
                pages = self._pages(last)
                raise

        while page := retry_passing(next_page):
            for found in page:
                last = str(found["path"])
                name = last[len(self.key) :].lstrip("/")
                if name:
                    yield name, _status(found)

    def _pages(self, after: str | None) -> Iterator[Any]:
        obstore, store = _obstore(), _store(self.root)
        listed = obstore.list(store, prefix=self.key or None, offset=after, chunk_size=PAGE_OBJECTS)
        return iter(listed)

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of folders and of objects directly below this place, each sorted.

        Raises:
            OSError: the store cannot be asked.
        """
        listed = self._named(lambda: _obstore().list_with_delimiter(_store(self.root), self.key or None))
        folders = (str(prefix).rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"])
        objects = (str(found["path"]).rpartition("/")[2] for found in listed["objects"])
        return tuple(sorted(folders)), tuple(sorted(filter(None, objects)))

    def _get(self, options: dict[str, Any], most_bytes: int | None = None) -> tuple[bytes, Status]:
        def get() -> tuple[bytes, Status]:
            found = _obstore().get(_store(self.root), self.key, options=options)
            status = _status(found.meta)
            if most_bytes is not None and status.size_bytes > most_bytes:
                text = f"it has {status.size_bytes:,} bytes, expected at most {most_bytes:,}"
                raise OSError(errno.EFBIG, text, str(self))
            first, last = found.range
            data = bytes(found.bytes())
            if len(data) != last - first:
                raise OSError(errno.EIO, f"the store sent {len(data)} of {last - first} bytes", str(self))
            return data, status

        found: tuple[bytes, Status] = self._named(get)
        return found

    def _call(self, function: str, *arguments: Any, **options: Any) -> Any:
        return self._named(lambda: getattr(_obstore(), function)(_store(self.root), self.key, *arguments, **options))

    def _named(self, call: Any) -> Any:
        """Call a function of obstore, and turn its errors into those of files."""
        exceptions = _obstore().exceptions
        try:
            return call()
        except FileNotFoundError as error:
            raise self._missing(error) from error
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise FileExistsError(errno.EEXIST, "it is there already", str(self)) from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise self._denied(error) from error
        except exceptions.BaseError as error:
            # Lists, and errors in the middle of a body, come without a class of their own.
            answer = re.search(r"status code: (\d{3})", str(error))
            code = int(answer[1]) if answer else 0
            if any(word in str(error) for word in NO_BUCKET):
                raise self._missing(error) from error
            if METADATA in str(error):  # which does not pass
                raise PermissionError(errno.EACCES, _reason(error), str(self)) from error
            if code in {401, 403}:
                raise self._denied(error) from error
            passes = not 400 <= code < 500 or code in MAY_PASS
            raise OSError(errno.EREMOTEIO if passes else errno.EPROTO, _reason(error), str(self)) from error

    def _missing(self, error: Exception) -> OSError:
        if any(word in str(error) for word in NO_BUCKET):
            return MissingBucketError(errno.ENOENT, "no such bucket", str(self))
        return FileNotFoundError(errno.ENOENT, "no such object", str(self))

    def _denied(self, error: Exception) -> PermissionError:
        text = f"access denied by the store ({_reason(error)}); check the credentials in the environment"
        return PermissionError(errno.EACCES, text, str(self))


def is_url(place: str) -> bool:
    """Whether a place is a URL, also with one slash after the colon, as `Path` leaves it."""
    return URL.fullmatch(place) is not None


def _status(found: Any) -> Status:
    """The status of an object, from what a store says of it."""
    about = found["e_tag"] or f"{found['size']} {found['last_modified']}"
    digest = hashlib.blake2b(str(about).encode(), digest_size=8).digest()
    return Status(int(found["size"]), int.from_bytes(digest, "big", signed=True))


def _obstore() -> Any:
    try:
        import obstore  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError("object stores need obstore; pip install 'alexnet-pipeline[cloud]'") from error
    return obstore


def _store(root: str) -> Any:
    """The client of a bucket, which threads may share; a new one after a change of the environment."""
    return _client(root, frozenset(each for each in os.environ.items() if each[0].startswith(VARIABLES)))


@functools.lru_cache(maxsize=64)
def _client(root: str, environment: frozenset[tuple[str, str]]) -> Any:
    _obstore()
    from obstore.store import from_url  # noqa: PLC0415 - an extra

    return from_url(
        root,
        client_options={
            # These options replace all that obstore takes from the environment for its client.
            "allow_http": root.startswith("http://") or any(_is_set(name) for name in ALLOW_HTTP),
            "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        },
        retry_config={
            "max_retries": MAX_RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_TIMEOUT_S),
            "backoff": {
                "init_backoff": timedelta(seconds=FIRST_BACKOFF_S),
                "max_backoff": timedelta(seconds=LAST_BACKOFF_S),
                "base": 2,
            },
        },
    )


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in {"1", "true", "yes", "on"}


def _reason(error: Exception) -> str:
    """The cause that a store's error names, in one line, without the address, which may hold a signature."""
    text = str(error)
    if METADATA in text:
        return "no credentials were found in the environment, like AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    code = re.search(r"<Code>(\w+)</Code>", text)
    line = re.sub(r"<\?xml.*", "", text.partition("\n")[0].partition("Debug source")[0])
    line = re.sub(r"\b[a-z]+://[^\s\"]+", "...", line)
    cause = re.sub(r"^.*Error performing \w+ \S+ in \S+?(, after \d+ retries)?(,[^-]*)?\s+-\s+", r"", line).strip(" :")
    return f"{code[1]}: {cause}"[:ERROR_LETTERS] if code else cause[:ERROR_LETTERS]


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", url.partition("?")[0])
