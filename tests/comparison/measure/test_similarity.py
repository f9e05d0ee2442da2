"""Error, PSNR and SSIM against their definitions."""

import math

import numpy as np
import pytest

from alexnet_pipeline.comparison.measure.similarity import MOST_PSNR_DB, luma, psnr_db, root_mean_square, ssim
from tests.comparison.measure.made import noise


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al.'s formula, window by window."""
    taps = np.arange(11) - 5
    line = np.exp(-(taps**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (each[top : top + 11, left : left + 11].astype(np.float64) for each in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variances = (window * (a - mean_a) ** 2).sum() + (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            alike = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            found.append(alike / ((mean_a**2 + mean_b**2 + c1) * (variances + c2)))
    return float(np.mean(found))


def test_ssim_is_the_authors() -> None:
    """On noise, on flat images, and 1 for the same image."""
    first = luma(noise(24, 31))
    for second in (luma(noise(24, 31, 5)), first * 0.5 + 20, np.full_like(first, 250)):
        assert ssim(first, second) == pytest.approx(slow_ssim(first, second), abs=1e-4)
    assert ssim(first, first) == pytest.approx(1)
    assert ssim(first[:1, :3], first[:1, :3]) == pytest.approx(1)


def test_errors_are_sums_of_squares() -> None:
    """Bytes, floats and mixed; PSNR of it, capped."""
    first, second = noise(9, 8), noise(9, 8, 1)
    exact = math.sqrt(((first.astype(float) - second) ** 2).mean())
    assert root_mean_square(first, second) == pytest.approx(exact)
    assert root_mean_square(first, second.astype(np.float32)) == pytest.approx(exact)
    assert psnr_db(exact) == pytest.approx(20 * math.log10(255 / exact))
    assert psnr_db(0) == MOST_PSNR_DB == pytest.approx(58.9, abs=0.05)
