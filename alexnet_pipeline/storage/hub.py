"""Data sets on the Hugging Face Hub, read in place through huggingface_hub; the token is the library's own.

A branch is resolved to a commit once in a process, so that all reads are of one state. Where a file's bytes lie is
asked for once, too: the Hub answers with a signed address elsewhere, which serves ranges without the Hub.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import retry_passing
from alexnet_pipeline.storage.store import MissingBucketError, Status, version_of

Result = TypeVar("Result")

SCHEME = "hf"
# OWNER/NAME, @REVISION where a reference like refs/convert/parquet or refs/pr/1 has slashes, and what follows.
DATA_SET = re.compile(r"(datasets/[^/@]+/[^/@]+(?:@(?:refs/(?:convert|pr)/[^/@]+|[^/@]+))?)(?:/(.*))?", re.DOTALL)
# Beginning of the names of variables that say where the Hub is and who asks.
VARIABLES = "HF_"
ENDPOINT = "https://huggingface.co"
DEFAULT_REVISION = "main"
REQUEST_TIMEOUT_S = 60
# Answers to a signed address that is no longer valid; it is asked for again, once.
EXPIRED = (400, 401, 403, 404, 410)
# How often a request is sent again to a Hub that asks to wait, which counts requests by five minutes.
MAX_WAITS = 6
LONGEST_WAIT_S = 310.0
TOO_MANY = 429
# Like `RateLimit: "resolvers";r=0;t=123`, where t is the seconds until more are allowed.
RATE_LIMIT = re.compile(r";\s*t=(\d+)")
ERROR_LETTERS = 300


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a data set at a commit.

    Attributes:
        status: its size, and a version that follows from its content alone.
        address: where its bytes are; signed, unless they are on the Hub itself.
    """

    status: Status
    address: str


