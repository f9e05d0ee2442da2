"""Compiled code is kept, also where the package lies read-only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# The superuser may write to what is read-only, so that the program is told instead of the folder changed.
PROGRAM = """
import os, pathlib
real = os.access
os.access = lambda path, mode: "alexnet_pipeline/pixels" not in str(path) and real(path, mode)
import numpy as np
from alexnet_pipeline import api
from alexnet_pipeline.pixels import resample
api.resize(np.zeros((40, 50, 3), np.uint8), "lanczos")
print(sum(resample._passes.stats.cache_hits.values()))
"""


def hits(cache_home: Path) -> int:
    """How much compiled code a fresh process found."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"XDG_CACHE_HOME": str(cache_home)}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return int(ran.stdout)


def test_a_read_only_package_keeps_compiled_code_in_the_cache_folder(tmp_path: Path) -> None:
    assert hits(tmp_path) == 0
    assert list(tmp_path.glob("alexnet-pipeline/numba/**/*.nbc"))
    assert hits(tmp_path) == 1


def test_without_any_cache_folder_it_still_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert hits(tmp_path / "file") == 0
