"""Intervals and tests against known values and brute force."""

import math

import numpy as np
import pytest
from scipy import stats

from alexnet_pipeline.comparison.inference import holm, mean_interval, metric_means, paired_p_value, paired_tests

NAMES = ("a", "b", "c", "d")


def values(images: int = 40) -> np.ndarray:
    """Four methods: b is a in disguise, c is near a, d is far."""
    random = np.random.default_rng(3)
    base = random.normal(10, 3, images)
    return np.stack([base, base, base + random.normal(0, 0.5, images), base + 5 + random.normal(0, 1, images)], 1)


def test_the_interval_of_a_textbook() -> None:
    """Mean 3 of 1 .. 5, deviation sqrt(2.5), t of 4 degrees of freedom 2.776445."""
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert mean_interval([1, 2, 3, 4, 5]) == pytest.approx((3, 3 - half, 3 + half), abs=1e-5)
    assert mean_interval([7]) == (7, 7, 7)


def test_a_paired_test_is_scipys() -> None:
    """Against the two-sample form."""
    first, second = values()[:, 0], values()[:, 3]
    assert paired_p_value(first - second) == pytest.approx(stats.ttest_rel(first, second).pvalue)


@pytest.mark.parametrize(("differences", "p_value"), [([0, 0, 0], 1), ([2, 2, 2], 0), ([5], 1)])
def test_differences_without_spread(differences: list[float], p_value: float) -> None:
    """Nothing differs; everything differs alike; one image says nothing."""
    assert paired_p_value(differences) == p_value


def test_holm_of_a_textbook() -> None:
    """0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling; any order."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_every_pair_is_tested_and_adjusted() -> None:
    """Differences, their order and Holm's family, by brute force."""
    data = values()
    tests = paired_tests("m", NAMES, data)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    raw = [1.0 if (i, j) == (0, 1) else float(stats.ttest_rel(data[:, i], data[:, j]).pvalue) for i, j in pairs]
    for test, (i, j), p_value in zip(tests, pairs, holm(raw), strict=True):
        assert (test.metric, test.first, test.second) == ("m", NAMES[i], NAMES[j])
        assert test.difference == pytest.approx((data[:, i] - data[:, j]).mean())
        assert test.low <= test.difference <= test.high
        assert test.p_value == pytest.approx(p_value)
        assert test.identical == ((i, j) == (0, 1))


def test_best_and_what_cannot_be_told_from_it() -> None:
    """Equal means share the first place, near ones are near, far ones are neither; directions count."""
    data = values()
    data[:, 2] += data[:, 0].mean() - data[:, 2].mean() + 0.01  # a little worse, well within its noise
    tests = paired_tests("m", NAMES, data)
    flags = [(each.best, each.near_best) for each in metric_means("m", "lower", NAMES, data, tests)]
    assert flags == [(True, False), (True, False), (False, True), (False, False)]
    flags = [(each.best, each.near_best) for each in metric_means("m", "higher", NAMES, data, tests)]
    assert flags == [(False, False), (False, False), (False, False), (True, False)]
    flags = [(each.best, each.near_best) for each in metric_means("m", "neither", NAMES, data, tests)]
    assert flags == [(False, False)] * 4
