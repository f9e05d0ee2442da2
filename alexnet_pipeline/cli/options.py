"""Command-line options: flags, help, TOML keys and environment variables, derived from the fields of records."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from alexnet_pipeline.files import read_whole
from alexnet_pipeline.options import Parameter, parameters_of
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.remote import is_url

PREFIX = "ALEXNET_PIPELINE"
# Variables with the prefix that are not options: the folder where the tests find real images.
OTHER_VARIABLES = frozenset({f"{PREFIX}_DATA"})
# Default values of the global options, by parameter name.
GLOBALS: dict[str, Any] = {"quiet": False, "verbose": False, "as_json": False, "no_progress": False}
PATH = click.Path(path_type=Path)
# Largest TOML file that is read.
MAX_CONFIG_BYTES = 1 << 20
# Key of the invoked command in a context's `meta`.
INVOKED = "alexnet_pipeline.invoked"

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _LocationType(click.Path):
    """A path on this machine, or the URL of an object store."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take URLs apart, and leave paths to click."""
        return locate(value) if is_url(str(value)) else super().convert(value, param, ctx)


LOCATION = _LocationType(path_type=Path)


class Command(click.Command):
    """A command that takes the global options, too."""

    def __init__(self, *arguments: Any, **about: Any) -> None:
        super().__init__(*arguments, **about)
        self.params += global_options()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and record it for the error handler."""
        ctx.meta[INVOKED] = self
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then the global ones."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": [], "Global options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                common = parameter.name in GLOBALS or parameter.name in {"config", "help"}
                groups["Global options" if common else "Options"].append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class _Checked(click.ParamType[Any]):
    """A parameter type that checks a value by its field's declaration."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self.name = parameter.option.metavar or ("A:B" if parameter.kind is range else parameter.kind.__name__)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check and convert."""
        try:
            converted = self._parameter.convert(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return converted[0] if self._parameter.many else converted


class _MethodName(click.ParamType[str]):
    """The name of a method, with shell completion."""

    name = "NAME"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the names of all methods."""
        from alexnet_pipeline.pixels.kernels import method_names  # noqa: PLC0415 - only completion needs it

        done, comma, rest = incomplete.rpartition(",")
        return [CompletionItem(done + comma + name) for name in method_names() if name.startswith(rest)]


def options_of(*records: type, **defaults: str) -> Decorator:
    """Give a command the options of records, in the order of their fields.

    In the command, `given` drops the options that the user did not set, so that the defaults stay those of the records.

    Args:
        records: record types whose fields are options.
        defaults: by parameter, the text for the help of a default that only this command has.
    """
    parameters = [p for record in records for p in parameters_of(record)]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for parameter in reversed(parameters):
            command = _decorator(parameter, defaults.get(parameter.name, parameter.default_text()))(command)
        return command

    return decorate


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the user set."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def settings(ctx: click.Context) -> dict[str, Any]:
    """The values of the global options, given before or after the command."""
    return dict(ctx.find_root().obj or GLOBALS)


def global_options() -> list[click.Option]:
    """The options that work before and after the command."""

    def flag(*names: str, help: str) -> click.Option:
        return click.Option(names, is_flag=True, default=None, expose_value=False, callback=_note_global, help=help)

    return [
        flag("-q", "--quiet", help="Print only results, warnings and errors."),
        flag("-v", "--verbose", help="Print a traceback with an error."),
        flag("--json", "as_json", help="Print results as JSON."),
        flag("--no-progress", help="Print a line every few seconds instead of a progress bar."),
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path, dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=_read_config,
            help="Read defaults from a TOML file: a table per command, like [shard] with workers = 8.",
        ),
    ]


def name_variables(command: click.Command, path: tuple[str, ...] = ()) -> None:
    """Name the environment variable of every option after its command and its long flag."""
    for parameter in command.params:
        of_root = not path or (parameter.name not in GLOBALS and parameter.name != "config")
        if isinstance(parameter, click.Option) and of_root and parameter.name != "version":
            parameter.envvar = "_".join((PREFIX, *path, _long(parameter))).upper().replace("-", "_")
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            name_variables(inner, (*path, name))


def unknown_variables(root: click.Command) -> Iterator[str]:
    """A warning for each environment variable with the prefix that belongs to no option."""
    known = {str(parameter.envvar) for command in _walk(root) for parameter in command.params if parameter.envvar}
    for name in sorted(os.environ):
        if name.startswith(PREFIX + "_") and name not in known | OTHER_VARIABLES:
            close = difflib.get_close_matches(name, known, n=1)
            yield f"{name} is set, but no option has this variable" + (f"; did you mean {close[0]}?" if close else "")


def _decorator(parameter: Parameter, default: str) -> Decorator:
    about = parameter.option
    names = [f"--{parameter.flag}", parameter.name, *about.also]
    words = [about.help, "Repeatable, or separated by commas." if parameter.many and parameter.kind is str else ""]
    words += [f" [default: {default}]" if default else ""]
    common: dict[str, Any] = {"help": " ".join(filter(None, words)), "default": None}
    if parameter.kind is bool:
        switch = parameter.default is not False
        names[0] += f"/--no-{parameter.flag}" if switch else ""
        return click.option(*names, is_flag=True, **common)
    kind: click.ParamType[Any] = _Checked(parameter)
    if parameter.flag == "method":
        kind = _MethodName()
    elif parameter.choices:
        kind = click.Choice([str(choice) for choice in parameter.choices])
    elif parameter.kind is Path:
        kind = PATH
    if parameter.many:
        common |= {"multiple": True, "callback": _split_commas if parameter.kind is str else None}
    elif parameter.choices and parameter.kind is int:
        common["callback"] = lambda ctx, option, value: None if value is None else int(value)
    return click.option(*names, type=kind, metavar=about.metavar or None, **common)


def _split_commas(ctx: click.Context, option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """`--method a,b` is `--method a --method b`."""
    return tuple(part.strip() for text in value for part in text.split(",") if part.strip())


def _note_global(ctx: click.Context, option: click.Parameter, value: bool | None) -> None:
    root = ctx.find_root()
    root.obj = root.obj or dict(GLOBALS)
    if value is not None:
        root.obj[option.name] = value


def _read_config(ctx: click.Context, option: click.Parameter, path: Path | None) -> None:
    """Take defaults from a TOML file: a table per command, keys as the long flags."""
    if path is None:
        return
    try:
        tables = tomllib.loads(read_whole(path, MAX_CONFIG_BYTES).decode("utf-8-sig"))
    except (OSError, ValueError) as error:  # ValueError: neither text nor TOML, or a number of too many digits
        raise click.BadParameter(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    except RecursionError as error:
        raise click.BadParameter(f"{path}: it is nested too deeply") from error
    root = ctx.find_root()
    defaults = _defaults(root, root.command, tables, str(path))
    names: list[str] = []
    inner: click.Context | None = ctx
    while inner is not None and inner.parent is not None:
        names.insert(0, inner.info_name or "")
        inner = inner.parent
    for name in names:  # --config after a command: the table of that command
        defaults = defaults.get(name, {})
    ctx.default_map = defaults


def _defaults(ctx: click.Context, command: click.Command, table: dict[str, Any], where: str) -> dict[str, Any]:
    """The values of a table by parameter name; `[bench.load]` is a table in a table."""
    options = {
        name.lstrip("-"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, parameter.name or "")
    }
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        inner = command.get_command(ctx, key) if isinstance(command, click.Group) else None
        if inner is not None and isinstance(value, dict):
            defaults[key] = _defaults(ctx, inner, value, f"{where}: [{key}]")
        elif isinstance(command, click.Group):
            raise click.BadParameter(f"{where}: [{key}] is not a command's table")
        elif key not in options:
            close = difflib.get_close_matches(key, [name for name in options if "_" not in name], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise click.BadParameter(f"{where} has no option {key!r}{hint}")
        else:
            defaults[str(options[key].name)] = _toml_value(options[key], value, f"{where} {key}")
    return defaults


def _toml_value(option: click.Option, value: Any, where: str) -> Any:
    """Convert a TOML value for a default map of click: a list for a repeatable option, text otherwise."""
    if option.multiple:
        items = value if isinstance(value, list) else [value]
        if all(isinstance(item, (str, int, float)) for item in items):
            return [str(item) for item in items]
    elif option.is_flag:
        if isinstance(value, bool):
            return value
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise click.BadParameter(f"{where}: {value!r} is not a value of --{_long(option)}")


def _walk(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _walk(inner)


def _long(option: click.Option) -> str:
    """The first long flag, without its dashes."""
    return next((name.lstrip("-") for name in option.opts if name.startswith("--")), option.name or "")
