"""A contact sheet shows samples at full size, and cuts no text."""

import numpy as np
import pytest

from alexnet_pipeline.shards.contact_sheet import GAP_PX, IMAGE_PX, Picture, contact_sheet, plain, wrapped

BLACK = np.zeros((IMAGE_PX, IMAGE_PX, 3), np.uint8)


def picture(image: np.ndarray = BLACK, words: str = "0 tench", key: str = "n01440764_1") -> Picture:
    return Picture(image, words, key)


def test_images_of_shards_are_shown_pixel_for_pixel() -> None:
    """Those of 256 px; smaller ones are enlarged by a whole factor, larger ones reduced."""
    image = np.random.default_rng(0).integers(0, 256, (IMAGE_PX, IMAGE_PX, 3), np.uint8)
    sheet = contact_sheet([picture(image), picture(image[:100, :60])], "t")
    top = next(row for row in range(len(sheet)) if (sheet[row, GAP_PX : GAP_PX + IMAGE_PX] == image[0]).all())
    np.testing.assert_array_equal(sheet[top : top + IMAGE_PX, GAP_PX : GAP_PX + IMAGE_PX], image)
    left = 2 * GAP_PX + IMAGE_PX
    np.testing.assert_array_equal(sheet[top : top + 200 : 2, left : left + 120 : 2], image[:100, :60])
    np.testing.assert_array_equal(sheet[top + 1 : top + 200 : 2, left + 1 : left + 120 : 2], image[:100, :60])
    large = contact_sheet([picture(np.zeros((1000, 500, 3), np.uint8))], "t")
    assert (large[:, GAP_PX : GAP_PX + 128] == 0).all(2).all(1).sum() == IMAGE_PX
    assert large.shape[1] == IMAGE_PX + 2 * GAP_PX


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 2), (5, 3), (64, 8), (90, 8)])
def test_a_sheet_is_about_square(count: int, columns: int) -> None:
    """And at most eight images wide."""
    small = np.zeros((8, 8, 3), np.uint8)
    assert contact_sheet([picture(small)] * count, "t").shape[1] == GAP_PX + columns * (IMAGE_PX + GAP_PX)


def test_texts_are_wrapped_and_never_cut() -> None:
    """At spaces, or within a word that is too long alone; nothing is lost, and no line is too wide."""
    assert wrapped("7 gas pump", 256, 0.5) == ["7 gas pump"]
    long = "a quite long title of several words about a set of images"
    assert " ".join(wrapped(long, 100, 0.5)) == long
    key = "W" * 90
    lines = wrapped(key, 256, 0.5)
    assert len(lines) > 1
    assert "".join(lines) == key
    assert wrapped("WW", 1, 0.5) == ["W", "W"]
    assert wrapped("", 256, 0.5) == []


def test_long_captions_make_their_row_higher_and_stay_below_their_image() -> None:
    """The next image and the margin stay free."""
    rows = [contact_sheet([picture(key=key), picture(key="b")], "t") for key in ("a", "W" * 90)]
    assert rows[1].shape[0] > rows[0].shape[0]
    gap = rows[1][:, GAP_PX + IMAGE_PX + 2 : 2 * GAP_PX + IMAGE_PX - 2]
    assert (gap[60:] == 255).all()


def test_letters_that_a_font_lacks_have_a_substitute() -> None:
    """An accent is left out; another script is a question mark."""
    assert plain("caf\u00e9 \u732b\x1b[0m") == "cafe ??[0m"
