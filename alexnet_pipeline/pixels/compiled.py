"""The one way in which code here is compiled, and where its machine code is kept."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).parents[1]
DIGEST_BYTES = 8


def _use_cache() -> None:
    """Point numba at a folder it can write, one for each state of the sources.

    numba itself raises at import where it may write nowhere, and looks at the age of a function's own file only:
    after an update it would go on with old code of what the function calls elsewhere.
    """
    settings: Any = numba.config  # numba's settings are set at run time, which its types do not know
    sources = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for path in sorted(PACKAGE.rglob("*.py")):
        if "compiled" in (text := path.read_bytes()).decode("utf-8"):
            sources.update(text)
    settings.CACHE_DIR = str(_cache_folder(settings.CACHE_DIR) / sources.hexdigest())


def _cache_folder(chosen: str) -> Path:
    if chosen:
        return Path(chosen)
    beside = Path(__file__).parent / "__pycache__"
    if os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return beside
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alexnet-pipeline" / "numba"
    try:
        home.mkdir(parents=True, exist_ok=True)
        usable = os.access(home, os.W_OK)
    except OSError:
        usable = False
    return home if usable else Path(tempfile.mkdtemp(prefix="alexnet-pipeline-"))


_use_cache()
# No fastmath: contraction to FMA would make pixels depend on the CPU.
compiled: Callable[[Function], Function] = numba.njit(cache=True, nogil=True, error_model="numpy")
# The same for functions that make no arrays: numba then counts no references, which in a small function costs
# more than its work.
compiled_leaf: Callable[[Function], Function] = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
