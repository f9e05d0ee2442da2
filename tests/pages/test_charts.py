"""Line charts and images in pages."""

import base64
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pages.charts import Series, line_chart, png_uri, spread, thinned


def series(points: int, **about: object) -> Series:
    x = np.arange(points, dtype=np.float64)
    return Series("a <b>", "s0", x, x % 7, **about)


def test_a_chart_is_an_svg_with_its_title_labels_and_values():
    """Whatever the names are."""
    svg = line_chart("Loss & error", [series(9)], x_unit="steps", text=lambda value: f"{value:g} bits")
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "Loss & error"
    texts = [element.text for element in root.iter("text")]
    assert {"a <b>", "1 bits", "steps"} <= set(texts)
    assert line_chart("Empty", [series(0)], x_unit="", text=str) == ""


def test_long_series_become_means_with_a_band():
    """The band is from the smallest to the largest; short series stay as they are."""
    thin = thinned(series(700), 100)
    assert thin.x.tolist() == [7 * run + 3 for run in range(100)]
    assert set(thin.y) == {3}
    assert (set(thin.low), set(thin.high)) == ({0}, {6})
    short = series(5)
    assert thinned(short, 100) is short


def test_labels_do_not_touch():
    """They are moved apart about their mean and stay within the chart."""
    assert spread([50, 50], 10, 200) == [45, 55]
    assert spread([10, 100], 10, 200) == [10, 100]
    places = spread([195, 198, 199], 10, 200)
    assert places[-1] <= 204
    assert min(np.diff(places)) >= 10


def test_labels_stay_above_the_ticks_of_the_x_axis():
    """The last tick's value may reach below the labels at its right, and what the axis shows has a line of its own."""
    zero = Series("rate", "s0", np.arange(5.0), np.zeros(5))
    svg = line_chart("Rate", [zero], x_unit="epoch", text=str, height_px=220)
    texts = list(ElementTree.fromstring(svg).iter("text"))
    heights = {text.text: float(text.get("y")) for text in texts if text.get("class") in {"tick", "axis"}}
    assert all(float(text.get("y")) <= heights["4"] - 14 for text in texts if text.get("class") in {"label", "value"})
    assert heights["epoch"] >= heights["4"] + 14


def test_strips_cover_the_chart_and_name_measured_points_only():
    """Few points have a strip each, up to halfway to the next; of many, each strip names what is in it."""

    def strips(points):
        line = series(points)
        root = ElementTree.fromstring(line_chart("", [line], x_unit="step", text="{:g}".format))
        for group in root.iter("g"):
            place = group.find("rect")
            yield float(place.get("x")[:-1]), float(place.get("width")[:-1]), group.find("title").text

    few = list(strips(5))
    assert [left for left, *_ in few] == [0, 12.5, 37.5, 62.5, 87.5]
    assert sum(width for _, width, _ in few) == pytest.approx(100)
    assert [words for *_, words in few] == [f"a <b>: {x} at step {x}" for x in range(5)]
    for left, width, words in strips(200):
        x = float(words.split()[-1])
        assert left - 0.01 <= 100 * x / 199 <= left + width + 0.01
        assert words == f"a <b>: {x % 7:g} at step {x:g}"


def test_an_event_is_a_line_across_with_a_tooltip():
    """At its x; one beyond the last value is at the edge."""
    svg = line_chart("", [series(5)], x_unit="", text=str, events=[(2.0, "a & b"), (9.0, "late")])
    groups = {group.find("title").text: group for group in ElementTree.fromstring(svg).iter("g")}
    assert groups["a & b"].find("line").get("x1") == "50.00%"
    assert groups["late"].find("line").get("x1") == "100.00%"


@pytest.mark.parametrize("channels", [3, 4])
def test_images_become_png(channels):
    """Pixels come back, colour by colour; grey is stored as grey."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    data = base64.b64decode(png_uri(image).removeprefix("data:image/png;base64,"))
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored[..., [2, 1, 0, 3][:channels]], image)
    grey = base64.b64decode(png_uri(np.full((2, 2, 3), 9, np.uint8)).partition(",")[2])
    assert cv2.imdecode(np.frombuffer(grey, np.uint8), cv2.IMREAD_UNCHANGED).shape == (2, 2)


@pytest.mark.parametrize("image", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)])
def test_what_is_no_image_is_refused(image):
    """The message says what was found."""
    with pytest.raises(PipelineError, match="expected HWC uint8"):
        png_uri(image)
