"""The command line: each command parses, makes one call and prints. Stages are imported inside commands."""

from __future__ import annotations

import difflib
import os
import signal
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_pipeline.comparison_commands import compare_command
from alexnet_pipeline.console import ConsoleReporter, note, print_result, printable, size_text, time_text
from alexnet_pipeline.errors import InterruptedRunError, PipelineError, RefusedError
from alexnet_pipeline.training_commands import COMMANDS as TRAINING_COMMANDS
from alexnet_pipeline.training_commands import train_demo

if TYPE_CHECKING:
    from alexnet_pipeline.shards.build import DatasetSummary, Estimate
    from alexnet_pipeline.shards.verify import Verification

COMPLETE_WITH_REJECTS = 3
PROBLEMS_FOUND = 1
# Rejects and problems shown on the screen; all of them are in the manifest and in --json.
SHOWN = 10
DEMO_METHODS = ("nearest", "bilinear", "lanczos", "antialias")


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


_RESUMABLE = "interrupted; what is committed is whole, and the same command resumes"


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


class ShardRange(click.ParamType[tuple[int, int]]):
    """`A:B`, shards A to B-1."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse."""
        first, found, last = str(value).partition(":")
        if isinstance(value, tuple):
            return value
        if not (found and first.isdigit() and last.isdigit() and int(first) < int(last)):
            self.fail(f"{value!r} is no range; write 0:100 for shards 0 to 99", param, ctx)
        return int(first), int(last)


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Take defaults from a TOML file: a table per command, keys as the long options."""
    if path is None:
        return
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path}: {error}") from error
    defaults: dict[str, dict[str, Any]] = {}
    for command, table in tables.items():
        found = cli.get_command(ctx, command)
        if found is None or not isinstance(table, dict):
            raise click.BadParameter(f"{path}: [{command}] is no command")
        known = {parameter.name for parameter in found.params}
        defaults[command] = {key.replace("-", "_"): value for key, value in table.items()}
        unknown = sorted(set(defaults[command]) - known)
        if unknown:
            raise click.BadParameter(f"{path}: [{command}] has no option {unknown[0].replace('_', '-')!r}")
    ctx.default_map = defaults


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


def _shard_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `shard`, in the order in which help shows them."""
    options = [
        click.option(
            "--method",
            "methods",
            multiple=True,
            metavar="NAME",
            help="Downsampling method, repeatable; see `methods`.  [default: antialias]",
        ),
        click.option("--split", multiple=True, help="train, val or test, repeatable.  [default: all the source has]"),
        click.option("--size", default=256, show_default=True, metavar="PX", help="Target side."),
        click.option(
            "--geometry",
            type=click.Choice(["center-crop", "squash", "shorter", "pad"]),
            help="How any shape becomes the target.  [default: center-crop]",
        ),
        click.option(
            "--preset",
            type=click.Choice(["cuda-convnet2", "torchvision"]),
            help="Another tool's preparation; other options still win.",
        ),
        click.option("--linear-light", is_flag=True, help="Resample in linear light, through the sRGB curve."),
        click.option(
            "--encoding",
            type=click.Choice(["jpg", "png", "raw"]),
            default="jpg",
            show_default=True,
            help="raw is a .npy of bytes: no decoding later, 8 times the size.",
        ),
        click.option("--quality", type=click.IntRange(1, 100), help="JPEG quality.  [default: 95]"),
        click.option(
            "--subsampling",
            type=click.Choice(["420", "444"]),
            default="420",
            show_default=True,
            help="JPEG chroma subsampling.",
        ),
        click.option("--name", default="imagenet", show_default=True, help="First part of shard names."),
        click.option("--shard-size", type=int, default=1000, show_default=True, help="Images per shard."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of the global order."),
        click.option("--shuffle/--no-shuffle", default=True, help="Or keep source order, for spinning disks."),
        click.option(
            "--label-order",
            type=click.Choice(["wnid", "devkit"]),
            default="wnid",
            show_default=True,
            help="devkit is ILSVRC2012_ID - 1.",
        ),
        click.option("--limit", type=click.IntRange(1), help="Only so many images per split."),
        click.option(
            "--max-pixels",
            type=int,
            default=64_000_000,
            show_default=True,
            help="Reject larger images by their header.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command("shard")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@_shard_options
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: cores]")
@click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="Leave a bad image out by name, or stop.",
)
@click.option("--max-rejects", type=click.IntRange(0), help="Stop beyond so many rejected images.")
@click.option("--accept", multiple=True, metavar="REASON", help="Rejects for this reason keep exit code 0, repeatable.")
@click.option("--restart", is_flag=True, help="Begin again instead of resuming.")
@click.option("--shard-range", type=ShardRange(), help="Only these shards of each split; then `merge`.")
@click.option("--dry-run", is_flag=True, help="Print the plan with an estimate of time and disk.")
@click.pass_context
def shard_command(
    ctx: click.Context, /, source: Path, out: Path, dry_run: bool, accept: tuple[str, ...], **given: Any
) -> None:
    """Convert SOURCE to shards under OUT, resuming what was begun.

    SOURCE is a folder of class folders (or of train/ and val/ with class folders), or one with ILSVRC2012's
    original tars, which are read without extraction.

    \b
    Example:
      alexnet-pipeline shard /data/ILSVRC2012 /data/shards --method lanczos --method antialias

    Exit codes: 0 complete, 1 failed, 2 refused, 3 complete with rejects, 130/143 interrupted.
    """
    from alexnet_pipeline import api  # noqa: PLC0415

    _check_reasons(accept)
    if dry_run:
        running = ("workers", "on_error", "max_rejects", "restart", "shard_range", "split")
        options = api.method_options(**{key: value for key, value in given.items() if key not in running})
        planned = api.estimate(source, out, options, split=given["split"], workers=given["workers"])
        print_result(ctx, planned, _estimate_lines(planned))
        return
    with _reporter(ctx, "shard") as reporter:
        summaries = api.shard(source, out, **given, reporter=reporter)
    _print_datasets(ctx, summaries, accept)


@cli.command("merge")
@click.argument("out", type=click.Path(path_type=Path))
@click.pass_context
def merge_command(ctx: click.Context, out: Path) -> None:
    """Write the manifests below OUT, after `shard --shard-range` wrote every range.

    \b
    Example:
      alexnet-pipeline merge /data/shards
    """
    from alexnet_pipeline import api  # noqa: PLC0415

    _print_datasets(ctx, api.merge(out), ())


@cli.command("verify")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--deep", is_flag=True, help="Also decode every image.")
@click.option("--workers", type=click.IntRange(1), help="Threads.  [default: cores]")
@click.pass_context
def verify_command(ctx: click.Context, path: Path, deep: bool, workers: int | None) -> None:
    """Check every data set at or below PATH against its manifest; exit 1 if anything is wrong.

    \b
    Example:
      alexnet-pipeline verify /data/shards/lanczos --deep
    """
    from alexnet_pipeline import api  # noqa: PLC0415

    found = api.verify(path, deep=deep, workers=workers)
    print_result(ctx, found, _verification_lines(found))
    if found.problems:
        ctx.exit(PROBLEMS_FOUND)


@cli.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1), default=16, show_default=True, help="Samples to read.")
@click.option("--contact-sheet", type=click.Path(path_type=Path), help="Write thumbnails to this PNG.")
@click.pass_context
def inspect_command(ctx: click.Context, path: Path, limit: int, contact_sheet: Path | None) -> None:
    """Print the first samples of a tar or a split's folder, as webdataset reads them.

    \b
    Example:
      alexnet-pipeline inspect /data/shards/lanczos/train --contact-sheet sheet.png
    """
    from alexnet_pipeline import api  # noqa: PLC0415
    from alexnet_pipeline.shards.inspect import write_contact_sheet  # noqa: PLC0415

    samples = api.inspect(path, limit=limit)
    rows = [
        {
            "key": sample.key,
            "label": sample.label,
            "height": sample.image.shape[0],
            "width": sample.image.shape[1],
            "size_bytes": sample.size_bytes,
            "record": sample.record,
        }
        for sample in samples
    ]
    lines = [
        f"{row['key']:32} {row['label']:5} {row['width']}x{row['height']} {size_text(row['size_bytes']):>8}  "
        f"from {printable(str(row['record'].get('name', '')))} "
        f"{row['record'].get('width')}x{row['record'].get('height')}"
        for row in rows
    ]
    print_result(ctx, rows, lines)
    if contact_sheet:
        write_contact_sheet(samples, contact_sheet)
        note(ctx, f"contact sheet: {contact_sheet}")


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
    from alexnet_pipeline.doctor import examine  # noqa: PLC0415

    parts = examine()
    lines = [f"{'ok' if p.version else '--':3} {p.package:24} {p.version or 'missing':16} {p.gives}" for p in parts]
    lines += [f"    {part.package}: {part.get}" for part in parts if not part.version]
    print_result(ctx, parts, lines)
    if any(part.version is None and not part.extra for part in parts):
        ctx.exit(PROBLEMS_FOUND)


