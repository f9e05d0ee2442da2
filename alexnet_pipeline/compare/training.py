"""Cells of trained networks in, matrix, paired tests and the finding in words out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations

from scipy import stats

from alexnet_pipeline.compare.inference import LEVEL, holm, mean_interval, paired_p_value
from alexnet_pipeline.compare.records import MatrixEntry, ShiftCell, TrainedCell, TrainedPair, Training

# At which a difference counts as detectable.
POWER = 0.8


def summarise(
    preset: str,
    steps: int,
    batch_images: int,
    train_images: int,
    cells: Sequence[TrainedCell],
    shifts: Sequence[ShiftCell],
) -> Training:
    """Join what training showed.

    Args:
        preset: recipe.
        steps: of every network.
        batch_images: a step.
        train_images: of the training set.
        cells: every network on every method's validation set.
        shifts: of every network.
    """
    methods = list(dict.fromkeys(cell.train for cell in cells))
    seeds = tuple(sorted({cell.seed for cell in cells}))
    matrix = tuple(_entry(train, test, cells) for train in methods for test in methods)
    pairs = _pairs(methods, seeds, cells)
    return Training(
        preset=preset,
        steps=steps,
        batch_images=batch_images,
        seeds=seeds,
        train_images=train_images,
        cells=tuple(cells),
        shifts=tuple(shifts),
        matrix=matrix,
        pairs=pairs,
        finding=_finding(pairs, len(seeds), cells[0].total_images),
    )


def detectable_difference(deviation: float, count: int, level: float = LEVEL) -> float:
    """The smallest true difference that a paired t test of `count` pairs finds with 80 % power.

    Args:
        deviation: of the paired differences.
        count: pairs, at least 2.
        level: two-sided.

    Source: (t_{1 - level/2} + t_{power}) s / sqrt(n), both quantiles with n - 1 degrees of freedom.
    """
    quantiles = stats.t.ppf([1 - level / 2, POWER], count - 1)
    return float(quantiles.sum()) * deviation / math.sqrt(count)


def _entry(train: str, test: str, cells: Sequence[TrainedCell]) -> MatrixEntry:
    mine = [cell for cell in cells if (cell.train, cell.test) == (train, test)]
    top1, top5 = [cell.top1_error for cell in mine], [cell.top5_error for cell in mine]
    return MatrixEntry(train, test, statistics.fmean(top1), _deviation(top1), statistics.fmean(top5), _deviation(top5))


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _pairs(methods: Sequence[str], seeds: Sequence[int], cells: Sequence[TrainedCell]) -> tuple[TrainedPair, ...]:
    """Every pair of methods, each trained and tested with itself; none with a single seed, which has no deviation."""
    if len(seeds) < 2:
        return ()
    own = {(cell.train, cell.seed): cell.top1_error for cell in cells if cell.train == cell.test}
    names = list(combinations(methods, 2))
    differences = [[own[a, seed] - own[b, seed] for seed in seeds] for a, b in names]
    level = LEVEL / len(names)
    # Three seeds tell little of one pair's deviation; all pairs share what varies, so the pooled one is steadier.
    pooled = math.sqrt(statistics.fmean(statistics.variance(values) for values in differences))
    p_values = holm([paired_p_value(values) for values in differences])
    detectable = detectable_difference(pooled, len(seeds), level)
    return tuple(
        TrainedPair(first, second, *mean_interval(values), p_value, detectable)
        for (first, second), values, p_value in zip(names, differences, p_values, strict=True)
    )


def _finding(pairs: Sequence[TrainedPair], seeds: int, val_images: int) -> str:
    if not pairs:
        return (
            "One seed has no deviation, so nothing can be said of differences in accuracy; "
            "--seeds 3 or more trains what a test needs."
        )
    least = max(pair.detectable for pair in pairs) * 100
    limit = (
        f"With {seeds} seeds and {val_images:,} validation pictures this run would have found differences of "
        f"{least:.1f} points or more in four cases of five."
    )
    real = [pair for pair in pairs if pair.p_value < LEVEL]
    if not real:
        return f"No difference in top-1 error was found between any two methods. {limit}"
    told = "; ".join(
        f"{better} beats {worse} by {abs(pair.difference) * 100:.1f} points"
        for pair in real
        for better, worse in [(pair.second, pair.first) if pair.difference > 0 else (pair.first, pair.second)]
    )
    return f"In top-1 error {told}; the other pairs do not differ beyond noise. {limit}"
