"""Learning rates of every schedule."""

import pytest

from alexnet_pipeline.alexnet.recipe import PRESETS, QUARTER, find_recipe
from alexnet_pipeline.alexnet.schedule import PlateauState, after_epoch, is_over, learning_rate, warmup_share


def test_steps_drop_at_run_145s_epochs() -> None:
    """By ten each time."""
    steps = find_recipe({"preset": "source2012"})
    rates = [learning_rate(steps, epoch * 10, 10, 910, PlateauState()) for epoch in (24, 25, 51, 79)]
    assert rates == pytest.approx([0.01, 0.001, 0.0001, 0.00001])


def test_geometric_ends_at_its_last_rate() -> None:
    """By the same factor from epoch to epoch."""
    geometric = find_recipe({"schedule": "geometric", "epochs": 95})
    rates = [learning_rate(geometric, epoch * 10, 10, 950, PlateauState()) for epoch in range(95)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(4e-5)
    assert rates[1] / rates[0] == pytest.approx(rates[50] / rates[49])


def test_linear_falls_to_zero() -> None:
    """Half of it at half the steps."""
    assert learning_rate(QUARTER, 50, 10, 100, PlateauState()) == pytest.approx(QUARTER.learning_rate / 2)
    assert learning_rate(QUARTER, 99, 10, 100, PlateauState()) == pytest.approx(QUARTER.learning_rate / 100)


def test_plateau_drops_after_its_patience() -> None:
    """Three epochs without a new lowest error; a lower one resets the count."""
    paper, state = find_recipe({}), PlateauState()
    drops = []
    for error in (0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7, 0.75, 0.7, 0.7):
        state = after_epoch(paper, state, error, epochs=1)
        drops.append(state.drops)
    assert drops == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2]
    assert state.best_error == 0.7
    assert learning_rate(paper, 0, 1, 1, state) == pytest.approx(0.0001)


def test_plateau_is_over_after_its_drops() -> None:
    """Three drops, and no improvement after the last; other schedules never are."""
    paper = find_recipe({})
    assert [is_over(paper, PlateauState(0.5, 0, drops)) for drops in range(5)] == [False] * 4 + [True]
    assert not is_over(QUARTER, PlateauState(0.5, 0, 9))


def slow_warmup(rates: list[float], steps: float) -> list[float]:
    """Each rate times the height at the step's end of a ramp that reaches 1 after so many steps."""
    ramp = [min(1.0, (n + 1) / steps) if steps else 1.0 for n in range(len(rates))]
    return [rate * height for rate, height in zip(rates, ramp, strict=True)]


@pytest.mark.parametrize("schedule", ["plateau", "steps", "geometric", "linear"])
@pytest.mark.parametrize("epochs", [0, 0.25, 2, 2.5, 40])
def test_warmup_grows_to_the_schedules_rate(schedule: str, epochs: float) -> None:
    """In equal parts of it, from more than 0, for fractions of an epoch, too; then the schedule's rates are as ever."""
    plain = find_recipe({"schedule": schedule, "epochs": 30})
    warm = find_recipe({"schedule": schedule, "epochs": 30, "warmup_epochs": epochs})
    expected, found = (
        [learning_rate(recipe, step, 8, 240, PlateauState(0.5, 0, 1)) for step in range(240)]
        for recipe in (plain, warm)
    )
    assert found == pytest.approx(slow_warmup(expected, 8 * epochs), rel=1e-12)
    assert min(found) > 0
    assert found[0] == pytest.approx(expected[0] / max(1, 8 * epochs))
    assert found[int(8 * epochs) :] == expected[int(8 * epochs) :]


def test_no_preset_warms_up() -> None:
    """Their sources do not."""
    assert all(warmup_share(recipe, 0, 10) == 1 for recipe in PRESETS.values())


def test_plateau_does_not_wait_in_warmup() -> None:
    """A rate that still grows is not divided; its lowest error counts afterwards."""
    warm, state = find_recipe({"warmup_epochs": 4.5}), PlateauState()
    for epoch in range(1, 8):
        state = after_epoch(warm, state, 0.9, epoch)
        assert (state.drops, state.waited_epochs) == (int(epoch >= 7), max(0, epoch - 4) % 3)
