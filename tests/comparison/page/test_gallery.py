"""The images of a report: patterns, crops and difference maps."""

import dataclasses

import numpy as np

from alexnet_pipeline.comparison.page.gallery import (
    circles,
    difference_map,
    gallery_of,
    scale_of,
    signed_levels,
    zone_plate,
)
from alexnet_pipeline.errors import RejectedImageError
from tests.comparison.page.made import METHODS, comparison, gallery


def test_the_gallery_holds_windows_of_the_worst_images():
    """Photos come by descending disagreement, cut at their windows, and a file that has gone leaves a note."""
    outputs = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), np.uint8)
    found = comparison(images=3)
    here = dataclasses.replace(found.images[1], window_px=(20, 100), name="here")

    def read(image):
        if image.key == "key2":
            raise RejectedImageError("unreadable", "it has gone")
        return outputs

    shown = gallery_of(dataclasses.replace(found, images=(found.images[0], here, found.images[2])), read)
    assert [photo.name for photo in shown.photos] == ["here", found.images[0].name]
    assert shown.notes == (f"{found.images[2].name} is left out: unreadable: it has gone",)
    assert [name for name, _ in shown.photos[0].outputs] == list(METHODS)
    for (_, crop), output in zip(shown.photos[0].outputs, outputs, strict=True):
        np.testing.assert_array_equal(crop, output[20:84, 100:164])
    assert shown.photos[0].window == (100 / 256, 20 / 256, 0.25, 0.25)
    assert [exhibit.title for exhibit in shown.patterns] == ["Zone plate", "Circles"]
    assert {output.shape for exhibit in shown.patterns for _, output in exhibit.outputs} == {(256, 256, 3)}


def test_finished_shards_have_photos_only():
    """Patterns would say nothing about stored images."""
    shown = gallery_of(comparison(("a", "b"), kind="shards"), lambda image: np.full((2, 256, 256, 3), 9, np.uint8))
    assert (len(shown.photos), shown.patterns) == (4, ())


def test_patterns_are_symmetric():
    """Neither pattern leans to a side."""
    for pattern in (zone_plate(375), circles(375)):
        np.testing.assert_array_equal(pattern, pattern[::-1])
        np.testing.assert_array_equal(pattern, pattern.transpose(1, 0, 2))
        assert pattern[..., 0].std() > 20


def test_difference_maps_show_the_sign():
    """More is one colour, less another, and equal is transparent."""
    first = np.full((1, 3, 3), 100, np.uint8)
    other = first + np.array([-8, 0, 4], np.int8).astype(np.uint8)[None, :, None]
    drawn = difference_map(signed_levels(first, other), 8)
    assert drawn[0, :, 3].tolist() == [255, 0, 128]
    assert drawn[0, 0, :3].tolist() != drawn[0, 2, :3].tolist()


def test_the_scale_of_differences_is_the_least_that_serves():
    """Nothing to show needs the smallest scale; noise needs the largest."""
    assert scale_of(()) == 2
    assert scale_of(gallery().photos) > 32


def test_photos_of_imagenet_are_called_by_the_words_of_their_class():
    """A reader knows a tench, not n01440764."""
    found = comparison(images=1)
    named = dataclasses.replace(found.images[0], name="n01440764/n01440764_1.JPEG")
    shown = gallery_of(dataclasses.replace(found, images=(named,)), lambda image: np.zeros((3, 256, 256, 3), np.uint8))
    assert shown.photos[0].title.startswith("tench, ")
    assert shown.photos[0].name == named.name
