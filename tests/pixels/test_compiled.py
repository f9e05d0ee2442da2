"""Compiled code is kept between starts; a cache that is full, damaged, read-only or absent costs time only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_pipeline.pixels import compiled

# The superuser may write to what is read-only, so the program itself leaves out the folder beside the package.
PROGRAM = """
from alexnet_pipeline.pixels import compiled
places = compiled._places
compiled._places = lambda: [place for place in places() if "__pycache__" not in str(place)]
import numpy as np
import alexnet_pipeline
from alexnet_pipeline.pixels import resample
pixels = alexnet_pipeline.resize(np.full((40, 50, 3), 9, np.uint8), "lanczos", size=16)
assert (pixels == 9).all()
import numba, os
assert numba.config.CACHE_DIR == os.environ.get("NUMBA_CACHE_DIR", ""), "numba's own setting stays as it was"
print(sum(resample._passes.stats.cache_hits.values()), compiled.cache_folder())
"""


def start(**variables: str) -> tuple[int, str]:
    """How much compiled code a fresh process found, and where it keeps it."""
    kept = {
        name: value for name, value in os.environ.items() if name not in {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"}
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=kept | variables, capture_output=True, text=True, check=True
    )
    hits, _, folder = done.stdout.strip().partition(" ")
    return int(hits), folder


def test_a_read_only_package_keeps_code_in_the_users_cache(tmp_path: Path) -> None:
    """The second start loads what the first compiled."""
    assert start(XDG_CACHE_HOME=str(tmp_path))[0] == 0
    assert list(tmp_path.glob("alexnet-pipeline/numba/**/*.nbc"))
    assert start(XDG_CACHE_HOME=str(tmp_path))[0] == 1


def test_a_damaged_cache_is_compiled_again(tmp_path: Path) -> None:
    """Whatever file is altered or cut; and then it is whole again."""
    home = {"XDG_CACHE_HOME": str(tmp_path)}
    start(**home)
    for change in (lambda data: data[:20], lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:]):
        for path in (next(tmp_path.rglob("*.nbi")), next(tmp_path.rglob("*.nbc"))):
            path.write_bytes(change(path.read_bytes()))
        assert start(**home)[0] == 0
        assert start(**home)[0] == 1


def test_folders_of_earlier_versions_are_removed(tmp_path: Path) -> None:
    """Those of other states of the sources, and nothing else."""
    base = tmp_path / "alexnet-pipeline" / "numba"
    (base / "0123456789abcdef").mkdir(parents=True)
    (base / "mine").mkdir()
    start(XDG_CACHE_HOME=str(tmp_path))
    assert not (base / "0123456789abcdef").exists()
    assert (base / "mine").exists()


@pytest.mark.parametrize("home", ["absent", "unwritable"])
def test_without_a_place_it_still_runs(tmp_path: Path, home: str) -> None:
    """No HOME and no passwd entry, or a HOME that is a file."""
    (tmp_path / "file").write_text("")
    variables = {"HOME": str(tmp_path / "file")} if home == "unwritable" else {"HOME": ""}
    assert start(**variables) == (0, "None")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_costs_time_only(tmp_path: Path) -> None:
    """The folder is not used, and nothing is left in it."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("mount is not allowed here")
    try:
        assert start(NUMBA_CACHE_DIR=str(tmp_path)) == (0, "None")
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_chosen_folder_is_used(tmp_path: Path) -> None:
    """NUMBA_CACHE_DIR wins over all other places."""
    _, folder = start(NUMBA_CACHE_DIR=str(tmp_path / "mine"), XDG_CACHE_HOME=str(tmp_path / "other"))
    assert Path(folder).parent == tmp_path / "mine"
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["lanes.py", "weights.py", "statistics.py", "kernels.py"])
def test_a_change_of_any_compiled_source_is_another_folder(monkeypatch, name) -> None:
    """Or an update would go on with old machine code."""
    before, read = compiled._source_state(), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path.name == name else b""))
    assert compiled._source_state() != before
