"""Which methods are on the front."""

from alexnet_pipeline.comparison.page.pareto import Point, front


def test_the_front_is_what_nothing_beats():
    """A method that keeps less and aliases more is not on it; equals both are."""
    points = [Point("a", 0.5, -15, 1), Point("b", 0.9, -12, 1), Point("c", 0.8, -10, 1), Point("d", 0.9, -12, 2)]
    assert [point.name for point in front(points)] == ["a", "b", "d"]
