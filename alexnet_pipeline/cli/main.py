"""The command group, and errors as one line and an exit code. Commands import the library when they run."""

from __future__ import annotations

import difflib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from alexnet_pipeline.cli import compare, demo, shard, train, trained
from alexnet_pipeline.cli.console import LoggedWarnings, print_result, warn, with_flags
from alexnet_pipeline.cli.options import Command, global_options, name_variables, settings, unknown_variables
from alexnet_pipeline.cli.output import drop, prepare_streams, say
from alexnet_pipeline.cli.signals import ignore_signals, interrupting
from alexnet_pipeline.errors import SIGNAL_EXIT, InterruptedRunError, PipelineError, RefusedError
from alexnet_pipeline.text import printable


class Group(click.Group):
    """A command group that suggests commands, and turns errors into one line and an exit code."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or suggest the nearest."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(_no_command(args[0], args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are used."""
        return list(self.commands)

    def main(self, *arguments: Any, **about: Any) -> Any:
        """Run the command line; a usage error is printed as one line, too."""
        try:
            code = super().main(*arguments, **{**about, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            say(error.format_message(), err=True)
            code = error.exit_code
        except click.ClickException as error:
            say(f"error: {printable(_usage_text(error))}", err=True)
            code = error.exit_code
        except click.Abort:
            code = SIGNAL_EXIT + signal.SIGINT
        except BrokenPipeError:  # click's own output, such as --help, of which the reader wanted no more
            drop(sys.stdout)
            code = 0
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error prints its traceback only with -v."""
        for line in unknown_variables(self):
            warn(line)
        try:
            with interrupting():
                return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            _fail(ctx, _interrupted(signal.SIGINT, interruption))
        except PipelineError as error:
            _fail(ctx, error)
        except OSError as error:
            _fail(ctx, PipelineError(f"{error.filename or 'input or output'}: {error.strerror or error}"))


def _fail(ctx: click.Context, error: PipelineError) -> None:
    if settings(ctx)["verbose"]:
        say("".join(traceback.format_exception(error)).rstrip(), err=True)
    if isinstance(error, InterruptedRunError):
        error = _interrupted(error.exit_code - SIGNAL_EXIT, error)
    # Every process below torchrun refuses or is interrupted alike, so one of each machine says it.
    alike = isinstance(error, (RefusedError, InterruptedRunError)) and os.environ.get("LOCAL_RANK", "0") != "0"
    if error.told_elsewhere or alike:
        ctx.exit(error.exit_code)
    text = printable(with_flags(str(error), ctx))
    say(text if isinstance(error, InterruptedRunError) else f"error: {text}", err=True)
    ctx.exit(error.exit_code)


def _interrupted(number: int, cause: BaseException) -> InterruptedRunError:
    """The error for an interruption, with the note on how far the run got, if there is one."""
    notes = getattr(cause, "__notes__", [])
    if notes:
        return InterruptedRunError(number, f"Interrupted: {notes[0]}. Run the same command to resume.")
    return cause if isinstance(cause, InterruptedRunError) else InterruptedRunError(number, "Interrupted.")


def _no_command(given: str, name: str, names: Sequence[str]) -> str:
    """What is said of a command line whose word `name` is none of `names`."""
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "see `alexnet-pipeline --help`"
    return f"there is no command {given!r}; {hint}"


def _usage_text(error: click.ClickException) -> str:
    """The message of a usage error in one line, with the flag and the command to run for help."""
    text = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption) and error.possibilities:  # click lists them by the alphabet
        (close,) = difflib.get_close_matches(error.option_name, error.possibilities, n=1, cutoff=0)
        text = f"no such option {error.option_name!r}; did you mean {close!r}?"
    if (
        isinstance(error, click.BadParameter)
        and error.param is not None
        and not isinstance(error, click.MissingParameter)
    ):
        text = f"{error.param.opts[0] if isinstance(error.param, click.Option) else error.param.human_readable_name}: "
        text += " ".join(error.message.split())
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
    text = text[:1].lower() + text[1:] if text[:2].istitle() else text
    link = " See" if text.endswith("?") else "; see"
    return f"{text.rstrip('.')}{link} `{path} --help`" if path and "--help" not in text else text


def _print_version(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        from alexnet_pipeline import __version__  # noqa: PLC0415

        say(f"alexnet-pipeline {__version__}")
        ctx.exit()


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every option can also be set by an environment variable, like ALEXNET_PIPELINE_SHARD_WORKERS=8, or in a "
    "TOML file given as --config.",
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version.",
)
def cli() -> None:
    """Turn raw ImageNet into 256x256 WebDataset shards with exactly specified resampling, and train AlexNet on them."""


@click.command("help", cls=Command, short_help="Show the help of a command.")
@click.argument("command", nargs=-1)
@click.pass_context
def help_command(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Show the help of COMMAND.

    \b
    Example:
      alexnet-pipeline help shard
    """
    shown: click.Command = cli
    context = ctx.find_root()
    for name in command:
        group = shown if isinstance(shown, click.Group) else click.Group()  # a command has no others below it
        inner = group.get_command(context, name)
        if inner is None:
            raise RefusedError(_no_command(" ".join(command), name, group.list_commands(context)))
        shown, context = inner, click.Context(inner, parent=context, info_name=name)
    say(shown.get_help(context))


@click.command("methods", cls=Command, short_help="List every downsampling method.")
@click.pass_context
def methods_command(ctx: click.Context) -> None:
    """List every downsampling method: kernel, support, formula.

    \b
    Example:
      alexnet-pipeline methods
    """
    from alexnet_pipeline.pixels.kernels import KERNELS, SUPPORTS, methods  # noqa: PLC0415

    listed = methods()
    lines = [f"{method.name:22} {method.kernel:14} {method.support or '-':7} {method.definition}" for method in listed]
    lines += [
        "",
        f"Any KERNEL:SUPPORT works too: {', '.join(KERNELS)} with {' or '.join(SUPPORTS)}.",
        "An axis of n samples becomes m: its scale is s = n/m, and output i is centred on (i + 1/2) s - 1/2. Its",
        "weights are k((j - centre)/f) over source samples j, normalised; float32 arithmetic, one rounding at the end.",
        "",
        "The preset torchvision leaves EXIF orientation alone, as torchvision's loader does; every other conversion",
        "turns images upright before it resamples them.",
    ]
    print_result(ctx, listed, lines)


@click.command("doctor", cls=Command, short_help="List what is installed, and how to install the rest.")
@click.pass_context
def doctor_command(ctx: click.Context) -> None:
    """List installed and missing dependencies, what each one enables, and how to install it.

    \b
    Example:
      alexnet-pipeline doctor
    """
    from alexnet_pipeline.cli.doctor import doctor  # noqa: PLC0415

    parts = doctor()
    lines = [f"{'ok' if p.version else '--':3} {p.package:24} {p.version or 'missing':16} {p.enables}" for p in parts]
    lines += [f"    {part.package}: {part.get}" for part in parts if not part.version]
    print_result(ctx, parts, lines)
    if any(part.version is None and not part.extra for part in parts):
        ctx.exit(shard.PROBLEMS_FOUND)


cli.params += global_options()
HERE = (help_command, methods_command, doctor_command)
for _command in (*demo.COMMANDS, *shard.COMMANDS, *compare.COMMANDS, *train.COMMANDS, *trained.COMMANDS, *HERE):
    cli.add_command(_command)
name_variables(cli)


def main() -> None:
    """Entry point of the command."""
    prepare_streams()
    # The BLAS libraries of NumPy and SciPy each start threads that spin for 0.1 s, and have no work here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # OpenCV would print warnings about broken images, which the pipeline itself reports by name.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    # PyTorch would print warnings about processes that are gone, which the pipeline itself reports in one line.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("alexnet_pipeline").addHandler(LoggedWarnings())
    try:
        cli(prog_name="alexnet-pipeline")
    finally:
        ignore_signals()
