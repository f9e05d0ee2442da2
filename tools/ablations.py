"""Train variants of a network at equal steps with several seeds, and print their errors as a table.

    python tools/ablations.py shards/antialias --out runs/ablations --group claims --epochs 15
    python tools/ablations.py jpeg-75/antialias png/antialias --out runs/storage --group batchnorm --epochs 15

SHARDS is a method's folder with train/ and val/. Several of them are compared with one another by the first variant of
the group; otherwise the variants of the group are compared. A network whose errors are in the results' file is not
trained again, and one that was interrupted goes on, so the command can be given again, and processes with other --seeds
can share the file. Differences are paired by seed. The learning rate of a preset is scaled with the batch, and
`paper` has a linear schedule in all groups but `presets`, because a plateau takes more epochs than these runs have.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import alexnet_pipeline
from alexnet_pipeline.alexnet.recipe import find_recipe
from alexnet_pipeline.comparison.accuracy import paired_tests
from alexnet_pipeline.comparison.records import TrainedCell, TrainedPair
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.records import fingerprint, from_json, to_json

PAPER: dict[str, Any] = {"preset": "paper", "schedule": "linear"}
# Options of each variant, the first being what the others are compared with.
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "presets": {"paper": {"preset": "paper"}, "batchnorm": {"preset": "batchnorm"}, "modern": {"preset": "modern"}},
    "claims": {
        "paper": PAPER,
        "no normalisation": PAPER | {"norm": "none"},
        "batch normalisation": PAPER | {"norm": "batch"},
        "no dropout": PAPER | {"dropout": 0.0},
        "no lighting": PAPER | {"lighting": 0.0},
        "centre crops": PAPER | {"random_crops": False},
        "no flips": PAPER | {"random_flips": False},
        "plain pooling": PAPER | {"pooling": "plain"},
        "blur pooling": PAPER | {"pooling": "blur"},
        "one tower, half the kernels": PAPER | {"grouped": False, "conv_width": 0.5},
        "no cross links": PAPER | {"cross_links": False},
        "modern": {"preset": "modern"},
    },
    "batchnorm": {"batchnorm": {"preset": "batchnorm"}},
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Errors of a network on the validation set, and a fingerprint of what decides them."""

    identity: str
    variant: str
    seed: int
    total_images: int
    top1_error: float
    top5_error: float


def train_all(given: argparse.Namespace) -> Iterator[Measured]:
    """Train each variant with each seed, seed after seed, unless its errors are known."""
    variants = {name: it for name, it in GROUPS[given.group].items() if given.only is None or name in given.only}
    first = next(iter(variants.values()))
    shards = given.shards[0]
    tasks = [(str(each), each, first) for each in given.shards] if len(given.shards) > 1 else []
    tasks = tasks or [(name, shards, options) for name, options in variants.items()]
    known = {measured.identity: measured for measured in read(given.results)}
    digests = {folder: [read_manifest(folder / split).digest for split in ("train", "val")] for folder in given.shards}
    for seed in given.seeds:
        for name, folder, options in tasks:
            preset = find_recipe(options)
            rate = preset.learning_rate * given.batch_size / preset.batch_images
            shared = {"epochs": given.epochs, "batch_size": given.batch_size, "width": given.width}
            chosen = options | shared | {"learning_rate": rate}
            identity = fingerprint(dataclasses.asdict(find_recipe(chosen)), digests[folder], seed, torch.__version__)
            if identity not in known:
                known[identity] = train(given, folder, chosen, seed, identity, name)
                with given.results.open("ab") as file:
                    file.write(to_json(known[identity]).strip() + b"\n")
            print(f"{name}, seed {seed}: top-1 error {100 * known[identity].top1_error:.1f} %", flush=True)
            yield dataclasses.replace(known[identity], variant=name)


def train(
    given: argparse.Namespace, shards: Path, options: dict[str, Any], seed: int, identity: str, name: str
) -> Measured:
    """Train a network, or the rest of it, and test it on centre crops; only a plateau needs to validate meanwhile."""
    run = given.out / f"{name.replace(' ', '-').replace('/', '-')}-{seed}-{identity[:8]}"
    val = None if find_recipe(options).schedule == "plateau" else "none"
    how = {"seed": seed, "threads": given.threads, "keep_checkpoints": 1, "resume": "auto", "progress": False}
    alexnet_pipeline.train(shards, run_dir=run, val=val, **how, **options)
    errors = alexnet_pipeline.evaluate([run], shards=shards / "val", progress=False).errors
    return Measured(identity, name, seed, errors.total_images, errors.top1_error, errors.top5_error)


def read(results: Path) -> list[Measured]:
    """What is known already."""
    return [from_json(line, Measured) for line in results.read_bytes().splitlines()] if results.exists() else []


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
    parser.add_argument("shards", type=Path, nargs="+", help="a method's folder with train/ and val/, or several")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--results", type=Path, help="file of the errors, a JSON object per line [OUT/results.jsonl]")
    parser.add_argument("--group", choices=GROUPS, default="presets", help="which variants to compare")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="train these variants of the group only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED", help="seeds of the runs")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of every run")
    parser.add_argument("--batch-size", type=int, default=64, help="images per step of every run")
    parser.add_argument("--width", type=float, default=0.25, help="factor on the channels of every run")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch and of the loader")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    given.results = given.results or given.out / "results.jsonl"
    measured = list(train_all(given))
    names = list(dict.fromkeys(each.variant for each in measured))
    cells = [
        TrainedCell(each.variant, each.variant, each.seed, each.total_images, each.top1_error, each.top5_error)
        for each in measured
    ]
    pairs = paired_tests(names, given.seeds, cells)
    print(f"\n# ablations, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; ", end="")
    print(f"{given.epochs} epochs, batch {given.batch_size}, width {given.width}, seeds {given.seeds}, ", end="")
    print(f"{cells[0].total_images:,} validation images, centre crop\n")
    print(f"| variant | top-1 error, % | std. dev. over seeds | less {names[0]}, points (95 %) |")
    print("|---|---|---|---|")
    for row in rows(names, cells, pairs):
        print(row)


if __name__ == "__main__":
    main()
