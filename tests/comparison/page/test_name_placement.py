"""Names beside marks stay readable."""

import numpy as np
import pytest

from alexnet_pipeline.comparison.page.name_placement import Box, Mark, overlap, place_names


def test_names_do_not_collide():
    """Thirty names at random, some marks in one place, stay clear of each other and inside."""
    rng = np.random.default_rng(1)
    marks = [Mark(float(x), float(y), 5, 60) for x, y in rng.uniform(40, 760, (26, 2))] + [Mark(300, 300, 5, 60)] * 4
    bounds = Box(0, 0, 800, 800)
    boxes = [position.box for position in place_names(marks, 15, bounds, (), ())]
    assert overlap(boxes, [bounds]) == pytest.approx([(box.right - box.left) * (box.bottom - box.top) for box in boxes])
    assert not any(overlap([box], boxes[:number]) for number, box in enumerate(boxes))


def test_a_far_name_has_a_line_to_its_mark_and_a_close_one_none():
    """Two marks in one place: the second name goes further away."""
    bounds = Box(0, 0, 100, 100)
    alone = place_names([Mark(50, 50, 5, 30)], 10, bounds, (), ())[0]
    assert alone.leader is None
    blocked = [Box(0, 25, 100, 75)]
    far = place_names([Mark(50, 50, 5, 30)], 10, bounds, blocked, ())[0]
    assert far.leader is not None
    assert not overlap([far.box], blocked)
