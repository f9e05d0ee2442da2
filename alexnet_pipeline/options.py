"""Options, each declared once as a field of a frozen record.

Python parameters, command-line flags with their help, TOML keys and environment variables are all derived from these
fields.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import operator
import os
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union

from alexnet_pipeline.errors import RefusedError

Record = TypeVar("Record")
Function = TypeVar("Function", bound=Callable[..., Any])

METADATA = "option"
# A field's name ends in its unit, a parameter's does not: `size_px` is the parameter `size` and the flag `--size`.
UNITS = ("_px", "_images", "_steps", "_s")
# Largest seed that all random generators used here accept, torch's included.
MAX_SEED = 2**32 - 1
# Start of the docstring line that `takes_options` replaces with the parameters derived from records.
DOC_LINE = "**options:"


class Part(NamedTuple):
    """One of several equal parts, counted from 0."""

    number: int
    parts: int


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of an option.

    Attributes:
        help: help text, a phrase that stands alone, with a full stop.
        least: smallest allowed value.
        most: largest allowed value.
        above: exclusive lower bound.
        below: exclusive upper bound.
        name: name of the parameter; empty for the field's name without its unit.
        flag: command-line flag without dashes; empty for the parameter's name.
        also: further flags of the same option, with their dashes.
        metavar: placeholder of the value in the help; empty for the type's name.
        default_text: description of the default, if its value does not explain itself.
    """

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    name: str = ""
    flag: str = ""
    also: tuple[str, ...] = ()
    metavar: str = ""
    default_text: str = ""


def option(default: Any, help: str, **about: Any) -> Any:
    """Declare a field of a record as an option; see `Option` for the keywords."""
    return dataclasses.field(default=default, metadata={METADATA: Option(help, **about)})


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option with its names and its type, derived from a field of a record.

    Attributes:
        field: name of the record's field.
        name: name of the Python parameter.
        flag: command-line flag without dashes.
        kind: `int`, `float`, `bool`, `str`, `Path` or `range` (two integers).
        choices: the allowed values; empty if any value of the type is allowed.
        optional: whether None is allowed.
        many: whether the value is a tuple of such values.
        default: default of the record's field.
        option: the declaration.
    """

    field: str
    name: str
    flag: str
    kind: type
    choices: tuple[Any, ...]
    optional: bool
    many: bool
    default: Any
    option: Option

    def convert(self, value: Any) -> Any:
        """Check a value, which may be text, and convert it to the field's type.

        Where a tuple is expected, a single text or path becomes its only item.

        Raises:
            ValueError: the value is invalid; the message says what was found and what was expected.
        """
        if value is None and self.optional:
            return None
        if self.many:
            items = (value,) if isinstance(value, (str, os.PathLike)) else tuple(value)
            return tuple(self._convert_one(item) for item in items)
        return self._convert_one(value)

    def default_text(self) -> str:
        """The default as text; empty if there is none to show."""
        if self.option.default_text or self.kind is bool or self.default in (None, ()):
            return self.option.default_text
        return f"{self.default:,}" if self.kind is int else str(self.default)

    def _convert_one(self, value: Any) -> Any:
        read, words = _KINDS[self.kind]
        try:
            converted = read(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{value!r} is not {words}") from error
        if self.choices and converted not in self.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(map(str, self.choices))}")
        if self.kind in {int, float}:
            self._check_bounds(converted)
        return converted

    def _check_bounds(self, value: float) -> None:
        about = self.option
        bounds = (
            (about.least, operator.ge, "at least"),
            (about.above, operator.gt, "more than"),
            (about.most, operator.le, "at most"),
            (about.below, operator.lt, "less than"),
        )
        given = [(bound, holds, words) for bound, holds, words in bounds if bound is not None]
        if not all(holds(value, bound) for bound, holds, _ in given):
            expected = " and ".join(f"{words} {bound:,}" for bound, _, words in given)
            raise ValueError(f"{value:,} is out of range; expected {expected}")


@functools.cache
def parameters_of(record: type) -> tuple[Parameter, ...]:
    """The options among a record's fields, in order."""
    hints = typing.get_type_hints(record)
    parameters = []
    for field in dataclasses.fields(record):
        about = field.metadata.get(METADATA)
        if about is None:
            continue
        name = about.name or next((field.name.removesuffix(u) for u in UNITS if field.name.endswith(u)), field.name)
        flag = about.flag or name.replace("_", "-")
        parameters.append(Parameter(field.name, name, flag, *_read_hint(hints[field.name]), field.default, about))
    return tuple(parameters)


