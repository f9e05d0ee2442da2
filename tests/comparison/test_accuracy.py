"""What is said about trained networks follows from their cells."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from alexnet_pipeline.comparison.accuracy import detectable_difference, summarise
from alexnet_pipeline.comparison.records import ShiftCell, TrainedCell

METHODS = ("nearest", "lanczos", "antialias")


def cells(errors: dict[str, list[float]]) -> list[TrainedCell]:
    """Each method with itself as given, with others .1 worse."""
    return [
        TrainedCell(train, test, seed, 400, own + (0.0 if train == test else 0.1), own / 2)
        for train, owns in errors.items()
        for test in errors
        for seed, own in enumerate(owns)
    ]


def summary(errors: dict[str, list[float]]):
    shifts = [ShiftCell(method, 0, 400, 0.9) for method in errors]
    return summarise("quarter", 10, 32, 1000, cells(errors), shifts, planned=len(shifts))


def test_matrix_and_pairs() -> None:
    """Means and deviations over seeds, against NumPy; every pair of the diagonal."""
    errors = {"nearest": [0.40, 0.43, 0.41], "lanczos": [0.30, 0.31, 0.33], "antialias": [0.31, 0.30, 0.34]}
    results = summary(errors)
    entry = next(e for e in results.matrix if (e.train, e.test) == ("nearest", "lanczos"))
    assert entry.top1_mean == pytest.approx(np.mean(errors["nearest"]) + 0.1)
    assert entry.top1_deviation == pytest.approx(np.std(errors["nearest"], ddof=1))
    assert [(pair.first, pair.second) for pair in results.pairs] == [
        ("nearest", "lanczos"),
        ("nearest", "antialias"),
        ("lanczos", "antialias"),
    ]


def test_two_methods_are_the_paired_t_test() -> None:
    """Difference, interval and p value are SciPy's."""
    errors = {"nearest": [0.40, 0.43, 0.41], "lanczos": [0.30, 0.31, 0.33]}
    (pair,) = summary(errors).pairs
    differences = np.subtract(errors["nearest"], errors["lanczos"])
    half = stats.t.ppf(0.975, 2) * stats.sem(differences)
    assert (pair.difference, pair.low, pair.high) == pytest.approx(
        (differences.mean(), differences.mean() - half, differences.mean() + half)
    )
    assert pair.p_value == pytest.approx(stats.ttest_rel(errors["nearest"], errors["lanczos"]).pvalue)


def test_more_methods_share_their_noise() -> None:
    """The contrast of a linear model of methods and seeds, fitted by least squares."""
    random = np.random.default_rng(5)
    table = random.normal(0.3, 0.01, (3, 4)) + np.array([[0.1], [0.0], [0.0]]) + random.normal(0, 0.05, 4)
    pairs = summary(dict(zip(METHODS, table.tolist(), strict=True))).pairs
    design = np.zeros((12, 6))
    for row, (method, seed) in enumerate(np.ndindex(3, 4)):
        design[row, method] = 1
        if seed:
            design[row, 2 + seed] = 1
    results, residual, rank, _ = np.linalg.lstsq(design, table.reshape(-1), rcond=None)
    contrast = np.array([1, -1, 0, 0, 0, 0])
    error = np.sqrt(residual[0] / (12 - rank) * contrast @ np.linalg.inv(design.T @ design) @ contrast)
    assert pairs[0].difference == pytest.approx(contrast @ results)
    assert pairs[0].high - pairs[0].low == pytest.approx(2 * stats.t.ppf(0.975, 6) * error)
    assert pairs[0].p_value == pytest.approx(3 * 2 * stats.t.sf(contrast @ results / error, 6))
    assert pairs[0].detectable == pytest.approx(detectable_difference(error, 6, 0.05 / 3))


def test_a_real_difference_is_said_and_noise_is_not() -> None:
    """In words."""
    rows = np.random.default_rng(3).normal(0, 0.002, (3, 8))
    results = summary(dict(zip(METHODS, (rows + np.array([[0.4], [0.3], [0.3]])).tolist(), strict=True)))
    assert "lanczos beats nearest by" in results.finding
    assert "the other pairs do not differ significantly" in results.finding
    same = summary(dict(zip(METHODS, (rows + 0.3).tolist(), strict=True)))
    assert same.finding.startswith("No two methods differ significantly in top-1 error.")
    least = max(pair.detectable for pair in same.pairs)
    assert f"could have detected is {100 * least:.1f} points" in same.finding
    means = {row.train: 100 * row.top1_mean for row in results.matrix if row.train == row.test}
    text = ", ".join(f"{name} {means[name]:.1f} %" for name in sorted(means, key=lambda name: means[name]))
    assert f"Mean top-1 errors, tested with the method of training: {text}." in results.finding


