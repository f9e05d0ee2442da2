"""The curves of a run are what was measured, on axes that show it."""

import dataclasses
import re

import numpy as np
import pytest

from alexnet_pipeline.alexnet.error_rates import ErrorRates
from alexnet_pipeline.alexnet.metrics import ChangeLine, Log, StepLine, ValidationLine
from alexnet_pipeline.alexnet.page.charts import charts_of, epoch_of, even_windows, number_text

ERRORS = ErrorRates("centre crop", 50, 1.25, 0.34, 0.12, (0.22, 0.48), (0.06, 0.24))


def line(step: int, loss: float = 1.0, rate: float = 0.01, **changes: float) -> StepLine:
    return dataclasses.replace(StepLine(step, 10 * step, step / 19, loss, loss / 4, rate, 100.0, 0.02), **changes)


def captions(log: Log, schedule: str) -> list[str]:
    return [chart.caption.partition(";")[0] for chart in charts_of(log, schedule)]


def test_the_few_steps_before_an_epochs_end_join_the_line_before() -> None:
    """Their mean by steps stands at the epoch's end; lines of equal length stay as they are."""
    log = [line(4, 2.0), line(8, 2.0), line(12, 2.0), line(16, 2.0), line(20, 2.0), line(21, 7.0), line(24, 1.0)]
    even = even_windows(log)
    assert [each.step for each in even] == [4, 8, 12, 16, 21, 24]
    assert even[4].loss == pytest.approx((4 * 2.0 + 7.0) / 5)
    assert even[4].epoch == log[5].epoch
    assert even[5] is log[6]
    assert even_windows(log[:5]) == log[:5]
    assert even_windows([]) == []


def test_joined_lines_are_weighted_by_time_where_time_was_measured() -> None:
    """Ten steps of 1 s and one of 9 s are eleven in 19 s."""
    slow = line(21, images_per_s=1 / 9, data_wait=1.0)
    *_, joined = even_windows([line(10), line(20, images_per_s=1.0, data_wait=0.0), slow])
    assert joined.images_per_s == pytest.approx(11 / 19)
    assert joined.data_wait == pytest.approx(9 / 19)


@pytest.mark.parametrize(
    ("schedule", "rates", "logarithmic"),
    [
        ("linear", np.linspace(0.02, 1e-5, 40), False),
        ("linear", np.concatenate([np.linspace(0.02, 1e-5, 40), np.linspace(2e-3, 1e-5, 40)]), False),
        ("plateau", np.full(40, 0.01), False),
        ("steps", np.repeat([1e-2, 1e-3, 1e-4], 20), True),
        ("geometric", np.geomspace(0.01, 4e-5, 40), True),
    ],
)
def test_the_axis_of_the_rate_follows_its_schedule(schedule: str, rates: np.ndarray, logarithmic: bool) -> None:
    """A linear fall is a straight line; factors are steps of equal height."""
    log = Log(tuple(line(number + 1, rate=float(rate)) for number, rate in enumerate(rates)), ())
    assert ("Learning rate, logarithmic" in captions(log, schedule)) == logarithmic


def test_the_axis_of_the_loss_follows_the_data() -> None:
    """A first value far above the others gives a logarithmic axis, and that has more than two ticks."""
    steep = Log(tuple(line(step, loss) for step, loss in enumerate([34.0, *[0.3] * 20, 0.28], 1)), ())
    chart = charts_of(steep, "linear")[0]
    assert chart.caption.endswith(", logarithmic")
    assert len(re.findall('class="tick" text-anchor="end"', chart.svg)) >= 5
    flat = Log(tuple(line(step, loss) for step, loss in enumerate(np.linspace(6.9, 2.0, 30), 1)), ())
    assert "logarithmic" not in captions(flat, "linear")[0]


def test_tooltips_name_what_was_measured_and_where() -> None:
    """Every point once, at its own epoch; nothing in between."""
    log = Log(tuple(line(step, step / 10) for step in range(1, 6)), (ValidationLine(4, 40, 4 / 19, ERRORS),))
    svg = charts_of(log, "linear")[0].svg
    titles = re.findall(r"<title>([^<]*)</title></g>", svg)
    assert [title.splitlines()[0] for title in titles] == [
        f"train: {step / 10:.3g} at epoch {step / 19:.4g}" for step in range(1, 6)
    ]
    assert [title.splitlines()[1:] for title in titles] == [[], [], [], ["val: 1.25 at epoch 0.2105"], []]


def test_a_change_is_at_the_epoch_of_its_step() -> None:
    """As the nearest line of the log counts it; at 0 where there is none."""
    change = ChangeLine(38, ("epochs: 3, now 6",))
    assert epoch_of(change, Log((line(19), line(57)), ())) == pytest.approx(2)
    assert epoch_of(change, Log((), ())) == 0


def test_numbers_have_three_digits() -> None:
    """And no zeros in their power of ten."""
    assert [number_text(value) for value in (None, 4.39e-5, 0.005, 12.345)] == [
        "not finite",
        "4.39e-5",
        "0.005",
        "12.3",
    ]
