"""A small Hugging Face Hub on loopback: the API, `resolve`, and a second server to which it sends for large files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_secretsecretsecret"
SIGNATURE = "signaturesignature"
# Entries in an answer to a list; the real Hub gives 1,000.
PAGE_ENTRIES = 3
LARGE = (".parquet", ".tar", ".bin")


@dataclass
class Hub:
    """A Hub with one data set, `owner/name`.

    Attributes:
        commits: the files of each commit.
        branches: the commit of each branch.
        gated: whether files are only for those with the token.
        busy: how many of the next requests are answered with `busy_status`.
        busy_status: 429 or 5xx.
        seen: (server, method, path without parameters) of each request.
        tokens: (server, token) of each request with a token.
        expired: whether signed addresses given so far are no longer valid.
    """

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    busy: int = 0
    busy_status: int = 429
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    signatures: set[str] = field(default_factory=set)
    port: int = 0
    store_port: int = 0

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.port}"

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Let a branch hold these files."""
        commit = hashlib.sha1(json.dumps({k: _sha256(v) for k, v in files.items()}).encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def expire(self) -> None:
        """Let all signed addresses be invalid that were given so far."""
        self.signatures.clear()


@contextmanager
def running() -> Iterator[Hub]:
    """Run a Hub in threads of this process."""
    hub = Hub()
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), _handler(_Api, hub)) as api,
        ThreadingHTTPServer(("127.0.0.1", 0), _handler(_Store, hub)) as store,
    ):
        hub.port, hub.store_port = api.server_address[1], store.server_address[1]
        threads = [threading.Thread(target=each.serve_forever, args=(0.05,)) for each in (api, store)]
        for thread in threads:
            thread.start()
        try:
            yield hub
        finally:
            for server, thread in zip((api, store), threads, strict=True):
                server.shutdown()
                thread.join()


def _handler(kind: type[_Handler], hub: Hub) -> type[_Handler]:
    return type(kind.__name__, (kind,), {"hub": hub})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]
    name: ClassVar[str]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, options = unquote(url.path), {key: values[0] for key, values in parse_qs(url.query).items()}
        self.hub.seen.append((self.name, self.command, path))
        if "Authorization" in self.headers:
            self.hub.tokens.append((self.name, self.headers["Authorization"].removeprefix("Bearer ")))
        if self.hub.busy:
            self.hub.busy -= 1
            self.answer(self.hub.busy_status, headers={"Retry-After": "0"})
        else:
            self.serve(path, options)

    do_HEAD = do_GET  # noqa: N815 - named by http.server

    def serve(self, path: str, options: dict[str, str]) -> None:
        raise NotImplementedError

    def answer(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def part(self, data: bytes, headers: dict[str, str]) -> None:
        """Answer with the range that is asked for, or all."""
        wanted = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if not wanted[0]:
            self.answer(200, data, headers)
            return
        first, last = int(wanted[0]), min(int(wanted[2]), len(data) - 1)
        self.answer(206, data[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def log_message(self, *arguments: object) -> None:
        """Nothing is logged."""


class _Api(_Handler):
    name = "hub"

    def serve(self, path: str, options: dict[str, str]) -> None:
        if "Authorization" in self.headers and TOKEN not in self.headers["Authorization"]:
            self.answer(401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
        elif path.startswith("/api/datasets/owner/name/tree/"):
            self._tree(path.removeprefix("/api/datasets/owner/name/tree/"), options)
        elif path.startswith("/datasets/owner/name/resolve/"):
            self._resolve(path.removeprefix("/datasets/owner/name/resolve/"))
        elif path.startswith("/api/datasets/owner/name"):
            revision = path.removeprefix("/api/datasets/owner/name").removeprefix("/revision/") or "main"
            commit = self.hub.branches.get(revision, revision)
            if commit in self.hub.commits:
                about = {"id": "owner/name", "sha": commit, "private": False, "gated": self.hub.gated, "tags": []}
                self._json(about)
            else:
                self.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        else:
            self.answer(401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def _tree(self, rest: str, options: dict[str, str]) -> None:
        commit, _, folder = rest.partition("/")
        files, below = self.hub.commits[commit], f"{folder}/" if folder else ""
        inside = {path: data for path, data in files.items() if path.startswith(below)}
        if folder and not inside:
            self.answer(404, headers={"X-Error-Code": "EntryNotFound"})
            return
        above = {
            path[: at + 1].rstrip("/") for path in inside for at in range(len(below), len(path)) if path[at] == "/"
        }
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(above)]
        for path, data in inside.items():
            entry = {"type": "file", "oid": _blob_id(data), "size": len(data), "path": path}
            if path.endswith(LARGE):
                entry |= {"oid": "1" * 40, "lfs": {"oid": _sha256(data), "size": len(data), "pointerSize": 130}}
            entries.append(entry)
        if options.get("recursive", "").lower() != "true":
            entries = [entry for entry in entries if "/" not in str(entry["path"])[len(below) :]]
        start = int(options.get("cursor", 0))
        more = f"{self.hub.endpoint}{urlsplit(self.path).path}?recursive={options.get('recursive')}&cursor="
        link = {"Link": f'<{more}{start + PAGE_ENTRIES}>; rel="next"'} if start + PAGE_ENTRIES < len(entries) else {}
        self._json(entries[start : start + PAGE_ENTRIES], link)

    def _resolve(self, rest: str) -> None:
        commit, _, path = rest.partition("/")
        about = {"X-Repo-Commit": commit}
        if self.hub.gated and "Authorization" not in self.headers:
            self.answer(401, headers={"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
        elif path not in self.hub.commits[commit]:
            self.answer(404, headers=about | {"X-Error-Code": "EntryNotFound"})
        elif not path.endswith(LARGE):
            data = self.hub.commits[commit][path]
            self.part(data, about | {"ETag": f'"{_blob_id(data)}"'})
        else:
            data = self.hub.commits[commit][path]
            signature = f"{SIGNATURE}{len(self.hub.seen)}"
            self.hub.signatures.add(signature)
            where = f"http://127.0.0.1:{self.hub.store_port}/{_sha256(data)}?Signature={signature}"
            linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{_sha256(data)}"', "Location": where}
            self.answer(302, headers=about | linked)

    def _json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))


class _Store(_Handler):
    name = "store"

    def serve(self, path: str, options: dict[str, str]) -> None:
        if options.get("Signature") not in self.hub.signatures:
            self.answer(403)
            return
        found = (data for files in self.hub.commits.values() for data in files.values() if _sha256(data) == path[1:])
        self.part(next(found), {"ETag": '"another"'})
