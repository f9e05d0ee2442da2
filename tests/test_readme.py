"""The README is true: its commands exist, its two commands are what CI runs, its links lead somewhere."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from alexnet_pipeline import open_shards
from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.dataset.manifest import FORMAT_VERSION
from alexnet_pipeline.dataset.open import SampleRecord, ShardSet

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FORMAT = (ROOT / "shards" / "README.md").read_text()
FAULTS = (ROOT / "docs" / "faults.md").read_text()


def test_every_command_is_in_the_table() -> None:
    """And no other."""
    table = set(re.findall(r"^\| `([a-z]+)", README, re.MULTILINE))
    assert table == set(cli.commands)


def test_ci_runs_the_two_commands() -> None:
    """What a newcomer types is what is proved."""
    script = (ROOT / ".ci" / "run").read_text()
    for line in re.findall(r"^pip install .*$", README, re.MULTILINE):
        install, _, command = line.partition(" && ")
        assert install.removeprefix("pip install ") in script
        assert command in script


def test_links_and_options_exist() -> None:
    """Files are there; options are some command's."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    nested = [command for group in cli.commands.values() for command in getattr(group, "commands", {}).values()]
    known = {"--nproc-per-node"} | {  # torchrun's
        option
        for command in [cli, *cli.commands.values(), *nested]
        for p in command.params
        for option in [*p.opts, *p.secondary_opts]
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README)) <= known


def test_the_format_page_describes_this_version() -> None:
    """With every field of a sample's record."""
    assert FORMAT.startswith(f"# The shard format, version {FORMAT_VERSION}\n")
    members = FORMAT.partition("- `.json` MUST")[2].partition("- `.npy`")[0]
    for field in dataclasses.fields(SampleRecord):
        assert f"`{field.name}`" in members


def test_the_committed_sample_is_what_its_commands_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shards with the same samples; bytes of images may differ with the libraries' versions."""
    monkeypatch.chdir(tmp_path)
    for line in re.findall(r"^alexnet-pipeline (.*)$", FORMAT, re.MULTILINE):
        CliRunner().invoke(cli, ["-q", *shlex.split(line)])
    committed, made = open_shards(ROOT / "shards" / "sample"), open_shards(tmp_path / "shards" / "lanczos" / "train")

    def content(shards: ShardSet) -> tuple[list[str], list[str], list[int]]:
        names = sorted(path.name for path in shards.folder.iterdir() if path.is_file())
        return names, list(shards.keys()), [shards.read_label(position) for position in range(len(shards))]

    assert content(made) == content(committed)


def test_the_tree_shows_every_file() -> None:
    """A stranger finds each module of the package from the drawing in CONTRIBUTING.md, and nothing that is gone."""
    tree = (ROOT / "CONTRIBUTING.md").read_text().partition("alexnet_pipeline/\n")[2].partition("```")[0]
    drawn = re.findall(r"\b\w+\.py\b", tree)
    files = [path.name for path in (ROOT / "alexnet_pipeline").rglob("*.py") if path.name not in {"__main__.py"}]
    assert set(drawn) == set(files)


def test_every_fault_has_its_test() -> None:
    """Each row names at least one, and all of them exist."""
    tests = {
        name
        for path in ROOT.glob("tests/**/test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    rows = [line for line in FAULTS.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= tests, row
