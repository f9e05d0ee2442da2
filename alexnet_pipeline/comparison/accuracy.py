"""Cells of trained networks in, matrix, paired tests and the finding in words out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy import stats

from alexnet_pipeline.comparison.inference import LEVEL, holm
from alexnet_pipeline.comparison.records import MatrixEntry, ShiftCell, TrainedCell, TrainedPair, Training

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


def detectable_difference(error: float, freedom: int, level: float = LEVEL) -> float:
    """The smallest true difference that a t test finds with 80 % power.

    Args:
        error: standard error of a difference.
        freedom: degrees of freedom of that error.
        level: two-sided.

    Source: (t_{1 - level/2} + t_{power}) times the standard error.
    """
    return float(stats.t.ppf([1 - level / 2, POWER], freedom).sum()) * error


def _entry(train: str, test: str, cells: Sequence[TrainedCell]) -> MatrixEntry:
    mine = [cell for cell in cells if (cell.train, cell.test) == (train, test)]
    top1, top5 = [cell.top1_error for cell in mine], [cell.top5_error for cell in mine]
    return MatrixEntry(train, test, statistics.fmean(top1), _deviation(top1), statistics.fmean(top5), _deviation(top5))


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _pairs(methods: Sequence[str], seeds: Sequence[int], cells: Sequence[TrainedCell]) -> tuple[TrainedPair, ...]:
    """Every pair of methods, each trained and tested with itself; none with a single seed, which has no deviation.

    An error is a count of pictures, so no difference is known better than to one picture in each network.

    Seeds are blocks: what is left when each method's and each seed's mean is taken away is the noise of all methods,
    steadier than that of one pair of three seeds. With two methods this is the paired t test.

    Source: randomised block design, Fisher 1935.
    """
    if len(seeds) < 2 or len(methods) < 2:
        return ()
    own = {(cell.train, cell.seed): cell.top1_error for cell in cells if cell.train == cell.test}
    table = np.array([[own[method, seed] for seed in seeds] for method in methods])
    means = table.mean(axis=1)
    rest = table - means[:, None] - table.mean(axis=0) + table.mean()
    freedom = (len(methods) - 1) * (len(seeds) - 1)
    whole = 1 / min(cell.total_images for cell in cells) / math.sqrt(len(seeds))
    error = max(whole, math.sqrt(2 * float((rest**2).sum()) / freedom / len(seeds)))
    numbers = list(combinations(range(len(methods)), 2))
    differences = [float(means[first] - means[second]) for first, second in numbers]
    p_values = holm([float(2 * stats.t.sf(abs(difference) / error, freedom)) for difference in differences])
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    detectable = detectable_difference(error, freedom, LEVEL / len(numbers))
    return tuple(
        TrainedPair(methods[first], methods[second], middle, middle - half, middle + half, p_value, detectable)
        for (first, second), middle, p_value in zip(numbers, differences, p_values, strict=True)
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
    rest = "" if len(real) == len(pairs) else "; the other pairs do not differ beyond noise"
    return f"In top-1 error {told}{rest}. {limit}"
