"""Error rates with honest intervals."""

import pytest
import torch

from alexnet_pipeline.alexnet.error_rates import best_classes, error_rates, wilson_interval


def test_wilson_interval() -> None:
    """Newcombe 1998, table I: 81 of 263, and 0 of 20."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_rates_are_shares_of_all_images() -> None:
    """As numbers and as text."""
    rates = error_rates("centre crop", 100, 250.0, 14, 2)
    assert (rates.loss, rates.top1_error, rates.top5_error) == (2.5, 0.14, 0.02)
    assert rates.top1_interval == wilson_interval(14, 100)
    assert rates.top5_interval == wilson_interval(2, 100)
    text = "centre crop, 100 images: top-1 error 14.0 % (8.5 to 22.1), top-5 error 2.0 % (0.6 to 7.0)"
    assert str(rates) == text


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_none(loss: float) -> None:
    """JSON has no word for it."""
    assert error_rates("centre crop", 10, loss, 1, 0).loss is None


def test_the_best_classes_come_first() -> None:
    """Five of them, or all where there are fewer."""
    assert best_classes(torch.tensor([[0.1, 0.9, 0.5]])).tolist() == [[1, 2, 0]]
    assert best_classes(torch.randn(2, 9)).shape == (2, 5)
