"""Ranges of shards: the part of a set that a run writes, and missing shards in words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.shards.options import RunOptions
from alexnet_pipeline.text import counted

# Ranges that a message names.
MOST_RANGES = 20


def range_of(run: RunOptions, shards: int) -> tuple[int, int]:
    """The shards [first, last) of a set of some number of shards that a run writes; empty if first = last."""
    if run.part:
        number, parts = run.part
        return shards * number // parts, shards * (number + 1) // parts
    first, last = run.shard_range or (0, shards)
    return min(first, shards), min(last, shards)


def check_range(run: RunOptions, shards: dict[str, int]) -> None:
    """Refuse a range that no split has, or two ways to say one.

    Args:
        run: the options.
        shards: number of shards of each split.

    Raises:
        RefusedError: the message says what there is.
    """
    if run.part and run.shard_range:
        raise RefusedError("`part` and `shard_range` are two ways to choose shards; choose one")
    if run.shard_range and run.shard_range[0] >= max(shards.values()):
        there = ", ".join(f"{split} has {counted(count, 'shard')}" for split, count in shards.items())
        raise RefusedError(
            f"`shard_range`: {run.shard_range[0]}:{run.shard_range[1]} lies past the end: {there}, counted from 0"
        )


def ranges_text(numbers: Iterable[int]) -> str:
    """Numbers in ascending order as half-open ranges, `0:20, 40:41`, which `shard_range` takes."""
    ordered = list(numbers)
    gaps = [at for at, (one, next_one) in enumerate(pairwise(ordered), 1) if next_one != one + 1]
    spans = [ordered[a:b] for a, b in pairwise([0, *gaps, len(ordered)])]
    named = [f"{span[0]}:{span[-1] + 1}" for span in spans[:MOST_RANGES]]
    rest = len(spans) - len(named)
    return ", ".join(named) + (f" and {counted(rest, 'other range')}" if rest else "")
