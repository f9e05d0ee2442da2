"""Confidence intervals, paired tests and ranks of methods from a metric's values on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from alexnet_pipeline.comparison.records import Better, MetricMean, PairedTest

Doubles = NDArray[np.float64]

# Two-sided level of tests and intervals.
LEVEL = 0.05


def mean_interval(values: Sequence[float] | Doubles) -> tuple[float, float, float]:
    """A mean and the ends of its 95 % interval by Student's t; that of a single value has no width."""
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    if array.size < 2:
        return mean, mean, mean
    half = float(stats.t.ppf(1 - LEVEL / 2, array.size - 1)) * float(array.std(ddof=1)) / math.sqrt(array.size)
    return mean, mean - half, mean + half


def paired_p_value(differences: Sequence[float] | Doubles) -> float:
    """The two-sided p value of the paired t test, whose hypothesis is a mean of 0.

    It is 1 where all differences are zero or there is only one, and 0 where all are the same and not zero.
    """
    array = np.asarray(differences, np.float64)
    if array.size < 2 or not array.any():
        return 1.0
    deviation = float(array.std(ddof=1))
    if deviation == 0.0:
        return 0.0
    # Written out, since scipy.stats.ttest_1samp warns where differences are nearly the same.
    statistic = abs(float(array.mean())) * math.sqrt(array.size) / deviation
    return float(2 * stats.t.sf(statistic, array.size - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted as one family of tests, in the order given.

    Source: Holm 1979, step-down: the k-th smallest of n times n - k + 1, never less than the one before, at most 1.
    """
    values = np.asarray(p_values, np.float64)
    order = values.argsort(kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    return list(np.minimum(stepped, 1.0)[order.argsort()].tolist())


def paired_tests(metric: str, names: Sequence[str], values: Doubles) -> tuple[PairedTest, ...]:
    """Test every pair of methods by one metric, whose values are (images, methods)."""
    pairs = list(combinations(range(len(names)), 2))
    differences = [values[:, first] - values[:, second] for first, second in pairs]
    adjusted = holm(list(map(paired_p_value, differences)))
    return tuple(
        PairedTest(names[i], names[j], *mean_interval(difference), p_value, metric, identical=not difference.any())
        for (i, j), difference, p_value in zip(pairs, differences, adjusted, strict=True)
    )


def metric_means(
    metric: str, better: Better, names: Sequence[str], values: Doubles, tests: Sequence[PairedTest]
) -> tuple[MetricMean, ...]:
    """The mean of one metric for each method, from (images, methods) values and the tests of every pair."""
    means = values.mean(axis=0)
    top = {"higher": means.max(), "lower": means.min(), "neither": math.nan}[better]
    best = {name for name, mean in zip(names, means, strict=True) if mean == top}
    alike = [{test.first, test.second} for test in tests if test.p_value >= LEVEL]
    near = {name for pair in alike if pair & best for name in pair - best}
    return tuple(
        MetricMean(metric, *mean_interval(values[:, number]), best=name in best, near_best=name in near)
        for number, name in enumerate(names)
    )
