"""The README is true: its commands exist, its two commands are what CI runs, its links lead somewhere."""

import re
from pathlib import Path

from alexnet_pipeline.cli.main import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


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
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known


def test_the_tree_shows_every_file() -> None:
    """A stranger finds each module of the package from the drawing in CONTRIBUTING.md, and nothing that is gone."""
    tree = (ROOT / "CONTRIBUTING.md").read_text().partition("alexnet_pipeline/\n")[2].partition("```")[0]
    drawn = re.findall(r"\b\w+\.py\b", tree)
    files = [path.name for path in (ROOT / "alexnet_pipeline").rglob("*.py") if path.name not in {"__main__.py"}]
    assert set(drawn) == set(files)
