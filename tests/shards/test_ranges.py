"""Parts and ranges of shards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.options import Part
from alexnet_pipeline.shards.options import RunOptions
from alexnet_pipeline.shards.ranges import check_range, range_of, ranges_text


@given(st.integers(1, 5000), st.integers(1, 300))
def test_parts_cover_every_shard_once(shards, parts) -> None:
    """Of nearly the same size."""
    spans = [range_of(RunOptions(part=Part(number, parts)), shards) for number in range(parts)]
    assert [index for span in spans for index in range(*span)] == list(range(shards))
    sizes = {last - first for first, last in spans}
    assert max(sizes) - min(sizes) <= 1


def test_a_range_past_the_end_is_refused() -> None:
    """One that begins within a split is cut off at its end; a second way to choose is refused."""
    assert range_of(RunOptions(shard_range=(3, 9)), 5) == (3, 5)
    check_range(RunOptions(shard_range=(3, 9)), {"train": 5, "val": 2})
    with pytest.raises(RefusedError, match=r"5:9 lies past the end: train has 5 shards, val has 2 shards"):
        check_range(RunOptions(shard_range=(5, 9)), {"train": 5, "val": 2})
    with pytest.raises(RefusedError, match="two ways"):
        check_range(RunOptions(shard_range=(0, 9), part=Part(0, 2)), {"train": 5})


@given(st.sets(st.integers(0, 60), min_size=1))
def test_ranges_name_every_number(numbers) -> None:
    """As `shard_range` takes them."""
    text = ranges_text(sorted(numbers)).partition(" and ")[0]
    named = [range(*map(int, span.split(":"))) for span in text.split(", ")]
    found = [number for span in named for number in span]
    assert found == sorted(numbers)[: len(found)]
    assert len(named) == 20 or len(found) == len(numbers)
