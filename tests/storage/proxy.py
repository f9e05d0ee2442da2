"""A faulty proxy on loopback: it stands before a store's server, and spoils requests on demand or at random."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What can happen to a request. `late` is an error that is answered after the server did what it was asked.
KINDS = ("500", "503", "reset", "cut", "late 500", "late reset")
# Takes as long as the client has patience, so that only tests with an impatient client ask for it.
SILENCE = "silence"
SILENCE_LIMIT_S = 60
ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>'
ERRORS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "unknown key": (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    "wrong key": (403, "SignatureDoesNotMatch", "The signature we calculated does not match. Check your key."),
}
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server", "keep-alive"}

Chosen = Callable[[str, str], bool]


class Proxy(ThreadingHTTPServer):
    """The proxy.

    Args:
        upstream_port: where the store's server listens.

    Attributes:
        seen: (method, path) of each request, in order of arrival.
        spoiled: how many requests each kind of fault has hit.
        page_objects: objects in an answer to a list, fewer than the server would give; None leaves that to it.
        before: called with method and path before a request is served.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream_port = upstream_port
        self.seen: list[tuple[str, str]] = []
        self.spoiled: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.mend()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def mend(self) -> None:
        """Spoil nothing from now on, and forget what was seen."""
        self._kinds: Sequence[str] = ()
        self._left, self._share, self._chosen = 0, 0.0, _all
        self.page_objects: int | None = None
        self.before: Callable[[str, str], object] = _all
        self.seen.clear()
        self.spoiled.clear()

    def spoil_first(self, kind: str, count: int = 1, chosen: Chosen | None = None) -> None:
        """Spoil so many of the next requests, or of those that are chosen by method and path."""
        self.mend()
        self._kinds, self._left, self._chosen = (kind,), count, chosen or _all

    def spoil_some(self, share: float, seed: int, kinds: Sequence[str] = KINDS) -> None:
        """Spoil a share of all requests, each in one way."""
        self.mend()
        self._kinds, self._share, self._random = kinds, share, random.Random(seed)

    def fault(self, method: str, path: str) -> str | None:
        """What happens to a request; None if it is passed on."""
        with self._lock:
            self.seen.append((method, path))
            kind = None
            if self._share and self._random.random() < self._share:
                kind = self._random.choice(self._kinds)
            elif self._left and self._chosen(method, path):
                self._left -= 1
                kind = self._kinds[0]
            if kind:
                self.spoiled[kind] += 1
            return kind

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what this is for."""


@contextmanager
def running(upstream_port: int) -> Iterator[Proxy]:
    """Run a proxy in threads of this process."""
    with Proxy(upstream_port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


def _all(method: str, path: str) -> bool:
    return True


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.server.fault(self.command, self.path) or ""
        self.server.before(self.command, self.path)
        if kind == SILENCE:
            self.connection.settimeout(SILENCE_LIMIT_S)
            self.connection.recv(1)  # until the client hangs up
            self.close_connection = True
        elif kind == "reset":
            self._reset()
        elif kind in ERRORS:
            self._refuse(kind)
        else:
            status, headers, data = self._pass_on(body)
            if kind == "late reset":
                self._reset()
            elif kind == "late 500":
                self._refuse("500")
            else:
                self._answer(status, headers, data, cut=kind == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - named by http.server

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port)
        try:
            path = self.path
            if self.server.page_objects and "list-type=2" in path:
                path += f"&max-keys={self.server.page_objects}"
            upstream.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _refuse(self, kind: str) -> None:
        status, code, text = ERRORS[kind]
        self._answer(status, [("Content-Type", "application/xml")], ERROR.format(code=code, text=text).encode())

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()  # at once, and with it the files that were made of it
        self.rfile.close()
        self.wfile.close()

    def log_message(self, *arguments: object) -> None:
        """Nothing is logged."""