@dataclass(slots=True)
class _Known:
    """What this process knows of a data set.

    Attributes:
        commit: the commit that its revision named at first; empty before it was asked for.
        files: its files by key.
        lock: held while the commit is asked for, so that all threads get one.
    """

    commit: str = ""
    files: dict[str, _File] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Hub:
    """A data set at a revision.

    Attributes:
        root: like `hf://datasets/owner/name` or `hf://datasets/owner/name@revision`.
    """

    root: str

    @property
    def repository(self) -> str:
        """Its owner and name."""
        return self.root.partition("@")[0].removeprefix(f"{SCHEME}://datasets/")

    @property
    def revision(self) -> str:
        """Its branch, tag or commit."""
        return unquote(self.root.partition("@")[2]) or DEFAULT_REVISION

    def status(self, key: str) -> Status:
        """Size and version of a file; raises what `Store` says, like all of these."""
        return self._file(key).status

    def read(self, key: str, offset: int, size_bytes: int) -> tuple[bytes, Status]:
        """A range, with the status of the file that it came from."""
        file = self._file(key)
        end = min(offset + size_bytes, file.status.size_bytes)
        if offset >= end:
            return b"", file.status
        data = self._named(key, lambda: self._range(key, offset, end))
        if len(data) != end - offset:
            raise OSError(errno.EIO, f"the Hub sent {len(data)} of {end - offset} bytes", self._place(key))
        return data, file.status

    def read_whole(self, key: str, most_bytes: int) -> bytes:
        """All of a file."""
        size_bytes = self.status(key).size_bytes
        if size_bytes > most_bytes:
            text = f"it has {size_bytes:,} bytes, expected at most {most_bytes:,}"
            raise OSError(errno.EFBIG, text, self._place(key))
        return self.read(key, 0, size_bytes)[0]

    def walk(self, key: str) -> Iterator[tuple[str, Status]]:
        """Every file below a key."""
        entries = retry_passing(lambda: self._tree(key, recursive=True))
        for entry in sorted(entries, key=lambda entry: str(entry.path)):
            if hasattr(entry, "blob_id"):  # a file
                version = version_of(entry.lfs.sha256 if entry.lfs else entry.blob_id)
                yield entry.path[len(key) :].lstrip("/"), Status(entry.size, version)

    def names(self, key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of folders and of files directly below a key."""
        found: tuple[list[str], list[str]] = [], []
        for entry in self._tree(key, recursive=False):
            found[hasattr(entry, "blob_id")].append(entry.path.rpartition("/")[2])
        return tuple(sorted(found[0])), tuple(sorted(found[1]))

    def _tree(self, key: str, *, recursive: bool) -> list[Any]:
        commit = self._commit()
        how = {"recursive": recursive, "revision": commit, "repo_type": "dataset"}
        try:
            return self._named(key, lambda: list(_api().list_repo_tree(self.repository, key or None, **how)))
        except FileNotFoundError:  # there is nothing with this prefix
            return []

    def _commit(self) -> str:
        known = _known(self.root, _environment())
        with known.lock:
            if not known.commit:
                about = self._named(
                    "", lambda: _api().dataset_info(self.repository, revision=self.revision, timeout=REQUEST_TIMEOUT_S)
                )
                known.commit = about.sha
            return known.commit

    def _file(self, key: str, *, anew: bool = False) -> _File:
        commit, known = self._commit(), _known(self.root, _environment())
        if anew or key not in known.files:
            known.files[key] = self._named(key, lambda: self._ask(key, commit))
        return known.files[key]

    def _ask(self, key: str, commit: str) -> _File:
        hub = _hub()
        url = hub.hf_hub_url(self.repository, key, repo_type="dataset", revision=commit, endpoint=_endpoint())
        about = hub.get_hf_file_metadata(url, timeout=REQUEST_TIMEOUT_S)
        if about.etag is None or about.size is None:
            raise OSError(errno.EPROTO, "the Hub does not say its size and version", self._place(key))
        return _File(Status(about.size, version_of(about.etag)), about.location)

    def _range(self, key: str, offset: int, end: int) -> bytes:
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # noqa: PLC0415 - an extra

        for anew in (False, True):
            address = self._file(key, anew=anew).address
            headers = {"Range": f"bytes={offset}-{end - 1}", "Accept-Encoding": "identity"}
            if _origin(address) == _origin(_endpoint()):  # nobody else gets the token
                headers = build_hf_headers() | headers
            answer = get_session().get(address, headers=headers, timeout=REQUEST_TIMEOUT_S)
            if answer.status_code not in EXPIRED:
                break
        hf_raise_for_status(answer)
        whole = answer.status_code == 200
        return bytes(answer.content[offset:end] if whole else answer.content)

    def _named(self, key: str, call: Callable[[], Result]) -> Result:
        """Call the library, wait where the Hub asks for it, and turn errors into those of files."""
        _hub()
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - an extra

        for tries in range(MAX_WAITS):
            try:
                return call()
            except HfHubHTTPError as error:
                if error.response.status_code != TOO_MANY or tries == MAX_WAITS - 1:
                    raise self._error(key, error) from error
                time.sleep(_wait_s(error.response.headers, tries))
            except Exception as error:
                found = self._error(key, error)
                if found is error:
                    raise
                raise found from error
        raise AssertionError("the last try returns or raises")

    def _error(self, key: str, error: Exception) -> Exception:
        """The error of a file for one of the library; what is none of these is returned as it is."""
        from huggingface_hub import errors  # noqa: PLC0415 - an extra

        answer = getattr(error, "response", None)
        code = 0 if answer is None else answer.status_code
        place, page = self._place(key), f"{_endpoint()}/datasets/{self.repository}"
        denied = f"access denied by the Hub; accept the terms on {page}, and set HF_TOKEN"
        missing = "no such data set, or one that is private; check its name, or set HF_TOKEN"
        found: Exception = error
        if isinstance(error, errors.GatedRepoError):
            found = PermissionError(errno.EACCES, denied, place)
        elif isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
            found = MissingBucketError(errno.ENOENT, missing, place)
        elif isinstance(error, errors.RevisionNotFoundError):
            found = MissingBucketError(errno.ENOENT, f"the data set has no revision {self.revision!r}", place)
        elif isinstance(error, errors.EntryNotFoundError) or code == 404:
            found = FileNotFoundError(errno.ENOENT, "no such file in the data set", place)
        elif isinstance(error, errors.OfflineModeIsEnabled):
            found = OSError(
                errno.ENETDOWN, "HF_HUB_OFFLINE is set; unset it, or choose a source on this machine", place
            )
        elif code == 401:
            found = PermissionError(errno.EACCES, "the Hub does not know the token; check HF_TOKEN", place)
        elif code == 403:
            found = PermissionError(errno.EACCES, denied, place)
        elif code:
            passes = code >= 500 or code in {408, TOO_MANY}
            found = OSError(errno.EREMOTEIO if passes else errno.EPROTO, f"the Hub answered {code}", place)
        elif isinstance(error, ValueError | KeyError | TypeError):
            found = OSError(errno.EPROTO, f"the answer of {_endpoint()} is not the Hub's ({_reason(error)})", place)
        elif isinstance(error, errors.HTTPError) or (isinstance(error, OSError) and error.filename is None):
            found = OSError(errno.EREMOTEIO, f"the Hub cannot be reached: {_reason(error)}", place)
        return found

    def _place(self, key: str) -> str:
        return f"{self.root}/{key}" if key else self.root


def repository_of(rest: str) -> tuple[str, str]:
    """Take apart what follows `hf://`: the data set with its revision, and the key.

    Raises:
        RefusedError: it names no data set.
    """
    match = DATA_SET.fullmatch(rest)
    if match is None:
        raise RefusedError(
            f"{SCHEME}://{rest.partition('?')[0]} names no data set; expected "
            f"{SCHEME}://datasets/OWNER/NAME[@REVISION][/PATH]"
        )
    return match[1], match[2] or ""


@functools.lru_cache(maxsize=64)
def _known(root: str, environment: frozenset[tuple[str, str]]) -> _Known:
    return _Known()


def _environment() -> frozenset[tuple[str, str]]:
    return frozenset(each for each in os.environ.items() if each[0].startswith(VARIABLES))


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _hub() -> Any:
    try:
        import huggingface_hub  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError("hf:// needs huggingface_hub; pip install 'alexnet-pipeline[cloud]'") from error
    return huggingface_hub


def _api() -> Any:
    return _hub().HfApi(endpoint=_endpoint())


def _wait_s(headers: Any, tries: int) -> float:
    """How long to wait before a request is sent again, from what the Hub says."""
    told = RATE_LIMIT.search(headers.get("RateLimit", ""))
    text = told[1] if told else headers.get("Retry-After", "")
    return min(float(text) + 1 if text.isdigit() else 2.0**tries, LONGEST_WAIT_S)


def _reason(error: Exception) -> str:
    """A cause in one line, without addresses, which may hold a signature."""
    text = re.sub(r"\b[a-z]+://\S+", "...", " ".join(str(error).split()))
    return (text or type(error).__name__)[:ERROR_LETTERS]
