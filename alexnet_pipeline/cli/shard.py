"""The commands that make and check shards: each parses, makes one call and prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet_pipeline.cli.console import note, print_result, printable, shard_reporter, size_text, time_text
from alexnet_pipeline.errors import RefusedError

if TYPE_CHECKING:
    from alexnet_pipeline.shards.build import DatasetSummary, Estimate
    from alexnet_pipeline.shards.verify import Verification

COMPLETE_WITH_REJECTS = 3
PROBLEMS_FOUND = 1
# Rejects and problems shown on the screen; all of them are in the manifest and in --json.
SHOWN = 10


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


@click.command("shard")
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

    check_reasons(accept)
    if dry_run:
        running = ("workers", "on_error", "max_rejects", "restart", "shard_range", "split")
        options = api.method_options(**{key: value for key, value in given.items() if key not in running})
        planned = api.estimate(source, out, options, split=given["split"], workers=given["workers"])
        print_result(ctx, planned, _estimate_lines(planned))
        return
    with shard_reporter(ctx) as reporter:
        summaries = api.shard(source, out, **given, reporter=reporter)
    _print_datasets(ctx, summaries, accept)


@click.command("merge")
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


@click.command("verify")
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
    print_result(ctx, found, verification_lines(found))
    if found.problems:
        ctx.exit(PROBLEMS_FOUND)


@click.command("inspect")
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


def check_reasons(reasons: Sequence[str]) -> None:
    """Make sure that --accept names reasons.

    Raises:
        RefusedError: one is none.
    """
    from alexnet_pipeline.records import Reason  # noqa: PLC0415

    for reason in reasons:
        if reason not in set(Reason):
            raise RefusedError(f"--accept {reason!r}: expected one of {', '.join(Reason)}")


def _print_datasets(ctx: click.Context, summaries: list[DatasetSummary], accept: Sequence[str]) -> None:
    print_result(ctx, summaries, dataset_lines(summaries))
    if any(reject.reason not in accept for summary in summaries for reject in summary.rejects):
        ctx.exit(COMPLETE_WITH_REJECTS)


def dataset_lines(summaries: list[DatasetSummary]) -> list[str]:
    """What a run made, for the screen."""
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


def verification_lines(found: Verification) -> list[str]:
    """What is wrong, and the verdict, for the screen."""
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


COMMANDS = (shard_command, merge_command, verify_command, inspect_command)