@cli.command("sample")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["folders", "ilsvrc"]),
    default="folders",
    show_default=True,
    help="Class folders, or the three original files of ILSVRC2012.",
)
@click.option("--train-images", type=click.IntRange(10), default=600, show_default=True)
@click.option("--val-images", type=click.IntRange(10), default=100, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.pass_context
def sample_command(ctx: click.Context, /, directory: Path, **given: Any) -> None:
    """Write the embedded sample's raw images: generated, variable-size, ten classes.

    \b
    Example:
      alexnet-pipeline sample /tmp/raw
    """
    from alexnet_pipeline.sample import write_sample  # noqa: PLC0415

    done = write_sample(directory, **given)
    line = f"{done.directory}: {done.train_images} train and {done.val_images} val images, {size_text(done.size_bytes)}"
    print_result(ctx, done, [line])


@cli.command("demo")
@click.argument("directory", type=click.Path(path_type=Path), default="alexnet-demo")
@click.option("--restart", is_flag=True, help="Begin again instead of resuming.")
@click.pass_context
def demo_command(ctx: click.Context, directory: Path, restart: bool) -> None:
    """Run it all on the embedded sample: generate, shard by four methods, verify, train, evaluate, report.

    \b
    Example:
      alexnet-pipeline demo
    """
    from alexnet_pipeline import api  # noqa: PLC0415
    from alexnet_pipeline.sample import write_sample  # noqa: PLC0415
    from alexnet_pipeline.shards.inspect import write_contact_sheet  # noqa: PLC0415

    raw, shards = directory / "raw", directory / "shards"
    if not raw.exists():
        note(ctx, f"generating the sample in {raw}")
        write_sample(raw)
    with _reporter(ctx, "shard") as reporter:
        summaries = api.shard(
            raw,
            shards,
            methods=DEMO_METHODS,
            shard_size=100,
            name="sample",
            restart=restart,
            reporter=reporter,
        )
    found = api.verify(shards, deep=True)
    lines = [*_dataset_lines(summaries), "", *_verification_lines(found)]
    if found.problems:
        print_result(ctx, {"datasets": summaries, "verification": found}, lines)
        ctx.exit(PROBLEMS_FOUND)
    write_contact_sheet(api.inspect(shards / "lanczos" / "train"), directory / "lanczos.png")
    more, trained = train_demo(ctx, directory, shards / "lanczos", restart=restart)
    result = {"datasets": summaries, "verification": found, **trained}
    print_result(ctx, result, [*lines, *more, f"    and {directory / 'lanczos.png'}"])


def _check_reasons(reasons: Sequence[str]) -> None:
    from alexnet_pipeline.records import Reason  # noqa: PLC0415

    for reason in reasons:
        if reason not in set(Reason):
            raise RefusedError(f"--accept {reason!r}: expected one of {', '.join(Reason)}")


def _reporter(ctx: click.Context, what: str) -> ConsoleReporter:
    settings = ctx.find_root().params
    return ConsoleReporter(what, quiet=settings["quiet"], plain=settings["no_progress"])


def _print_datasets(ctx: click.Context, summaries: list[DatasetSummary], accept: Sequence[str]) -> None:
    print_result(ctx, summaries, _dataset_lines(summaries))
    if any(reject.reason not in accept for summary in summaries for reject in summary.rejects):
        ctx.exit(COMPLETE_WITH_REJECTS)


def _dataset_lines(summaries: list[DatasetSummary]) -> list[str]:
    lines = []
    for done in summaries:
        shards = f"{done.shards} shards" if done.complete else f"{done.shards} of {done.planned_shards} shards"
        state = "" if done.complete else "  not merged yet: run `alexnet-pipeline merge`"
        lines.append(
            f"{done.folder}: {done.images:,} images in {shards}, {size_text(done.size_bytes)}, "
            f"{len(done.rejects)} rejected{state}"
        )
    seen = {(reject.name, reject.reason): reject for done in summaries for reject in done.rejects}
    if seen:
        reasons = Counter(reason for _, reason in seen)
        lines.append("rejected: " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()))
        lines += [f"  {printable(r.name)}: {r.reason}, {printable(r.detail)}" for r in [*seen.values()][:SHOWN]]
    if len(seen) > SHOWN:
        lines.append(f"  and {len(seen) - SHOWN} more, all in manifest.json")
    return lines