def test_one_image_is_no_finding() -> None:
    """The same count in every seed is not certainty: an error is known to one image."""
    results = summary({"nearest": [0.40, 0.40], "lanczos": [0.4025, 0.4025]})
    assert results.pairs[0].p_value > 0.05
    assert results.pairs[0].detectable > 1 / 400
    assert "other pairs" not in summary({"nearest": [0.40, 0.41, 0.4], "lanczos": [0.2, 0.21, 0.2]}).finding


def test_one_seed_allows_no_test() -> None:
    """And says so."""
    results = summary({"nearest": [0.4], "lanczos": [0.3]})
    assert results.pairs == ()
    assert "One seed" in results.finding


def test_detectable_differences_are_results_four_times_in_five() -> None:
    """By simulation of the paired t test, twelve pairs at a time."""
    random, count = np.random.default_rng(1), 12
    size = detectable_difference(1 / np.sqrt(count), count - 1)
    draws = random.normal(size, 1.0, (4000, count))
    power = (stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05).mean()
    assert 0.76 < power < 0.86


def test_an_unfinished_training_counts_whole_seeds() -> None:
    """Every network so far is in the matrix, and pairs are tested over the seeds of which all networks are there."""
    errors = {"nearest": [0.40, 0.43, 0.41], "lanczos": [0.30, 0.31, 0.33], "antialias": [0.31, 0.30, 0.34]}
    every = cells(errors)
    order = [(method, seed) for seed in range(3) for method in METHODS]
    for done in range(1, 10):
        kept = [cell for cell in every if (cell.train, cell.seed) in order[:done]]
        shifts = [ShiftCell(method, seed, 400, 0.9) for method, seed in order[:done]]
        results = summarise("quarter", 10, 32, 1000, kept, shifts, planned=9)
        assert len(results.matrix) == 3 * min(done, 3)
        assert results.finding.startswith(f"{done} of 9 networks are trained so far") == (done < 9)
        whole = done // 3
        expected = _pairs_of({method: values[:whole] for method, values in errors.items()}) if whole > 1 else ()
        assert results.pairs == expected


def _pairs_of(errors: dict[str, list[float]]):
    return summary(errors).pairs


def test_what_another_method_in_testing_costs_is_said() -> None:
    """The largest mean over seeds of the same networks' differences, and the interval of all differences' noise."""
    own, other = np.array([0.40, 0.42, 0.41]), {"lanczos": [0.50, 0.53, 0.50], "nearest": [0.405, 0.415, 0.41]}
    made = [
        TrainedCell(train, test, seed, 4000, float(own[seed] if train == test else other[train][seed]), 0.1)
        for train in other
        for test in other
        for seed in range(3)
    ]
    shifts = [ShiftCell(method, seed, 4000, 0.9) for method in other for seed in range(3)]
    found = summarise("quarter", 10, 32, 1000, made, shifts, planned=6).finding
    costs = np.array([np.array(other[method]) - own for method in other])
    error = np.sqrt(costs.var(axis=1, ddof=1).mean() / 3)
    low, high = stats.t.interval(0.95, 4, costs[0].mean(), error)
    assert found.endswith(
        f"make up to {100 * costs[0].mean():.1f} points more errors ({100 * low:.1f} to {100 * high:.1f}; trained with "
        "lanczos, tested with nearest)."
    )
    noise = {"lanczos": [0.41, 0.40, 0.42], "nearest": [0.39, 0.42, 0.43]}
    made = [cell if cell.train == cell.test else _with(cell, noise[cell.train][cell.seed]) for cell in made]
    found = summarise("quarter", 10, 32, 1000, made, shifts, planned=6).finding
    assert found.endswith(
        "No network makes significantly more errors when it is tested with another method than its own."
    )


def _with(cell: TrainedCell, error: float) -> TrainedCell:
    return dataclasses.replace(cell, top1_error=error)