def make(record: type[Record], given: Mapping[str, Any], base: Record | None = None) -> Record:
    """Make a record from the values of parameters.

    Args:
        record: type of the record.
        given: values by parameter name; the parameters of other records are ignored.
        base: record that supplies the values not given; without it, the fields' defaults do.

    Raises:
        RefusedError: a value has the wrong type or is out of range; the message names the parameter.
    """
    values = {}
    for parameter in parameters_of(record):  # type: ignore[arg-type] # a type is hashable
        if parameter.name in given:
            try:
                values[parameter.field] = parameter.convert(given[parameter.name])
            except ValueError as error:
                raise RefusedError(f"`{parameter.name}`: {error}") from error
    return record(**values) if base is None else dataclasses.replace(base, **values)  # type: ignore[type-var]


def check(record: object) -> None:
    """Check the values of a record that was read from a file, as `make` checks those that are given.

    Raises:
        ValueError: a value is out of range; the message names the field.
    """
    for parameter in parameters_of(type(record)):  # type: ignore[arg-type] # a type is hashable
        try:
            parameter.convert(getattr(record, parameter.field))
        except ValueError as error:
            raise ValueError(f"{parameter.field}: {error}") from error


def takes_options(*records: type) -> Callable[[Function], Function]:
    """Decorate a function so that its `**options` are the parameters declared by records.

    Its signature lists every one of them, and its docstring does so in place of the line `**options: ...`.
    """

    def decorate(function: Function) -> Function:
        own = inspect.signature(function)
        parameters = {parameter.name: parameter for record in records for parameter in parameters_of(record)}
        plain = [parameter for parameter in own.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default)
            for name, each in parameters.items()
            if name not in own.parameters
        ]
        known = {*own.parameters, *parameters}

        @functools.wraps(function)
        def checked(*arguments: Any, **given: Any) -> Any:
            for name in given.keys() - known:
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}")
            return function(*arguments, **given)

        keywords = [parameter for parameter in plain if parameter.kind is parameter.KEYWORD_ONLY]
        positional = [parameter for parameter in plain if parameter.kind is not parameter.KEYWORD_ONLY]
        checked.__signature__ = own.replace(parameters=[*positional, *added, *keywords])  # type: ignore[attr-defined]
        checked.__doc__ = _documented(function.__doc__ or "", parameters.values())
        return typing.cast(Function, checked)

    return decorate


def _documented(text: str, parameters: typing.Iterable[Parameter]) -> str:
    lines = []
    for line in text.splitlines():
        if not line.strip().startswith(DOC_LINE):
            lines.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        for parameter in parameters:
            words = f"{parameter.name}: {_sentence(parameter)}"
            lines += textwrap.wrap(words, 110, initial_indent=indent, subsequent_indent=indent + "    ")
    return "\n".join(lines)


def _sentence(parameter: Parameter) -> str:
    """Help, choices and default of a parameter for a docstring."""
    choices = f" One of {', '.join(map(repr, parameter.choices))}." if parameter.choices else ""
    default = parameter.option.default_text or repr(parameter.default)
    return f"{parameter.option.help}{choices} Default: {default}."


def _read_hint(hint: Any) -> tuple[type, tuple[Any, ...], bool, bool]:
    """(kind, choices, optional, many) of a field's annotation."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in {Union, types.UnionType}:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        kind, choices, _, many = _read_hint(inner)
        return kind, choices, True, many
    if typing.get_origin(hint) is Literal:
        return type(arguments[0]), arguments, False, False
    if typing.get_origin(hint) is tuple:
        if arguments == (int, int):
            return range, (), False, False
        kind, choices, _, _ = _read_hint(arguments[0])
        return kind, choices, False, True
    return typing.cast(type, hint), (), False, False


def _read_int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(value.replace("_", "").replace(",", "")) if isinstance(value, str) else operator.index(value)


def _read_float(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return read


def _read_range(value: Any) -> tuple[int, int]:
    """Read `A:B`, or a pair, as the half-open range [A, B)."""
    first, last = value.split(":") if isinstance(value, str) else value
    span = _read_int(first), _read_int(last)
    if not 0 <= span[0] < span[1]:
        raise ValueError
    return span


def _read_part(value: Any) -> Part:
    """Read `I/N`, or a pair, as a part."""
    number, parts = value.split("/") if isinstance(value, str) else value
    part = Part(_read_int(number), _read_int(parts))
    if not 0 <= part.number < part.parts:
        raise ValueError
    return part


# How a value of each kind is read, and what to call one.
_KINDS: dict[type, tuple[Callable[[Any], Any], str]] = {
    int: (_read_int, "a whole number"),
    float: (_read_float, "a finite number"),
    bool: (_exactly(bool), "true or false"),
    str: (_exactly(str), "text"),
    Path: (Path, "a path"),
    range: (_read_range, "a range; 0:100 means 0 to 99"),
    Part: (_read_part, "a part; of 64 parts, 0/64 is the first and 63/64 the last"),
}
