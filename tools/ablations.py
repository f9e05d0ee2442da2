"""Train variants of a network at equal steps with several seeds, and print their errors as a table.

    python tools/ablations.py shards/antialias --out runs/ablations --group presets --epochs 15

SHARDS is a method's folder with train/ and val/. A run that ended is not repeated, one that was interrupted goes on,
so the command can be given again; the table tells of the runs that are complete. Differences are paired by seed. The
learning rate of a preset is scaled with the batch.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

import alexnet_pipeline
from alexnet_pipeline.alexnet.recipe import find_recipe
from alexnet_pipeline.comparison.accuracy import paired_tests
from alexnet_pipeline.comparison.records import TrainedCell, TrainedPair

# Options of each variant, the first being what the others are compared with.
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "presets": {"paper": {"preset": "paper"}, "batchnorm": {"preset": "batchnorm"}, "modern": {"preset": "modern"}},
}


def train_all(given: argparse.Namespace, variants: dict[str, dict[str, Any]]) -> Iterator[TrainedCell]:
    """Train each variant with each seed, seed after seed, and give its errors on the validation set."""
    for seed, (name, options) in product(given.seeds, variants.items()):
        preset = find_recipe(options)
        rate = preset.learning_rate * given.batch_size / preset.batch_images
        shared = {"epochs": given.epochs, "batch_size": given.batch_size, "width": given.width, "learning_rate": rate}
        how = {"seed": seed, "threads": given.threads, "keep_checkpoints": 1, "resume": "auto", "progress": False}
        run = given.out / given.group / f"{name}-{seed}"
        done = alexnet_pipeline.train(given.shards, run_dir=run, **{**how, **shared, **options})
        assert done.errors
        errors = done.errors
        print(f"{name}, seed {seed}: {errors}", flush=True)
        yield TrainedCell(name, name, seed, errors.total_images, errors.top1_error, errors.top5_error)


def rows(names: Sequence[str], cells: Sequence[TrainedCell], pairs: Sequence[TrainedPair]) -> Iterator[str]:
    """A row of the table for each variant: mean error, its standard deviation, and the difference from the first."""
    differences = {pair.second: pair for pair in pairs if pair.first == names[0]}
    for name in names:
        errors = [100 * cell.top1_error for cell in cells if cell.train == name]
        deviation = f"{statistics.stdev(errors):.1f}" if len(errors) > 1 else ""
        pair = differences.get(name)
        # A pair is the first less the second; a reader asks what the variant adds.
        difference = (
            f"{-100 * pair.difference:+.1f} ({-100 * pair.high:+.1f} to {-100 * pair.low:+.1f})" if pair else ""
        )
        yield f"| {name} | {statistics.fmean(errors):.1f} | {deviation} | {difference} |"


def main() -> None:
    """Train what is missing, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, help="a method's folder with train/ and val/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--group", choices=GROUPS, default="presets", help="which variants to compare")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="train these variants of the group only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED", help="seeds of the runs")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of every run")
    parser.add_argument("--batch-size", type=int, default=64, help="images per step of every run")
    parser.add_argument("--width", type=float, default=0.25, help="factor on the channels of every run")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch and of the loader")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    variants = {name: it for name, it in GROUPS[given.group].items() if given.only is None or name in given.only}
    cells = list(train_all(given, variants))
    pairs = paired_tests(list(variants), given.seeds, cells)
    print(f"\n# ablations, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; ", end="")
    print(f"{given.epochs} epochs, batch {given.batch_size}, width {given.width}, seeds {given.seeds}, ", end="")
    print(f"{cells[0].total_images:,} validation images, centre crop\n")
    print(f"| variant | top-1 error, % | std. dev. over seeds | less {next(iter(variants))}, points (95 %) |")
    print("|---|---|---|---|")
    for row in rows(list(variants), cells, pairs):
        print(row)


if __name__ == "__main__":
    main()
