"""Listings in columns: what was added comes back, and no two images share a key."""

import random

from alexnet_pipeline.raw.listing import ListingBuilder, TextColumn, key_of
from alexnet_pipeline.raw.tree import Place


def test_a_column_of_texts_is_a_list_of_them() -> None:
    """Empty ones, long ones and undecodable bytes."""
    texts = ["", "a", "ä" * 300, "", "\udcff", *map(str, range(25_000))]
    column = TextColumn()
    for text in texts:
        column.append(text)
    assert list(column) == texts
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    assert [each for part in column.encoded_parts() for each in part] == encoded
    assert column.encoded(2) == encoded[2]


def slow_keys(names: list[tuple[str, str]]) -> list[str | None]:
    """The keys by a dictionary of all of them: the first keeps its key, another gets a digest, a double is rejected."""
    from alexnet_pipeline.raw.listing import _with_digest

    seen: dict[str, str] = {}
    keys: list[str | None] = []
    plain = {key_of(wnid, file) for wnid, file in names}
    for wnid, file in names:
        name, key = f"{wnid}/{file}", key_of(wnid, file)
        if seen.get(key, name) != name:
            key = _with_digest(key, name)
            if key in plain:
                keys.append(None)
                continue
        if key in seen:
            keys.append(None)
            continue
        seen[key] = name
        keys.append(key)
    return keys


def test_keys_are_unique_as_by_a_dictionary() -> None:
    """Clashes of many kinds, in many orders, against the slow way."""
    for seed in range(200):
        draw = random.Random(seed)
        stems = ["1", "a_1", "b_1", "a b", "a.b", "1-4e1243bd"]
        names = [(draw.choice("ab"), f"{draw.choice(stems)}.{draw.choice(['jpg', 'png'])}") for _ in range(12)]
        builder = ListingBuilder("train", ("a", "b"))
        place = builder.add_place(Place("/x", "plain", folder=True))
        for number, (wnid, file) in enumerate(names):
            builder.add(wnid, file, place, number, 0)
        listing = builder.build()
        wanted = [(number, key) for number, key in enumerate(slow_keys(names)) if key is not None]
        assert [(size, key) for size, key in zip(listing.sizes, listing.keys, strict=True)] == wanted
        assert len(set(listing.keys)) == len(listing)
        assert len(listing) + len(listing.rejects) == len(names)
        for position, (number, _) in enumerate(wanted):
            image = listing.image(position)
            assert image.path == f"/x/{names[number][1]}"
            assert image.wnid == names[number][0] == listing.classes[image.label]
