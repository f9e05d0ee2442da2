"""Statistics of trained networks: the matrix of errors, paired tests and the finding in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
from scipy import stats

from alexnet_pipeline.comparison.inference import LEVEL, holm
from alexnet_pipeline.comparison.records import MatrixEntry, NetworkResults, ShiftCell, TrainedCell, TrainedPair

# Probability with which a detectable difference is detected.
POWER = 0.8


def summarise(
    preset: str,
    steps: int,
    batch_images: int,
    train_images: int,
    cells: Sequence[TrainedCell],
    shifts: Sequence[ShiftCell],
    *,
    planned: int,
) -> NetworkResults:
    """Compute what follows from the errors of the networks so far; see `NetworkResults` for the arguments.

    Args:
        planned: number of networks when all are trained; pairs are tested over the seeds of which all are.
    """
    trained, methods = (list(dict.fromkeys(names)) for names in zip(*((c.train, c.test) for c in cells), strict=True))
    seeds = tuple(sorted({cell.seed for cell in cells}))
    whole = [seed for seed in seeds if {cell.train for cell in cells if cell.seed == seed} == {*methods}]
    pairs = paired_tests(methods, whole, cells)
    matrix = tuple(_entry(train, test, cells) for train in trained for test in methods)
    finding = " ".join(
        [
            _finding(pairs, len(whole), cells[0].total_images),
            _own_errors([entry for entry in matrix if entry.train == entry.test]),
            *_mismatch(methods, whole, cells),
        ]
    )
    if len(shifts) < planned:
        soon = f"{len(shifts)} of {planned} networks are trained so far; the same command trains the others."
        finding = f"{soon} {finding}" if pairs else soon
    return NetworkResults(
        preset, steps, batch_images, seeds, train_images, tuple(cells), tuple(shifts), matrix, pairs, finding
    )


def detectable_difference(error: float, freedom: int, level: float = LEVEL) -> float:
    """The smallest true difference that a two-sided t test detects with 80 % power, by its standard error.

    Source: (t_{1 - level/2} + t_{power}) times the standard error.
    """
    return float(stats.t.ppf([1 - level / 2, POWER], freedom).sum()) * error


def _entry(train: str, test: str, cells: Sequence[TrainedCell]) -> MatrixEntry:
    chosen = [cell for cell in cells if (cell.train, cell.test) == (train, test)]
    top1 = mean_and_deviation([cell.top1_error for cell in chosen])
    return MatrixEntry(train, test, *top1, *mean_and_deviation([cell.top5_error for cell in chosen]))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Over seeds; a single one has no deviation."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def paired_tests(methods: Sequence[str], seeds: Sequence[int], cells: Sequence[TrainedCell]) -> tuple[TrainedPair, ...]:
    """Test every pair of methods, each trained and tested with itself; a single seed has no deviation and no tests.

    Seeds are blocks. The residuals, once the means of methods and of seeds are taken away, estimate the noise of all
    methods together, which is steadier than an estimate from one pair of three seeds. With two methods this is the
    paired t test.

    Source: randomised block design, Fisher 1935.
    """
    if len(seeds) < 2 or len(methods) < 2:
        return ()
    own = {(cell.train, cell.seed): cell.top1_error for cell in cells if cell.train == cell.test}
    table = np.array([[own[method, seed] for seed in seeds] for method in methods])
    means = table.mean(axis=1)
    residuals = table - means[:, None] - table.mean(axis=0) + table.mean()
    freedom = (len(methods) - 1) * (len(seeds) - 1)
    error = _standard_error(2 * float((residuals**2).sum()) / freedom, len(seeds), cells)
    numbers = list(combinations(range(len(methods)), 2))
    differences = [float(means[i] - means[j]) for i, j in numbers]
    p_values = holm([float(2 * stats.t.sf(abs(difference) / error, freedom)) for difference in differences])
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    detectable = detectable_difference(error, freedom, LEVEL / len(numbers))
    return tuple(
        TrainedPair(methods[i], methods[j], difference, difference - half, difference + half, p_value, detectable)
        for (i, j), difference, p_value in zip(numbers, differences, p_values, strict=True)
    )


def _standard_error(variance: float, seeds: int, cells: Sequence[TrainedCell]) -> float:
    """Of a mean over seeds; as errors count whole images, it is at least that of one image per network."""
    return max(1 / min(cell.total_images for cell in cells), math.sqrt(variance)) / math.sqrt(seeds)


def _mismatch(methods: Sequence[str], seeds: Sequence[int], cells: Sequence[TrainedCell]) -> Iterator[str]:
    """A sentence on networks that are tested with another method than they were trained with.

    The same network is tested on both, so each seed gives a difference; their deviation is that of all pairs of methods
    together, and p values are adjusted by Holm over these pairs.
    """
    if len(seeds) < 2 or len(methods) < 2:
        return
    errors = {(cell.train, cell.test, cell.seed): cell.top1_error for cell in cells}
    pairs = list(permutations(methods, 2))
    table = np.array([[errors[a, b, seed] - errors[a, a, seed] for seed in seeds] for a, b in pairs])
    means, freedom = table.mean(axis=1), len(pairs) * (len(seeds) - 1)
    error = _standard_error(float(((table - means[:, None]) ** 2).sum()) / freedom, len(seeds), cells)
    p_values = holm([float(2 * stats.t.sf(abs(mean) / error, freedom)) for mean in means])
    worst = int(means.argmax())
    if means[worst] <= 0 or p_values[worst] >= LEVEL:
        yield "No network makes significantly more errors when it is tested with another method than its own."
        return
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    low, mean, high = (f"{100 * (means[worst] + side * half):.1f}" for side in (-1, 0, 1))
    trained, tested = pairs[worst]
    yield (
        f"Tested with another method than in training, networks make up to {mean} points more errors ({low} to {high}; "
        f"trained with {trained}, tested with {tested})."
    )


def _own_errors(entries: Sequence[MatrixEntry]) -> str:
    """A sentence with the mean error of each method, the lowest first."""
    errors = [f"{each.train} {100 * each.top1_mean:.1f} %" for each in sorted(entries, key=lambda it: it.top1_mean)]
    return f"Mean top-1 errors, tested with the method of training: {', '.join(errors)}."


def _finding(pairs: Sequence[TrainedPair], seeds: int, val_images: int) -> str:
    if not pairs:
        return (
            "One seed has no standard deviation, so this report cannot say whether methods differ in accuracy; train "
            "with at least 3 `seeds`."
        )
    least = max(pair.detectable for pair in pairs) * 100
    limit = (
        f"With {seeds} seeds and {val_images:,} validation images, the smallest difference that this comparison could "
        f"have detected is {least:.1f} points (with 80 % power)."
    )
    significant = [pair for pair in pairs if pair.p_value < LEVEL]
    if not significant:
        return f"No two methods differ significantly in top-1 error. {limit}"
    clauses = []
    for pair in significant:
        better, worse = (pair.second, pair.first) if pair.difference > 0 else (pair.first, pair.second)
        clauses.append(f"{better} beats {worse} by {abs(pair.difference) * 100:.1f} points")
    rest = "" if len(significant) == len(pairs) else "; the other pairs do not differ significantly"
    return f"In top-1 error {'; '.join(clauses)}{rest}. {limit}"
