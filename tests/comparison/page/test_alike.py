"""Methods that are the same share a mark or a line."""

from alexnet_pipeline.comparison.page.alike import alike, names_of


def test_groups_are_of_what_differs_less_than_the_tolerance():
    """From the first of a group, in any of the numbers; in the order of the first members."""
    assert alike([1.0, 2.0, 1.04, 3.0, 2.01], 0.05) == [[0, 2], [1, 4], [3]]
    assert alike([(0.0, 1.0), (0.0, 1.1), (0.04, 1.0)], 0.05) == [[0, 2], [1]]
    assert alike([1.0, 1.04, 1.08], 0.05) == [[0, 1], [2]]
    assert alike([], 0.05) == []


def test_a_group_has_one_name():
    """With a sign of equality between those of its members."""
    assert names_of([0, 2], ["lanczos", "area", "pillow:lanczos"]) == "lanczos = pillow:lanczos"
