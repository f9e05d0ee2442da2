"""The command line: each command parses, makes one call and prints. Stages are imported inside commands."""

from __future__ import annotations

import difflib
import os
import signal
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from alexnet_pipeline.cli.main import compare as comparison
from alexnet_pipeline.cli.main import demo
from alexnet_pipeline.cli.main import shard
from alexnet_pipeline.cli.main import train as training
from alexnet_pipeline.cli.console import print_result, printable
from alexnet_pipeline.errors import InterruptedRunError, PipelineError


class PipelineGroup(click.Group):
    """Suggests commands, and turns the package's errors into one line and an exit code."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or suggest the nearest."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else " See --help."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a traceback only with -v."""
        try:
            with _terminated_as_error():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail(ctx, InterruptedRunError(signal.SIGINT, _RESUMABLE))
        except PipelineError as error:
            _fail(ctx, error)
        except OSError as error:
            _fail(ctx, PipelineError(f"{error.filename or 'input or output'}: {error.strerror or error}"))


_RESUMABLE = "interrupted; shards that are committed are whole, and the same command goes on from them"


@contextmanager
def _terminated_as_error() -> Iterator[None]:
    def terminate(number: int, frame: object) -> None:
        raise InterruptedRunError(number, _RESUMABLE)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(ctx: click.Context, error: PipelineError) -> None:
    if ctx.params.get("verbose"):
        traceback.print_exception(error)
    click.echo(f"error: {printable(str(error))}", err=True)
    ctx.exit(error.exit_code)


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Take defaults from a TOML file: a table per command, keys as the long options."""
    if path is None:
        return
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path}: {error}") from error
    defaults: dict[str, Any] = {}
    for command, table in tables.items():
        found = cli.get_command(ctx, command)
        if found is None or not isinstance(table, dict):
            raise click.BadParameter(f"{path}: [{command}] is no command")
        defaults[command] = _defaults(ctx, found, table, f"{path}: [{command}]")
    ctx.default_map = defaults


def _defaults(ctx: click.Context, command: click.Command, table: dict[str, Any], where: str) -> dict[str, Any]:
    """A table's values by the names of parameters; `[bench.load]` is a table in a table."""
    names = {
        option.lstrip("-"): parameter.name
        for parameter in command.params
        for option in (*parameter.opts, parameter.name or "")
    }
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = command.get_command(ctx, key) if isinstance(command, click.Group) else None
        if inner is not None and isinstance(value, dict):
            found[key] = _defaults(ctx, inner, value, f"{where[:-1]}.{key}]")
        elif (name := names.get(key)) is None:
            raise click.BadParameter(f"{where} has no option {key!r}")
        else:
            found[name] = value
    return found


@click.group(
    cls=PipelineGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "ALEXNET_PIPELINE"},
    epilog="Every option can be set by a variable, like ALEXNET_PIPELINE_SHARD_WORKERS=8, or in --config.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only results, warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Show a traceback with an error.")
@click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")
@click.option("--no-progress", is_flag=True, help="No progress bar; a line every 30 s instead.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_read_config,
    is_eager=True,
    expose_value=False,
    help="TOML file of defaults: a table per command, like [shard] workers = 8.",
)
@click.version_option(package_name="alexnet-pipeline")
def cli(quiet: bool, verbose: bool, as_json: bool, no_progress: bool) -> None:
    """Raw ImageNet to 256x256 WebDataset shards by an exactly defined downsampling method."""


@cli.command("methods")
@click.pass_context
def methods_command(ctx: click.Context) -> None:
    """List every method: kernel, support, formula.

    \b
    Example:
      alexnet-pipeline methods
    """
    from alexnet_pipeline.pixels.kernels import KERNELS, SUPPORTS, find_method, method_names  # noqa: PLC0415

    methods = [find_method(name) for name in method_names()]
    lines = [f"{method.name:22} {method.kernel:14} {method.support or '-':7} {method.definition}" for method in methods]
    lines += [
        "",
        f"Any KERNEL:SUPPORT works too: {', '.join(KERNELS)} with {' or '.join(SUPPORTS)}.",
        "s = n/m is the scale of an axis of n to m samples; output i reads around (i + 1/2) s - 1/2;",
        "weights k((k - centre)/f), normalised; float32 throughout, one rounding at the end.",
    ]
    print_result(ctx, methods, lines)


@cli.command("doctor")
@click.pass_context
def doctor_command(ctx: click.Context) -> None:
    """Show what is installed, what each missing part would give, and how to get it.

    \b
    Example:
      alexnet-pipeline doctor
    """
    from alexnet_pipeline.cli.doctor import examine  # noqa: PLC0415

    parts = examine()
    lines = [f"{'ok' if p.version else '--':3} {p.package:24} {p.version or 'missing':16} {p.gives}" for p in parts]
    lines += [f"    {part.package}: {part.get}" for part in parts if not part.version]
    print_result(ctx, parts, lines)
    if any(part.version is None and not part.extra for part in parts):
        ctx.exit(shard.PROBLEMS_FOUND)


for _command in (*shard.COMMANDS, *training.COMMANDS, *comparison.COMMANDS, *demo.COMMANDS):
    cli.add_command(_command)


def main() -> None:
    """Entry point of the command."""
    # NumPy's and SciPy's OpenBLAS each start threads that spin .1 s for work which never comes here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    cli(prog_name="alexnet-pipeline")
