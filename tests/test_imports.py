"""Who may import whom, from the syntax tree: the directions of the house hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "alexnet_pipeline"
# What all rooms may import.
COMMON = {"errors", "options", "records", "files", "progress", "text", "cores"}
# What each room may import beside that and itself.
ROOMS = {
    "raw": {"storage"},
    "pixels": set(),
    "dataset": {"storage"},
    "synthetic": {"pixels"},
    "storage": set(),
    "pages": set(),
    "shards": {"storage", "raw", "pixels", "dataset"},
    "batches": {"storage", "dataset", "pixels"},
    "alexnet": {"storage", "pixels", "batches", "dataset", "pages"},
    "comparison": {"storage", "raw", "pixels", "shards", "dataset", "batches", "alexnet", "pages"},
    "cli": {"storage", "raw", "pixels", "shards", "dataset", "batches", "alexnet", "comparison", "synthetic"},
}
# The files beside the rooms import only each other.
FILES_BESIDE = {
    "errors": set(),
    "options": {"errors"},
    "records": {"options"},
    "files": {"errors"},
    "progress": {"text"},
    "text": set(),
    "cores": set(),
    "__main__": {"cli"},
    "__init__": set(ROOMS) | {"errors"},
}
# Heavy or optional packages, and the only places that may import them.
ONLY_IN = {
    "torch": ("batches/", "alexnet/", "comparison/networks.py"),
    "safetensors": ("alexnet/",),
    "nvidia": ("batches/",),
    "numba": ("pixels/", "batches/kernels.py"),
    "llvmlite": ("pixels/",),
    "PIL": ("pixels/libraries.py",),
    "webdataset": ("shards/inspect.py",),
    "rich": ("progress.py", "cli/"),
    "click": ("cli/",),
    "jinja2": ("pages/", "alexnet/report.py", "comparison/page/report.py"),
    "typst": ("comparison/page/figure_file.py",),
    "msgspec": ("records.py", "dataset/manifest.py"),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_directions(path: Path) -> None:
    """Rooms import only what lies before them."""
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("alexnet_pipeline.")}
    allowed = FILES_BESIDE[room] if room in FILES_BESIDE else ROOMS[room] | COMMON | {room}
    assert ours - {"__version__"} <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_stay_where_they_belong(path: Path) -> None:
    """`shard`, `verify` and `--help` work without torch, DALI and PIL."""
    place = str(path.relative_to(PACKAGE))
    for package in {name.split(".")[0] for name in imports(path)} & set(ONLY_IN):
        assert place.startswith(ONLY_IN[package]), package
    assert "tools" not in imports(path)


def test_nothing_pickles_or_runs_a_shell() -> None:
    """No pickle, no shell=True, no extraction of archives."""
    for path in FILES:
        text = path.read_text()
        assert "pickle" not in imports(path)
        for word in ("shell=True", ".extractall(", "os.system(", "allow_pickle=True"):
            assert word not in text, path


def test_the_library_neither_prints_nor_takes_signals() -> None:
    """That is for the command line, and for processes that are the package's own."""
    own_processes = {"preload.py", "workers.py", "write.py", "ray.py"}  # the last puts back what Ray takes
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] != "cli":
            calls = {
                ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
            }
            assert "print" not in calls, path
            assert "signal.signal" not in calls or path.name in own_processes, path


def test_importing_changes_nothing_of_other_libraries() -> None:
    """Threads and log level of OpenCV, settings of numba and torch are the caller's."""
    code = """
import cv2, numba, os
cv2.setNumThreads(3)
before = cv2.getNumThreads(), cv2.utils.logging.getLogLevel(), numba.config.CACHE_DIR, numba.get_num_threads()
import alexnet_pipeline
for name in ("shard", "verify", "inspect", "compare", "resize", "methods", "sample", "estimate"):
    getattr(alexnet_pipeline, name)
import numpy
alexnet_pipeline.resize(numpy.zeros((9, 9, 3), numpy.uint8), size=4)
after = cv2.getNumThreads(), cv2.utils.logging.getLogLevel(), numba.config.CACHE_DIR, numba.get_num_threads()
assert before == after, (before, after)
import sys
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
