"""A comparison becomes one page that needs nothing beside itself, and a figure, whatever its names are."""

import dataclasses
import html
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from alexnet_pipeline.compare import tables
from alexnet_pipeline.compare.gallery import (
    Gallery,
    circles,
    difference_map,
    gallery_of,
    scale_of,
    zone_plate,
)
from alexnet_pipeline.compare.labels import Box, Mark, place_names
from alexnet_pipeline.compare.pareto import Point, front
from alexnet_pipeline.compare.records import Metric
from alexnet_pipeline.compare.report import write_figure, write_page
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.codec import encode
from tests.compare.made import HOSTILE, METHODS, comparison, gallery

NINE = ("nearest", "bilinear", "area", "bilinear-aa", "bicubic", "lanczos", "antialias", "pillow:lanczos", "a:b")


def page_of(tmp_path, found, shown=None):
    output = tmp_path / "report.html"
    write_page(found, gallery() if shown is None else shown, output)
    return output.read_text("utf-8")


def numbers_of(page):
    return re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.DOTALL)[1]


def test_a_page_has_every_part_in_order(tmp_path):
    """Verdict, table, charts, pictures, sizes, spectra, tests, provenance."""
    page = page_of(tmp_path, comparison())
    headings = re.findall(r'<h2 id="([a-z]+)"', page)
    assert headings == ["means", "pareto", "responses", "patterns", "photos", "sizes", "spectra", "tests", "provenance"]
    assert "First of all, <code>nearest</code> aliases." in page
    assert page.index("Third.") < page.index("alexnet-pipeline compare")
    assert page.count('<svg class="plane') == 4
    assert page.count('<svg class="chart panel"') == len(METHODS)
    assert "<b>32.00</b>" in page
    assert "identical in every picture" in page


def test_the_matrix_stands_in_a_trained_page_only(tmp_path):
    """With training there is a heat map with its finding, deviations and the shift's consistency."""
    assert 'class="heat"' not in page_of(tmp_path, comparison())
    found = comparison(trained=True)
    page = page_of(tmp_path, found)
    assert page.count("--heat:") == len(METHODS) ** 2
    assert page.count('class="own"') == len(METHODS)
    assert html.escape(found.training.finding, quote=False) in page
    assert "91.0 ± 1.0" in page


def test_finished_shards_have_a_page_without_responses(tmp_path):
    """There are no weights and no raw pictures; samples come from the caller."""
    found = comparison(("a", "b"), kind="shards")
    samples = gallery_of(found, lambda picture: [np.full((256, 256, 3), level, np.uint8) for level in (10, 12)])
    assert len(samples.photos) == 4
    page = page_of(tmp_path, found, samples)
    assert '<h2 id="photos"' in page
    assert '<h2 id="pareto"' not in page
    assert gallery_of(found) == Gallery()
    with pytest.raises(RefusedError, match="no"):
        write_figure(found, tmp_path / "figure.svg")


def test_hostile_names_stay_text(tmp_path):
    """A file or method named like markup is shown, never run, and cannot end the embedded numbers."""
    found = comparison((HOSTILE, "b"), name=HOSTILE, trained=True)
    page = page_of(tmp_path, found, gallery((HOSTILE, "b"), name=HOSTILE))
    assert page.count("<script") == page.count("</script>") == 2
    assert "document.title='run'" not in page.replace(numbers_of(page), "")
    assert html.escape(HOSTILE, quote=False).split("=")[0] in page
    assert json.loads(numbers_of(page))["pictures"][0]["name"] == HOSTILE


def test_names_that_are_no_text_are_written(tmp_path):
    """A file name of other bytes than UTF-8 does not stop the page."""
    assert "\\udcff" in page_of(tmp_path, comparison(name="a\udcff.JPEG"))


