"""Methods that are the same in a chart: one mark or curve stands for several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

# Marks a name as another one for what stands before it.
SAME = "= "


def alike(values: Sequence[ArrayLike], tolerance: float) -> list[list[int]]:
    """Group numbers of methods by their values, which are arrays of one shape or single numbers.

    Args:
        values: of each method.
        tolerance: largest difference, anywhere, from the first of a group.

    Returns:
        The groups in the order of their first members, each in order.
    """
    groups: list[list[int]] = []
    for number, value in enumerate(values):
        same = (group for group in groups if np.abs(np.subtract(value, values[group[0]])).max() <= tolerance)
        group = next(same, None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    return groups


def names_of(group: Sequence[int], names: Sequence[str]) -> str:
    """The names of a group on one line: `lanczos = pillow:lanczos`."""
    return f" {SAME}".join(names[number] for number in group)
