"""What the reader scripts share: which data sets they read, and the lines in which they say what they found.

Every script is run in the environment of its reader:

    python read_NAME.py SHARDS EXTENSION SCRATCH OUTPUT

SHARDS holds METHOD/SPLIT; EXTENSION is that of the images; SCRATCH is a folder for caches; OUTPUT gets a line of JSON
for every sample.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """What a script has to read.

    Attributes:
        shards: folder of all methods.
        extension: extension of the images: `jpg`, `png` or `npy`.
        scratch: folder for caches.
    """

    shards: Path
    extension: str
    scratch: Path

    def methods(self) -> list[Path]:
        """The folder of every method."""
        return sorted({folder.parent for folder in self.sets()})

    def sets(self) -> list[Path]:
        """The folder of every method and split."""
        return sorted(path.parent for path in self.shards.glob("*/*/manifest.json"))


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample as a reader returned it; what a reader does not return is None.

    Attributes:
        way: how the reader was used.
        method: the method's folder that it was told to read.
        split: the split, by the name of its folder.
        label: the label.
        key: the sample's key.
        wnid: the class name of the label.
        record: SHA-256 of the `.json` member.
        image: SHA-256 of the encoded image.
        pixels: the decoded image, as `hash_pixels` returns it.
    """

    way: str
    method: str
    split: str
    label: int
    key: str | None = None
    wnid: str | None = None
    record: str | None = None
    image: str | None = None
    pixels: str | None = None


def hash_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def hash_pixels(pixels: Any) -> str:
    """SHA-256 of an array of pixels, with its shape and type."""
    return hash_bytes(f"{pixels.dtype} {pixels.shape} ".encode("ascii") + pixels.tobytes())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on this machine alone; gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_readings(read: Callable[[Task], Iterator[Reading]]) -> None:
    """Run a script: read what the command line names, and write the readings."""
    shards, extension, scratch, output = sys.argv[1:]
    with Path(output).open("w", encoding="ascii") as lines:
        for reading in read(Task(Path(shards), extension, Path(scratch))):
            lines.write(json.dumps(asdict(reading)) + "\n")