def test_nothing_comes_from_outside(tmp_path):
    """Pictures are in the page, no address is, and the browser is told to load nothing."""
    page = page_of(tmp_path, comparison())
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" in page
    assert not re.search(r"https?://|@import|<link|url\(", page)
    sources = re.findall(r'src="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))


@pytest.mark.parametrize("trained", [False, True])
def test_embedded_numbers_are_the_records(tmp_path, trained):
    """What is embedded is what was found, number for number."""
    found = comparison(trained=trained)
    expected = json.loads(json.dumps(dataclasses.asdict(found)))
    assert json.loads(numbers_of(page_of(tmp_path, found))) == expected


def test_what_is_no_number_becomes_null(tmp_path):
    """An infinite mean leaves the page and its JSON whole."""
    found = comparison()
    first = found.methods[0]
    worse = dataclasses.replace(first.measured[0], mean=math.inf, low=math.nan, high=math.inf)
    methods = (dataclasses.replace(first, measured=(worse, *first.measured[1:])), *found.methods[1:])
    page = page_of(tmp_path, dataclasses.replace(found, methods=methods))
    assert json.loads(numbers_of(page))["methods"][0]["measured"][0]["mean"] is None


def test_a_page_of_300_pictures_stays_small(tmp_path):
    """300 pictures by 9 methods and 12 metrics, with noise for photos, stay below 5 MB."""
    metrics = tuple(Metric(f"metric{number}", "label", "", "higher", "Defined.") for number in range(12))
    found = comparison(NINE, 300, metrics)
    patterns = gallery(NINE, side=256).patterns
    page = page_of(tmp_path, found, dataclasses.replace(gallery(NINE, photos=6), patterns=patterns * 0))
    assert len(page.encode()) < 4_000_000  # which leaves 1 MB for patterns, that are not noise


def test_empty_parts_are_left_out(tmp_path):
    """A comparison without pictures or tests still has a page."""
    found = dataclasses.replace(comparison(pictures=0), tests=(), rejects=())
    page = page_of(tmp_path, found, Gallery())
    assert '<h2 id="sizes"' not in page
    assert '<h2 id="provenance"' in page


def test_the_page_s_charts_are_well_formed(tmp_path):
    """Every inline SVG parses."""
    page = page_of(tmp_path, comparison((*METHODS, HOSTILE)))
    outer = re.findall(r'<svg class="(?:chart|plane).*?</svg>(?=</figure>|<svg class="plane)', page, re.DOTALL)
    assert len(outer) == 4 + 4 + 2 + 2
    for svg in outer:
        ElementTree.fromstring(svg)


@pytest.mark.parametrize("methods", [METHODS, NINE, (HOSTILE, "one")])
def test_the_figure_for_papers_is_xml(tmp_path, methods):
    """It has its size in mm, its own styles, and every method's name twice."""
    output = tmp_path / "figure.svg"
    write_figure(comparison(methods), output)
    root = ElementTree.parse(output).getroot()
    assert root.get("width").endswith("mm")
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(texts.count(method) == 2 for method in methods)


def test_the_gallery_holds_windows_of_the_worst_pictures(tmp_path):
    """Photos come by descending disagreement, cut at their windows, and a file that has gone leaves a note."""
    source = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    path = tmp_path / "tar"
    data = encode(source, encoding="png", quality=0, subsampling="444")
    path.write_bytes(b"before" + data + b"after")
    found = comparison(pictures=3)
    here = dataclasses.replace(
        found.pictures[1], path=str(path), offset=6, size_bytes=len(data), window_px=(20, 100), name="here"
    )
    shown = gallery_of(dataclasses.replace(found, pictures=(found.pictures[0], here, found.pictures[2])))
    assert [photo.name for photo in shown.photos] == ["here"]
    assert len(shown.notes) == 2
    assert [name for name, _ in shown.photos[0].pictures] == list(METHODS)
    np.testing.assert_array_equal(shown.photos[0].pictures[0][1], source[20:84, 100:164])
    assert [exhibit.title for exhibit in shown.patterns] == ["Zone plate", "Circles"]
    assert {picture.shape for exhibit in shown.patterns for _, picture in exhibit.pictures} == {(256, 256, 3)}


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
    drawn = difference_map(first, other, 8)
    assert drawn[0, :, 3].tolist() == [255, 0, 128]
    assert drawn[0, 0, :3].tolist() != drawn[0, 2, :3].tolist()


def test_the_scale_of_differences_is_the_least_that_serves():
    """Nothing to show needs the smallest scale; noise needs the largest."""
    assert scale_of(()) == 2
    assert scale_of(gallery().photos) > 32


def test_names_do_not_collide():
    """Thirty names at random, some marks in one place, stay clear of each other and inside."""
    rng = np.random.default_rng(1)
    marks = [Mark(float(x), float(y), 5, 60) for x, y in rng.uniform(40, 760, (26, 2))] + [Mark(300, 300, 5, 60)] * 4
    bounds = Box(0, 0, 800, 800)
    boxes = [place.box for place in place_names(marks, 15, bounds, (), ())]
    assert all(box.overlap(bounds) == pytest.approx(box.area) for box in boxes)
    assert not any(a.overlap(b) for number, a in enumerate(boxes) for b in boxes[:number])


def test_the_front_is_what_nothing_beats():
    """A method that keeps less and aliases more is not on it; equals both are."""
    points = [Point("a", 0.5, -15, 1), Point("b", 0.9, -12, 1), Point("c", 0.8, -10, 1), Point("d", 0.9, -12, 2)]
    assert [point.name for point in front(points)] == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.0001, 2, "0.00"), (-0.5, 1, "-0.5"), (12345.6, 1, "12,345.6"), (0.0, 0, "0"), (math.inf, 1, "inf")],
)
def test_numbers_as_text(value, decimals, text):
    """Thousands stand apart, and zero has no sign."""
    assert tables.fixed(value, decimals) == text


def test_columns_show_what_intervals_tell():
    """Bytes become kB, shares per cent, and decimals follow the intervals."""
    found = comparison()
    shown = {column.metric.name: (column.unit, column.decimals) for column in tables.columns_of(found)}
    assert shown == {"psnr_db": ("dB", 2), "clipped_share": ("%", 1), "jpeg_bytes": ("kB", 2), "resample_ms": ("ms", 3)}