def _verification_lines(found: Verification) -> list[str]:
    lines = [f"{printable(problem.path)}: {printable(problem.text)}" for problem in found.problems[:SHOWN]]
    if len(found.problems) > SHOWN:
        lines.append(f"and {len(found.problems) - SHOWN} more problems; --json prints all")
    verdict = f"{len(found.problems)} problems" if found.problems else "sound"
    counts = f"{len(found.folders)} data sets, {found.shards} shards, {found.images:,} images"
    return [*lines, f"verify: {verdict}: {counts}, {size_text(found.size_bytes)}"]


def _estimate_lines(planned: Estimate) -> list[str]:
    lines = [f"source: {planned.layout}"]
    lines += [f"{split}: {images:,} images, {shards} shards" for split, (images, shards) in planned.splits.items()]
    lines += [f"{method}: about {size_text(size)}" for method, size in planned.methods.items()]
    needed = sum(planned.methods.values())
    room = "" if needed < planned.free_bytes else " -- NOT ENOUGH"
    lines.append(f"needs about {size_text(needed)} of {size_text(planned.free_bytes)} free{room}")
    lines.append(f"takes about {time_text(planned.seconds)}")
    return lines


for _command in (*TRAINING_COMMANDS, compare_command):
    cli.add_command(_command)


def main() -> None:
    """Entry point of the command."""
    # NumPy's and SciPy's OpenBLAS each start threads that spin .1 s for work which never comes here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    cli(prog_name="alexnet-pipeline")
