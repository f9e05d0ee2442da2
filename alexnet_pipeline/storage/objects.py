"""Buckets of object stores through obstore, which takes credentials and endpoints from the usual variables."""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import retry_passing
from alexnet_pipeline.storage.store import MissingBucketError, Status, version_of

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


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket.

    Attributes:
        root: scheme and bucket, like `s3://bucket`.
    """

    root: str

    def status(self, key: str) -> Status:
        """Size and version of an object; raises what `Store` says, like all of these."""
        try:
            return _status(self._call("head", key))
        except FileNotFoundError:
            self._call("get", key)  # a HEAD has no body to say that it is the bucket that is missing
            raise

    def read(self, key: str, offset: int, size_bytes: int) -> tuple[bytes, Status]:
        """A range, with the status of the object that it came from."""
        return self._get(key, {"range": (offset, offset + size_bytes)}) if size_bytes else (b"", self.status(key))

    def read_whole(self, key: str, most_bytes: int) -> bytes:
        """All of an object."""
        return self._get(key, {}, most_bytes)[0]

    def put(self, key: str, data: bytes | memoryview, *, create: bool) -> None:
        """Write an object at once.

        Raises:
            FileExistsError: `create`, and there is one.
            OSError: it cannot be written.
        """
        self._call("put", key, data, mode="create" if create else "overwrite", use_multipart=False)

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none.

        Raises:
            OSError: the store refuses.
        """
        try:
            self._call("delete", key)
        except FileNotFoundError:
            return

    def walk(self, key: str) -> Iterator[tuple[str, Status]]:
        """Every object below a key; a list that is cut off goes on behind the last key that came."""
        pages, last = self._pages(key, None), None

        def next_page() -> Any:
            nonlocal pages
            try:
                return self._named(key, lambda: next(pages, None))
            except OSError:
                pages = self._pages(key, last)
                raise

        while page := retry_passing(next_page):
            for found in page:
                last = str(found["path"])
                name = last[len(key) :].lstrip("/")
                if name:
                    yield name, _status(found)

    def names(self, key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of folders and of objects directly below a key."""
        listed = self._named(key, lambda: _obstore().list_with_delimiter(_client_of(self.root), key or None))
        folders = (str(prefix).rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"])
        objects = (str(found["path"]).rpartition("/")[2] for found in listed["objects"])
        return tuple(sorted(folders)), tuple(sorted(filter(None, objects)))

    def _pages(self, key: str, after: str | None) -> Iterator[Any]:
        return iter(_obstore().list(_client_of(self.root), prefix=key or None, offset=after, chunk_size=PAGE_OBJECTS))

    def _get(self, key: str, options: dict[str, Any], most_bytes: int | None = None) -> tuple[bytes, Status]:
        def get() -> tuple[bytes, Status]:
            found = _obstore().get(_client_of(self.root), key, options=options)
            status = _status(found.meta)
            if most_bytes is not None and status.size_bytes > most_bytes:
                text = f"it has {status.size_bytes:,} bytes, expected at most {most_bytes:,}"
                raise OSError(errno.EFBIG, text, self._place(key))
            first, last = found.range
            data = bytes(found.bytes())
            if len(data) != last - first:
                raise OSError(errno.EIO, f"the store sent {len(data)} of {last - first} bytes", self._place(key))
            return data, status

        found: tuple[bytes, Status] = self._named(key, get)
        return found

    def _call(self, function: str, key: str, *arguments: Any, **options: Any) -> Any:
        return self._named(
            key, lambda: getattr(_obstore(), function)(_client_of(self.root), key, *arguments, **options)
        )

    def _named(self, key: str, call: Any) -> Any:
        """Call a function of obstore, and turn its errors into those of files."""
        exceptions = _obstore().exceptions
        try:
            return call()
        except FileNotFoundError as error:
            raise self._missing(key, error) from error
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise FileExistsError(errno.EEXIST, "it is there already", self._place(key)) from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise self._denied(key, error) from error
        except exceptions.BaseError as error:
            # Lists, and errors in the middle of a body, come without a class of their own.
            answer = re.search(r"status code: (\d{3})", str(error))
            code = int(answer[1]) if answer else 0
            if any(word in str(error) for word in NO_BUCKET):
                raise self._missing(key, error) from error
            if METADATA in str(error):  # which does not pass
                raise PermissionError(errno.EACCES, _reason(error), self._place(key)) from error
            if code in {401, 403}:
                raise self._denied(key, error) from error
            passes = not 400 <= code < 500 or code in MAY_PASS
            raise OSError(errno.EREMOTEIO if passes else errno.EPROTO, _reason(error), self._place(key)) from error

    def _missing(self, key: str, error: Exception) -> OSError:
        if any(word in str(error) for word in NO_BUCKET):
            return MissingBucketError(errno.ENOENT, "no such bucket", self._place(key))
        return FileNotFoundError(errno.ENOENT, "no such object", self._place(key))

    def _denied(self, key: str, error: Exception) -> PermissionError:
        text = f"access denied by the store ({_reason(error)}); check the credentials in the environment"
        return PermissionError(errno.EACCES, text, self._place(key))

    def _place(self, key: str) -> str:
        return f"{self.root}/{key}" if key else self.root


def _status(found: Any) -> Status:
    """The status of an object, from what a store says of it."""
    about = found["e_tag"] or f"{found['size']} {found['last_modified']}"
    return Status(int(found["size"]), version_of(str(about)))


def _obstore() -> Any:
    try:
        import obstore  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError("object stores need obstore; pip install 'alexnet-pipeline[cloud]'") from error
    return obstore


def _client_of(root: str) -> Any:
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
