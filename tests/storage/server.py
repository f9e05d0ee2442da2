"""An S3 server on loopback, and what tests do with its buckets."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet_pipeline.storage.remote import RemotePath

START_LIMIT_S = 60


@contextmanager
def running() -> Iterator[int]:
    """Run moto's server, and give its port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], **quiet)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None, "moto's server does not start"
                time.sleep(0.1)
        yield port
    finally:
        server.kill()
        server.wait()


def variables(port: int) -> dict[str, str]:
    """The environment in which clients find the server."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }


def make_bucket(port: int, name: str) -> RemotePath:
    """Make an empty bucket."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", method="PUT")
    urllib.request.urlopen(request).read()
    return RemotePath(f"s3://{name}")


def upload(source: Path, place: RemotePath) -> RemotePath:
    """Copy a file, or all files of a folder, to a place."""
    for path in [source] if source.is_file() else sorted(source.rglob("*")):
        if path.is_file():
            to = place if source.is_file() else place / path.relative_to(source).as_posix()
            to.put(path.read_bytes(), create=False)
    return place


def contents(place: RemotePath) -> dict[str, bytes]:
    """All objects below a place, without the state of runs."""
    return {name: (place / name).read_whole(1 << 30) for name, _ in place.walk() if ".state/" not in name}


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, without the state of runs."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if ".state" not in path.parts}
