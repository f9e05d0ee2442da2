"""The commands that make and check shards: each parses its options, calls the library and prints the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from alexnet_pipeline.cli.console import next_steps, note, print_result, reporting, size_text, time_text
from alexnet_pipeline.cli.options import LOCATION, Command, given, options_of
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.records import Reason, SetOptions
from alexnet_pipeline.shards.options import InspectOptions, RunOptions, Selection, VerifyOptions
from alexnet_pipeline.storage.place import Location, locate
from alexnet_pipeline.text import counted, printable

if TYPE_CHECKING:
    from alexnet_pipeline.shards.estimate import Estimate
    from alexnet_pipeline.shards.inspect import SampleView
    from alexnet_pipeline.shards.summary import SetSummary
    from alexnet_pipeline.shards.verify import Verification

COMPLETE_WITH_REJECTS = 3
PROBLEMS_FOUND = 1
# Reasons of rejects that may lie in the machine and not in the image.
MACHINES = frozenset({Reason.UNREADABLE, Reason.DECODER_CRASH, Reason.TIMEOUT})
# Number of rejects and of problems to print; --json prints all, and the manifest lists all rejects.
SHOWN = 10

accept_option = click.option(
    "--accept",
    multiple=True,
    type=click.Choice([str(reason) for reason in Reason]),
    metavar="REASON",
    help="Exit with 0 even if images were rejected for this reason; repeatable.",
)


@click.command("shard", cls=Command, short_help="Convert raw images to shards.")
@click.argument("source", type=LOCATION)
@click.argument("out", type=LOCATION)
@options_of(Selection, SourceOptions, SetOptions, RunOptions)
@accept_option
@click.option("--dry-run", is_flag=True, help="Estimate time and disk space; write nothing.")
@click.pass_context
def shard_command(
    ctx: click.Context, /, source: Location, out: Location, dry_run: bool, accept: tuple[str, ...], **options: Any
) -> None:
    """Convert the raw images of SOURCE to shards under OUT; run the same command again to resume.

    SOURCE is read in place, without unpacking anything: class folders, the original tars, Kaggle's tree or zip,
    Hugging Face's Parquet, WebDataset and others, which `layouts` lists. What is not recognised is refused.

    \b
    Example:
      alexnet-pipeline shard /data/ILSVRC2012 /data/shards --method lanczos --method antialias
      alexnet-pipeline shard photos out --labels labels.csv
      alexnet-pipeline shard imagenet-r out --classes /data/shards/lanczos/val

    Exit codes: 0 complete, 1 failed, 2 refused, 3 complete with rejects, 130/143 interrupted.
    """
    if dry_run:
        from alexnet_pipeline.shards.estimate import estimate  # noqa: PLC0415

        planned = estimate(source, out, **given(options))
        print_result(ctx, planned, _estimate_lines(planned))
        return
    from alexnet_pipeline.shards.build import shard  # noqa: PLC0415

    with reporting(ctx) as report:
        summaries = shard(source, out, progress=report, **given(options))
    print_sets(ctx, summaries, accept)


@click.command("layouts", cls=Command, short_help="List the layouts of raw images that are recognised.")
@click.pass_context
def layouts_command(ctx: click.Context) -> None:
    """List the layouts of raw images that `shard` recognises: what each looks like, and an example.

    \b
    Example:
      alexnet-pipeline layouts
    """
    from alexnet_pipeline.raw.layouts import LAYOUTS  # noqa: PLC0415

    rows = [{name: getattr(each, name) for name in ("name", "title", "looks_like", "tree")} for each in LAYOUTS]
    lines = []
    for each in LAYOUTS:
        lines += [f"{each.name}: {each.looks_like}", *(f"    {line}" for line in each.tree.splitlines()), ""]
    lines += [
        "All are read in place; class folders, tars of classes, Kaggle and Tiny-ImageNet also in one tar or zip.",
        "Exactly one layout must fit, or --layout names it.",
        "Labels follow the sorted names of the classes, numbers as numbers, unless the source has numeric labels.",
    ]
    print_result(ctx, rows, lines)


@click.command("merge", cls=Command, short_help="Combine shard ranges that separate jobs wrote.")
@click.argument("outs", metavar="OUT [OTHER]...", type=LOCATION, nargs=-1, required=True)
@click.pass_context
def merge_command(ctx: click.Context, outs: tuple[Location, ...]) -> None:
    """Complete the data sets below OUT whose parts separate jobs wrote, with `shard --part` or `--shard-range`.

    Jobs may have written to one folder or to several: shards that OUT lacks are copied from OTHER first.

    \b
    Example:
      alexnet-pipeline merge /data/shards
      alexnet-pipeline merge /data/shards /node1/shards /node2/shards
    """
    from alexnet_pipeline.shards.merge import merge  # noqa: PLC0415

    print_sets(ctx, merge(*outs), ())


@click.command("verify", cls=Command, short_help="Check data sets against their manifests.")
@click.argument("path", type=LOCATION)
@options_of(VerifyOptions)
@click.pass_context
def verify_command(ctx: click.Context, /, path: Location, **options: Any) -> None:
    """Check every data set at or below PATH against its manifest; exit with 1 if anything is wrong.

    \b
    Example:
      alexnet-pipeline verify /data/shards/lanczos --deep
    """
    from alexnet_pipeline.shards.verify import verify  # noqa: PLC0415

    with reporting(ctx) as report:
        verification = verify(path, progress=report, **given(options))
    print_result(ctx, verification, verification_lines(verification))
    if verification.problems:
        note(ctx, "next: `reindex` rebuilds lost indexes, mean images and manifests from sound tars")
        note(ctx, "      a damaged tar: remove it and the manifest.json beside it, and repeat the `shard` command")
        ctx.exit(PROBLEMS_FOUND)


@click.command("reindex", cls=Command, short_help="Rebuild indexes and manifests from sound tars.")
@click.argument("path", type=LOCATION)
@click.pass_context
def reindex_command(ctx: click.Context, path: Location) -> None:
    """Rebuild missing and damaged indexes, mean images and manifests of the data sets at or below PATH.

    Tars are never changed. A manifest is rebuilt from the plan and the journal in .state; statistics that are lost are
    computed from the encoded images. Exit with 1 if something could not be rebuilt.

    \b
    Example:
      alexnet-pipeline reindex /data/shards/lanczos
    """
    from alexnet_pipeline.shards.reindex import reindex  # noqa: PLC0415

    with reporting(ctx) as report:
        done = reindex(path, progress=report)
    problems = [f"{printable(problem.path)}: {printable(problem.text)}" for problem in done.problems[:SHOWN]]
    counts = f"{counted(len(done.rebuilt), 'file')} rebuilt in {counted(len(done.folders), 'data set')}"
    left = f", {counted(len(done.problems), 'problem')} left" if done.problems else ""
    print_result(ctx, done, [*map(printable, done.rebuilt), *problems, f"reindex: {counts}{left}"])
    if done.problems:
        ctx.exit(PROBLEMS_FOUND)


@click.command("inspect", cls=Command, short_help="Print the first samples of a data set.")
@click.argument("path", type=LOCATION)
@options_of(InspectOptions)
@click.pass_context
def inspect_command(ctx: click.Context, /, path: Location, **options: Any) -> None:
    """Print the first samples of a data set, or of any WebDataset tar.

    \b
    Example:
      alexnet-pipeline inspect /data/shards/lanczos/train --contact-sheet sheet.png
    """
    from alexnet_pipeline.shards.inspect import inspect  # noqa: PLC0415

    samples = inspect(path, **given(options))
    note(ctx, samples.title)
    rows = [_sample_row(sample) for sample in samples]
    print_result(ctx, rows, [_sample_line(sample) for sample in samples])
    if options["contact_sheet"]:
        note(ctx, f"contact sheet: {options['contact_sheet']}")


def print_sets(ctx: click.Context, summaries: Sequence[SetSummary], accept: Sequence[str]) -> None:
    """Print the result of a run; rejects that are not accepted give exit code 3."""
    print_result(ctx, summaries, set_lines(summaries))
    if summaries and all(done.complete for done in summaries):
        method = locate(summaries[0].folder).parent
        next_steps(ctx, ["verify", method.parent], ["train", method, "--run-dir", "runs/a"])
    if any(reject.reason not in accept for summary in summaries for reject in summary.rejects):
        ctx.exit(COMPLETE_WITH_REJECTS)


def set_lines(summaries: Sequence[SetSummary]) -> list[str]:
    """The result of a run, as lines for a terminal."""
    lines = []
    for done in summaries:
        shards = counted(done.shards, "shard")
        if not done.complete:
            shards = f"{done.shards:,} of {counted(done.planned_shards, 'shard')}"
        state = "" if done.complete else "  not complete yet: write the other parts, then run `alexnet-pipeline merge`"
        lines.append(
            f"{done.folder}: {counted(done.images, 'image')} in {shards}, {size_text(done.size_bytes)}, "
            f"{len(done.rejects):,} rejected{state}"
        )
    by_split = {done.split: done for done in summaries}
    lines += [per_class(split, done.class_images) for split, done in by_split.items() if done.class_images]
    seen = {(done.split, reject.name, reject.reason): reject for done in summaries for reject in done.rejects}
    if seen:
        reasons = Counter(reason for _, _, reason in seen)
        lines.append("rejected: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common()))
        shown = [(split, reject) for (split, _, _), reject in seen.items()][:SHOWN]
        lines += [f"  {split}: {printable(r.name)}: {r.reason}, {printable(r.detail)}" for split, r in shown]
        if not reasons.keys().isdisjoint(MACHINES):
            lines.append(
                "  unreadable, decoder_crash and timeout may be the machine's fault: --retry-rejects tries again"
            )
    if len(seen) > SHOWN:
        lines.append(f"  and {len(seen) - SHOWN:,} more, all in manifest.json")
    remarked = {(done.split, remark.name): remark for done in summaries for remark in done.remarks}
    if remarked:
        first = next(iter(remarked.values()))
        more = f" and {len(remarked) - 1:,} more" if len(remarked) > 1 else ""
        lines.append(f"taken with a remark: {printable(first.name)} ({printable(first.text)}){more}; see manifest.json")
    return lines


def per_class(split: str, class_images: Mapping[str, int]) -> str:
    """The number of images of the smallest, median and largest class that has any, as a line."""
    totals = sorted(total for total in class_images.values() if total)
    classes = counted(len(totals), "class")
    empty = f", {len(class_images) - len(totals):,} without images" if len(totals) < len(class_images) else ""
    if not totals or totals[0] == totals[-1]:
        each = " each" if len(totals) > 1 else ""
        return f"{split}: {classes} of {counted(totals[0] if totals else 0, 'image')}{each}{empty}"
    middle = totals[len(totals) // 2]
    return f"{split}: {classes} of {totals[0]:,} to {totals[-1]:,} images, median {middle:,}{empty}"


def verification_lines(verification: Verification) -> list[str]:
    """The problems and the verdict of a verification, as lines for a terminal."""
    problems = verification.problems
    lines = [f"{printable(problem.path)}: {printable(problem.text)}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"and {counted(len(problems) - SHOWN, 'more problem')}; --json prints all")
    verdict = counted(len(problems), "problem") if problems else "sound"
    counts = (
        f"{counted(len(verification.folders), 'data set')}, {counted(verification.shards, 'shard')}, "
        f"{counted(verification.images, 'image')}"
    )
    return [*lines, f"verify: {verdict}: {counts}, {size_text(verification.size_bytes)}"]


def _sample_row(sample: SampleView) -> dict[str, Any]:
    height, width = sample.image.shape[:2]
    place = {"key": sample.key, "label": sample.label, "words": sample.words, "height": height, "width": width}
    return {**place, "size_bytes": sample.size_bytes, "record": sample.record}


def _sample_line(sample: SampleView) -> str:
    height, width = sample.image.shape[:2]
    label = f"{sample.label:5} {printable(sample.words)}".rstrip()
    line = f"{printable(sample.key):32} {label} {width}x{height} {size_text(sample.size_bytes):>8}"
    if sample.record is None:
        return line
    return f"{line}  from {printable(sample.record.name)} {sample.record.width}x{sample.record.height}"


def _estimate_lines(planned: Estimate) -> list[str]:
    lines = [*planned.recognised, *(per_class(each.split, each.class_images) for each in planned.splits)]
    lines += [
        f"{each.split}: {counted(each.images, 'image')}, {counted(each.shards, 'shard')}" for each in planned.splits
    ]
    lines += [f"{method}: about {size_text(size)}" for method, size in planned.methods.items()]
    needed = sum(planned.methods.values())
    if planned.free_bytes is None:
        lines.append(f"needs about {size_text(needed)}")
    else:
        room = "" if needed < planned.free_bytes else " -- NOT ENOUGH"
        lines.append(f"needs about {size_text(needed)} of {size_text(planned.free_bytes)} free{room}")
    lines.append(f"takes about {time_text(planned.seconds)}")
    return lines


COMMANDS = (shard_command, layouts_command, merge_command, verify_command, reindex_command, inspect_command)
