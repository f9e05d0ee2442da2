"""The pages are true: every command and every piece of Python on them is run on a small sample, or says why not."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from alexnet_pipeline import open_shards
from alexnet_pipeline.cli.main import cli
from tests.documentation.blocks import DOCS, NOTES, PAGES, ROOT, Block, blocks_of, commands_of
from tests.documentation.conftest import OUTSIDE, inside, put_sources

KINDS = {"sh", "python", "text", "toml", "yaml"}
# Pages whose commands begin in an empty folder, and those that need every layout.
EMPTY, EVERY_LAYOUT = {"start"}, {"layouts", "reproduce"}
# Pages whose examples are run one by one, with their labels compared.
ONE_BY_ONE = {"readers"}
# Pages whose output is that of the commands above it, to the letter; elsewhere numbers may differ.
TO_THE_LETTER = {"layouts", "methods"}
# Installing is tested by .ci/run; here it is only compared with pyproject.toml.
INSTALL = "pip install -e "
# Options of torchrun, Slurm, timm, pytest and the tools, which pages name.
OTHERS_OPTIONS = {
    "--help",
    "--nproc-per-node",
    "--signal",
    "--dataset",
    "--data-dir",
    "--train-split",
    "--val-split",
    "--seconds",
}
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])

with_commands = pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.kind == "sh" and not block.note for block in blocks_of(page))]
)
with_python = pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.kind == "python" and not block.note for block in blocks_of(page))]
)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    """In a language that is known."""
    for block in blocks_of(page):
        assert block.kind in KINDS, block
        assert not block.note or block.note.startswith(NOTES), block.note
        assert all((ROOT / path).exists() for path in re.findall(r"(?:tests|tools)/[\w/]+\.\w+", block.note)), (
            block.note
        )


@pytest.mark.parametrize("page", PAGES)
def test_options_and_extras_exist(page: str) -> None:
    """Also of commands that are not run, and in running text."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for extras in re.findall(r"\.\[([a-z,]+)\]", text):
        assert set(extras.split(",")) <= EXTRAS
    nested = [command for group in cli.commands.values() for command in getattr(group, "commands", {}).values()]
    known = {
        option
        for command in [cli, *cli.commands.values(), *nested]
        for parameter in command.params
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)) <= known | OTHERS_OPTIONS
    for block in blocks_of(page):
        for arguments in commands_of(block) if block.kind == "sh" else []:
            _parse(cli, arguments)


@with_commands
def test_commands_do_what_the_page_says(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """They succeed, and print what is shown below them."""
    blocks = blocks_of(page)
    if any("s3://" in block.body for block in blocks if not block.note):
        request.getfixturevalue("buckets")
    folder = _stage(page, tmp_path, request)
    with inside(folder):
        shown = ""
        for block in blocks:
            if block.kind == "sh" and not block.note:
                shown = "".join(_run(line, folder) for line in block.lines())
            elif block.kind == "text" and block.follows:
                masked = (lambda text: text) if page in TO_THE_LETTER else _masked
                assert masked(shown) == masked(block.body)


@with_python
def test_python_runs(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """As a script, beside what the commands of the page find."""
    folder = _stage(page, tmp_path, request)
    examples = [block.body for block in blocks_of(page) if block.kind == "python" and not block.note]
    if page not in ONE_BY_ONE:
        _run_python("\n".join(examples), folder)
        return
    shards = open_shards(folder / "shards" / "lanczos" / "train")
    labels = sorted(shards.read_label(position) for position in range(len(shards)))
    for example in examples:
        assert json.loads(_run_python(_with_labels(example), folder).splitlines()[-1]) == labels


def _stage(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    if page in EMPTY:
        return tmp_path
    folder = tmp_path / "page"
    shutil.copytree(request.getfixturevalue("prepared"), folder)
    if page in EVERY_LAYOUT:
        for module in ("pyarrow", "google.protobuf", "google_crc32c"):
            pytest.importorskip(module)
        put_sources(folder)
    return folder


def _here(text: str, folder: Path) -> str:
    """A text whose folders outside the working folder are in it."""
    for place in OUTSIDE:
        text = re.sub(rf"(?<![\w/.:]){place}", f"{folder}{place}", text)
    return text


def _run(line: str, folder: Path) -> str:
    """What one line of a shell prints."""
    if line.startswith(INSTALL):
        return ""
    (arguments,) = commands_of(Block("sh", _here(line, folder), "", follows=False)) or pytest.fail(f"not run: {line}")
    result = CliRunner().invoke(cli, ["--no-progress", *arguments])
    assert result.exit_code in {0, 3}, f"{line}\n{result.output}"  # the sample has an image that is rejected
    return result.stdout.replace(str(folder), "")


def _run_python(code: str, folder: Path) -> str:
    script = folder / "page.py"
    script.write_text(_here(code, folder), "utf-8")
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _with_labels(example: str) -> str:
    """The example as tools/check_readers.py runs it."""
    with contextlib.ExitStack() as stack:
        sys.path.insert(0, str(ROOT / "tools"))
        stack.callback(sys.path.remove, str(ROOT / "tools"))
        from readers.snippets import with_labels
    return with_labels(example)


def _masked(text: str) -> str:
    """Numbers as `#` and sizes in bytes alike, words one blank apart."""
    text = re.sub(r"\b[kM]B\b", "bytes", text)
    return "\n".join(" ".join(re.sub(r"\d[\d.,]*", "#", line).split()) for line in text.strip().splitlines())


def _parse(command: click.Command, arguments: list[str]) -> None:
    """Check names of commands and options, without values."""
    context = click.Context(command)
    _, rest, _ = command.make_parser(context).parse_args(list(arguments))
    if isinstance(command, click.Group):
        name = rest[0]
        assert name in command.commands, name
        _parse(command.commands[name], rest[1:])
