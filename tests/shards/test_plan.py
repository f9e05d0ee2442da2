"""The global order: pure, complete, and the same whatever order the disk lists in."""

import dataclasses

import numpy as np

from alexnet_pipeline.raw.listing import ListingBuilder
from alexnet_pipeline.raw.tree import Place
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.plan import plan_shards


def listing(order):
    builder = ListingBuilder("train", ("a", "b"))
    for number in order:
        place = builder.add_place(Place("f", "plain"))
        builder.add("ab"[number % 2], f"{number:03d}.jpg", place, number, 0)
    return builder.build()


def names(plan):
    return [image.name for shard in range(plan.shards) for image in plan.images(shard)]


def test_listing_order_does_not_matter() -> None:
    """But the seed does, and every picture comes once."""
    options = SetOptions(shard_size_images=30)
    straight, backwards = (
        plan_shards(listing(range(100)), options),
        plan_shards(listing(range(99, -1, -1)), options),
    )
    assert names(straight) == names(backwards)
    assert straight.digest == backwards.digest
    assert len(set(names(straight))) == 100
    assert straight.shards == 4
    other = plan_shards(listing(range(100)), dataclasses.replace(options, seed=1))
    assert names(other) != names(straight)
    assert sorted(names(other)) == sorted(names(straight))


FROZEN = [3, 0, 6, 7, 4, 5, 9, 1, 8, 2]


def test_order_is_frozen() -> None:
    """The same in every release: a data set of today can be made again in years."""
    plan = plan_shards(listing(range(10)), SetOptions())
    assert [int(name[2:5]) for name in names(plan)] == FROZEN


def test_order_is_shuffled() -> None:
    """Positions and numbers are unrelated."""
    order = [int(name[2:5]) for name in names(plan_shards(listing(range(1000)), SetOptions()))]
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


def test_source_order_and_limit() -> None:
    """As asked."""
    plan = plan_shards(listing(range(50)), SetOptions(shuffle=False, limit_images=7, shard_size_images=3))
    assert names(plan) == [f"{'ab'[n % 2]}/{n:03d}.jpg" for n in range(7)]
    assert [len(plan.images(shard)) for shard in range(plan.shards)] == [3, 3, 1]


def test_stamp_sees_touched_inputs() -> None:
    """Size or time."""
    before = listing(range(4))
    touched = [
        dataclasses.replace(before, versions=before.versions + 1),
        dataclasses.replace(before, sizes=before.sizes + 1),
    ]
    stamps = {plan_shards(each, SetOptions()).stamps for each in [before, *touched, listing(range(4))]}
    assert len(stamps) == 3


def test_another_listing_has_another_digest() -> None:
    """One picture less, or a label changed."""
    options = SetOptions()
    whole = plan_shards(listing(range(10)), options)
    assert plan_shards(listing(range(9)), options).digest != whole.digest
    relabelled = dataclasses.replace(whole.listing, labels=np.ones(10, np.int32))
    assert plan_shards(relabelled, options).digest != whole.digest


def grouped(rows: int, ends: tuple[int, ...], files: int = 1):
    builder = ListingBuilder("train", ("a",))
    for file in range(files):
        place = builder.add_place(Place(f"/data/{file}.parquet", "row", group_ends=ends))
        for row in range(rows):
            builder.add("a", f"{file}_{row:04d}.jpg", place, 0, 0, row)
    return builder.build()


def test_row_groups_are_shuffled_whole_and_rows_within_shards() -> None:
    """A shard reads few row groups, every image comes once, and the rows of a shard are out of order."""
    listing = grouped(100, tuple(range(10, 101, 10)), files=2)
    options = SetOptions(shard_size_images=20)
    plan = plan_shards(listing, options)
    assert sorted(plan.order.tolist()) == list(range(200))
    groups = [{(image.path, image.offset // 10) for image in plan.images(shard)} for shard in range(plan.shards)]
    assert all(len(each) == 2 for each in groups)
    order = [image.offset for image in plan.images(0)]
    assert order != sorted(order)
    assert {path for path, _ in groups[0] | groups[1] | groups[2]} == {"/data/0.parquet", "/data/1.parquet"}
    again = plan_shards(grouped(100, tuple(range(10, 101, 10)), files=2), options)
    assert names(again) == names(plan)
    other = plan_shards(listing, dataclasses.replace(options, seed=1))
    assert names(other) != names(plan)


def test_row_groups_of_any_size_are_cut_at_shards() -> None:
    """A group that does not fit goes on in the next shard."""
    plan = plan_shards(grouped(100, (37, 38, 100)), SetOptions(shard_size_images=16))
    assert sorted(plan.order.tolist()) == list(range(100))
    assert [len(plan.images(shard)) for shard in range(plan.shards)] == [16] * 6 + [4]
