"""Compile functions with numba, and cache their machine code for later runs.

numba caches machine code per function. By itself it would fail where it may not write, load damaged files unchecked,
and run stale code after a change of a function that is called from another file. So the cache folder is named after a
digest of the sources, is checked against a list of checksums before numba uses it, and is not used at all where it
cannot be written, which costs time but never the run.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).parents[1]
DIGEST_BYTES = 8
# File that lists a folder's files with their checksums; it is written last.
CHECKSUMS = "checksums"
# Size of the file that tests a folder for free space; all kernels take 1.5 MB.
PROBE_BYTES = 4 << 20
_STATE = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}")


def compiled(function: Function) -> Function:
    """Compile a function with numba when it is first called from Python, and cache its machine code."""
    import numba  # noqa: PLC0415 - takes 0.2 s, which a process without kernels saves

    folder, settings = cache_folder(), numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder or "")
    try:
        return _compile(function, cache=folder is not None)
    finally:
        settings.CACHE_DIR = before


def compiled_part(function: Function) -> Function:
    """Compile a function that only compiled functions call: its code becomes part of theirs, and has no cache."""
    return _compile(function, cache=False)


def _compile(function: Function, *, cache: bool) -> Function:
    import numba  # noqa: PLC0415 - as above

    # No fastmath: contraction to FMA would make pixels depend on the CPU.
    made: Function = numba.njit(cache=cache, nogil=True, error_model="numpy")(function)
    return made


def is_kept() -> bool:
    """Whether machine code from an earlier run will be used."""
    folder = cache_folder()
    return folder is not None and (folder / CHECKSUMS).exists()


def keep() -> None:
    """Write the checksums of the cache folder, and remove the cache folders of earlier versions of the sources."""
    folder = cache_folder()
    if folder is None:
        return
    with suppress(OSError):
        text = _checksums(folder)
        if text != _read(folder / CHECKSUMS):
            part = folder / f".{CHECKSUMS}-{os.getpid()}"
            part.write_text(text)
            part.replace(folder / CHECKSUMS)
    with suppress(OSError):
        for other in folder.parent.iterdir():
            if other.is_dir() and other != folder and _STATE.fullmatch(other.name):
                shutil.rmtree(other, ignore_errors=True)


@functools.cache
def cache_folder() -> Path | None:
    """The cache folder, which is either proved whole or new and writable; None if there is no room for one."""
    state = _source_state()
    for place in _places():
        folder = place / state
        text = _read(folder / CHECKSUMS)
        if text and text == _checksums(folder):
            return folder
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            probe = folder / ".probe"
            probe.write_bytes(bytes(PROBE_BYTES))
            probe.unlink()
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        return folder
    return None


def _places() -> list[Path]:
    """Parents for the cache folder, best first: the user's choice, or beside this file and in the user's cache."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return [Path(chosen)]
    places = [Path(__file__).parent / "__pycache__"]
    users = os.environ.get("XDG_CACHE_HOME")
    if not users and os.environ.get("HOME") != "":
        users = os.path.expanduser("~/.cache")  # noqa: PTH111 - without a home, Path raises
    return [*places, Path(users) / "alexnet-pipeline" / "numba"] if users and users.startswith("/") else places


def _source_state() -> str:
    """A digest of the sources of all compiled code, and of the version of numba."""
    from importlib.metadata import version  # noqa: PLC0415 - takes 20 ms

    state = hashlib.blake2b(version("numba").encode(), digest_size=DIGEST_BYTES)
    others = (PACKAGE / "shards" / "statistics.py", PACKAGE / "batches" / "kernels.py")
    for path in (*sorted(Path(__file__).parent.glob("*.py")), *others):
        state.update(path.read_bytes())
    return state.hexdigest()


def _checksums(folder: Path) -> str:
    """One line per file below a folder: its checksum and its path."""
    lines = []
    with suppress(OSError):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith((".", CHECKSUMS)):
                lines.append(f"{hashlib.blake2b(path.read_bytes()).hexdigest()} {path.relative_to(folder)}\n")
    return "".join(lines)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
