"""Axes have round ticks and contain their values."""

import math

import numpy as np
import pytest

from alexnet_pipeline.pages.axes import fitting_axis, linear_axis, log_axis, roomy_axis, x_axis, y_axis


@pytest.mark.parametrize(
    ("high", "ticks"),
    [(1.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)), (37.0, (0, 10, 20, 30, 40)), (0.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0))],
)
def test_linear_axes_end_on_a_round_tick(high, ticks):
    """Nothing to show has an axis, too."""
    axis = linear_axis(high)
    assert axis.ticks == pytest.approx(ticks)
    assert (axis.low, axis.high) == (0, pytest.approx(ticks[-1]))


def test_an_axis_may_end_at_its_last_value():
    """The ticks stay within."""
    axis = linear_axis(37.0, ends_on_tick=False)
    assert (axis.high, axis.ticks[-1]) == (37, 30)


def test_roomy_axes_have_space_at_either_end():
    """As a share of the range; a single value has some, too."""
    axis = roomy_axis([-10.0, 0.0])
    assert (axis.low, axis.high) == pytest.approx((-10.8, 0.8))
    assert roomy_axis([5.0]).low < 5 < roomy_axis([5.0]).high
    assert roomy_axis([0.5, 2.0], 0).low == 0.5


def test_log_axes_lie_between_ticks():
    """1, 2 and 5 within few decades, 1 and 3 within some, and powers of ten, at last not all, within many."""
    assert log_axis(0.28, 34).ticks == pytest.approx((0.2, 0.5, 1, 2, 5, 10, 20, 50))
    assert log_axis(4e-5, 0.01).ticks == pytest.approx((3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01))
    assert 4 <= len(log_axis(1e-300, 1e300).ticks) <= 8
    assert log_axis(0.3, 9).ticks == pytest.approx((0.2, 0.5, 1, 2, 5, 10))
    assert log_axis(1e-4, 90).ticks == pytest.approx((1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100))
    axis = log_axis(1, 100)
    assert axis.share(np.array([1.0, 10, 100])) == pytest.approx([0, 0.5, 1])
    assert axis.at(math.sqrt(10)) == pytest.approx(0.25)


def test_an_axis_is_logarithmic_where_a_linear_one_would_crowd_the_values():
    """Not by the range: a straight fall to nearly 0 stays linear, and so does what is not above 0."""
    assert not fitting_axis(np.linspace(0.05, 1e-6, 100)).log
    assert not fitting_axis(np.full(9, 3.0)).log
    assert not fitting_axis(np.array([0.0, 0.0, 1.0])).log
    assert fitting_axis(np.geomspace(0.05, 1e-6, 100)).log


def test_ticks_are_drawn_where_their_values_are():
    """In percent across and in pixels down; the unit is below the values, in the middle."""
    axis = linear_axis(4.0)
    across, upward = "".join(x_axis(axis, 100, "px <")), "".join(y_axis(axis, 100, lambda value: f"{value:g} dB"))
    assert 'x="25.00%" y="118">1</text>' in across
    assert '<text class="axis" text-anchor="middle" x="50%" y="135">px &lt;</text>' in across
    assert 'y="75.0" dy=".35em">1 dB</text>' in upward


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1e-300, 1e300, 1.7e308])
def test_the_smallest_and_the_largest_numbers_have_axes(value: float) -> None:
    """A damaged log may hold any number."""
    for axis in (linear_axis(value), linear_axis(value, ends_on_tick=False), log_axis(value, value)):
        assert axis.ticks
        assert all(map(math.isfinite, (axis.low, axis.high, axis.at(value))))
