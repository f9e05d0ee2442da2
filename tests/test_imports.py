"""Who may import whom, from the syntax tree: the house's directions hold."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "alexnet_pipeline"
# What each room may import of ours; a file's own room is always allowed.
ALLOWED = {
    "errors": set(),
    "records": set(),
    "manifest_file": {"errors", "records"},
    "whole_file": {"errors"},
    "console": set(),
    "doctor": set(),
    "raw": {"errors", "records"},
    "pixels": {"errors", "records"},
    "shards": {"errors", "records", "manifest_file", "whole_file", "raw", "pixels"},
    "batches": {"errors", "records", "manifest_file"},
    "alexnet": {"errors", "records", "manifest_file", "whole_file", "charts", "page", "batches"},
    "compare": {"errors", "records", "manifest_file", "whole_file", "charts", "page", "pixels"},
    "charts": {"errors"},
    "page": set(),
    "training_matrix": {"errors", "records", "whole_file", "pixels", "shards", "api", "alexnet", "batches", "compare"},
    "sample": {"errors", "pixels", "sample_patterns"},
    "sample_patterns": set(),
    "api": {"errors", "records", "pixels", "shards"},
    "cli": {"errors", "console", "doctor", "pixels", "commands"},
    "training_api": {"alexnet"},
    "comparison_api": {"errors", "records", "raw", "shards", "compare", "alexnet", "training_api", "training_matrix"},
    "commands": {"errors", "records", "console", "api", "training_api", "comparison_api"}
    | {"shards", "alexnet", "compare", "sample"},
    "__main__": {"cli"},
    "__init__": {"api", "errors", "sample", "training_api", "comparison_api"},
}
# Heavy or optional packages, and where they may be imported.
ONLY_IN = {
    "torch": set(),
    "safetensors": set(),
    "nvidia": set(),
    "PIL": {"libraries"},
    "webdataset": {"inspect"},
    "rich": {"console"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_directions(path: Path) -> None:
    """Rooms import only what lies before them."""
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("alexnet_pipeline.")}
    assert ours <= ALLOWED[room] | {room}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_stay_where_they_belong(path: Path) -> None:
    """`shard`, `verify` and `--help` work without torch, DALI and PIL."""
    tops = {name.split(".")[0] for name in imports(path)}
    if path.relative_to(PACKAGE).parts[0] in {"batches", "alexnet"}:
        tops -= {"torch", "nvidia", "safetensors"}
    assert not {top for top in tops & set(ONLY_IN) if path.stem not in ONLY_IN[top]}
    assert "tools" not in tops


def test_nothing_pickles_or_runs_a_shell() -> None:
    """No pickle, no shell=True, no extraction of archives."""
    for path in FILES:
        text = path.read_text()
        assert "pickle" not in imports(path)
        for word in ("shell=True", ".extractall(", "os.system(", "allow_pickle=True"):
            assert word not in text, path
