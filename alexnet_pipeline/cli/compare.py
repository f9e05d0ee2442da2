"""The command `compare`: parses its options, calls the library and prints the result."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from alexnet_pipeline.cli.console import command_line, note, print_result, reporting
from alexnet_pipeline.cli.options import LOCATION, Command, given, options_of
from alexnet_pipeline.cli.shard import COMPLETE_WITH_REJECTS, accept_option
from alexnet_pipeline.cli.signals import StopRequest, noting
from alexnet_pipeline.comparison.options import CompareOptions, NetworkTraining, idle_parameters
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.text import counted, printable

if TYPE_CHECKING:
    from alexnet_pipeline.comparison.records import Comparison

REPORT = Path("comparison.html")
# A width that no table reaches, for output that is not wrapped.
UNWRAPPED = 1000


@click.command("compare", cls=Command)
@click.argument("source", type=LOCATION, required=False)
@options_of(CompareOptions, NetworkTraining, SourceOptions, output=str(REPORT), work_dir="beside the report")
@accept_option
@click.pass_context
def compare_command(ctx: click.Context, /, source: Location | None, accept: tuple[str, ...], **options: Any) -> None:
    """Compare downsampling methods on the images of SOURCE, or finished data sets, in one HTML report.

    The report shows what each method keeps, how much it aliases and, with --train, how accurate networks become.

    \b
    Example:
      alexnet-pipeline compare /data/ILSVRC2012 --images 2000 --method nearest,bilinear,lanczos -o report.html
      alexnet-pipeline compare --shards shards/lanczos/val --shards shards/nearest/val -o report.html

    Exit codes: 0 complete, 1 failed, 2 refused, 3 complete with rejects, 130/143 interrupted.
    """
    from alexnet_pipeline.comparison.compare import compare  # noqa: PLC0415

    chosen = _effective(ctx, given(options))
    output = chosen.setdefault("output", REPORT)
    train = chosen.get("train", False)
    if train:
        chosen.setdefault("work_dir", output.parent / f"{output.stem}-training")
    # A dozen networks would leave a progress bar each, so training is reported in lines.
    with reporting(ctx, plain=train) as report, _stop_requests() as stop:
        comparison = compare(source, command=command_line(), stop=stop, progress=report, **chosen)
    print_result(ctx, comparison, comparison_lines(comparison))
    note(ctx, f"report: {output}")
    if train:
        note(ctx, f"{chosen['work_dir']} holds the shards and the networks; the same command goes on from there")
    if any(reject.reason not in accept for reject in comparison.rejects):
        ctx.exit(COMPLETE_WITH_REJECTS)


def comparison_lines(comparison: Comparison) -> list[str]:
    """Counts, table and verdict, as wide as the terminal; not wrapped where there is none."""
    from alexnet_pipeline.comparison.summary import means_table, table_notes  # noqa: PLC0415

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    counts = f"{counted(len(comparison.images), 'image')}, {len(comparison.rejects):,} rejected"
    prose = [*table_notes(comparison), "", *comparison.verdict]
    if width:
        prose = [wrapped for line in prose for wrapped in textwrap.wrap(line, width, break_on_hyphens=False) or [""]]
    return [counts, "", *_table_lines(*means_table(comparison), width), *prose]


def _table_lines(heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """A table with units below its heads; where it would be wider than a width, heads have a line for each word."""
    lines: list[str] = []
    for between, gap in ((" ", 2), ("\n", 2), ("\n", 1)):
        lines = _laid_out([f"{name}\n({unit})" if unit else name for name, unit in heads], rows, between, gap)
        if width is None or max(map(len, lines)) <= width:
            break
    return lines


def _laid_out(heads: Sequence[str], rows: Sequence[Sequence[str]], between: str, gap: int) -> list[str]:
    """The lines of a table: its first column to the left, the others to the right."""
    from rich.console import Console  # noqa: PLC0415 - takes long, and other commands do without
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for head in heads:
        justify: Literal["left", "right"] = "right" if table.columns else "left"
        table.add_column(escape(head.replace(" ", between)), justify=justify, vertical="bottom", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console = Console(file=io.StringIO(), width=UNWRAPPED, color_system=None, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _effective(ctx: click.Context, chosen: dict[str, Any]) -> dict[str, Any]:
    """Drop options from a file or a variable that have no effect; `compare` refuses those on the command line."""
    idle = idle_parameters(shards="shards" in chosen, train=chosen.get("train", False))
    return {
        name: value
        for name, value in chosen.items()
        if name not in idle or ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


@contextmanager
def _stop_requests() -> Iterator[Callable[[], int]]:
    """Give the `stop` of training: once training calls it, signals request a stop; before, they end the command."""
    request, called = StopRequest(), False
    with ExitStack() as stack:

        def stop() -> int:
            nonlocal called
            if not called:
                called = True
                stack.enter_context(noting(request))
            return request()

        yield stop


COMMANDS = (compare_command,)
