"""A comparison becomes one page that needs nothing beside itself, and a figure, whatever its names are."""

import dataclasses
import html
import json
import math
import re
import sys
from xml.etree import ElementTree

import cv2
import pytest

from alexnet_pipeline.comparison.page.figure_file import PIXELS_PER_INCH, check_figure, write_figure
from alexnet_pipeline.comparison.page.gallery import Gallery
from alexnet_pipeline.comparison.page.paper_figure import SIZE_MM, paper_figure
from alexnet_pipeline.comparison.page.report import write_page
from alexnet_pipeline.comparison.records import Comparison, Metric
from alexnet_pipeline.errors import RefusedError
from tests.comparison.page.made import HOSTILE, METHODS, METRICS, comparison, gallery

NINE = ("nearest", "bilinear", "area", "bilinear-aa", "bicubic", "lanczos", "antialias", "pillow:lanczos", "a:b")


def page_of(tmp_path, found, shown=None):
    output = tmp_path / "report.html"
    write_page(found, gallery() if shown is None else shown, output)
    return output.read_text("utf-8")


def numbers_of(page):
    return re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.DOTALL)[1]


def test_a_page_has_every_part_in_order(tmp_path):
    """Verdict, table, charts, images, sizes, spectra, tests, provenance."""
    page = page_of(tmp_path, comparison())
    headings = re.findall(r'<h2 id="([a-z]+)"', page)
    assert headings == ["means", "pareto", "responses", "patterns", "photos", "sizes", "spectra", "tests", "provenance"]
    assert '<p class="advice">First of all, <code>nearest</code> aliases.</p>' in page
    assert page.index("Third.") < page.index("alexnet-pipeline compare")
    assert page.count('<svg class="plane') == 4
    assert page.count('<svg class="chart panel"') == len(METHODS)
    assert "<b>32.00</b>" in page
    assert "identical on every image" in page
    assert "picture" not in page.lower().replace(numbers_of(page).lower(), "")


@pytest.mark.parametrize(
    "words",
    [
        "shown at 1:1",
        "Hover over (or tab to) a crop to flip to nearest.",
        "Means over 4 images",
        "1 rejected",
        "All images as CSV",
        "Top-1 error in %, mean ± standard deviation over seeds",
        "1 of 2 pairs differ significantly",
    ],
)
def test_the_page_says_it_in_these_words(tmp_path, words):
    """What a reader is told about charts and crops."""
    tests = comparison().tests
    weak = dataclasses.replace(tests[1], p_value=0.5)
    found = dataclasses.replace(comparison(trained=True), tests=(tests[0], weak))
    assert words in page_of(tmp_path, found)


def test_plurals_are_right(tmp_path):
    """One image, one pair and one seed are singular."""
    found = dataclasses.replace(comparison(("a", "b"), images=1, trained=True))
    training = dataclasses.replace(found.training, seeds=(0,), steps=1, batch_images=1)
    page = page_of(tmp_path, dataclasses.replace(found, training=training), Gallery())
    for words in ("Means over 1 image,", "1 of 1 pair differs significantly", "1 step of 1 image,", "1 seed (0)"):
        assert words in page


def test_the_matrix_stands_in_a_trained_page_only(tmp_path):
    """With training there is a heat map with its finding, deviations and the shift's consistency."""
    assert 'class="heat"' not in page_of(tmp_path, comparison())
    found = comparison(trained=True)
    page = page_of(tmp_path, found)
    assert page.count("--heat:") == len(METHODS) ** 2
    assert page.count('class="own"') == len(METHODS)
    assert html.escape(found.training.finding, quote=False) in page
    assert "91.0 ± 1.0" in page
    heats = [float(heat) for heat in re.findall(r"--heat:([0-9.]+)", page)]
    own = [heat for number, heat in enumerate(heats) if number % (len(METHODS) + 1) == 0]
    assert (min(heats), max(heats)) == (0, 0.6)
    assert set(own) == {0}


def test_finished_shards_have_a_page_without_responses(tmp_path):
    """There are no weights and no test patterns."""
    found = comparison(("a", "b"), kind="shards")
    page = page_of(tmp_path, found, dataclasses.replace(gallery(("a", "b")), patterns=()))
    assert '<h2 id="photos"' in page
    assert '<h2 id="pareto"' not in page
    assert '<h2 id="patterns"' not in page


def test_hostile_names_stay_text(tmp_path):
    """A file or method named like markup is shown, never run, and cannot end the embedded numbers."""
    found = comparison((HOSTILE, "b"), name=HOSTILE, trained=True)
    page = page_of(tmp_path, found, gallery((HOSTILE, "b"), name=HOSTILE))
    assert page.count("<script") == page.count("</script>") == 2
    assert "document.title='run'" not in page.replace(numbers_of(page), "")
    assert html.escape(HOSTILE, quote=False).split("=")[0] in page
    assert json.loads(numbers_of(page))["images"][0]["name"] == HOSTILE


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


def test_a_page_of_300_images_stays_small(tmp_path):
    """300 images by 9 methods and 12 metrics, with noise for photos, stay below 5 MB."""
    metrics = tuple(Metric(f"metric{number}", "label", "", "higher", "Defined.") for number in range(12))
    found = comparison(NINE, 300, metrics)
    patterns = gallery(NINE, side=256).patterns
    page = page_of(tmp_path, found, dataclasses.replace(gallery(NINE, photos=6), patterns=patterns * 0))
    assert len(page.encode()) < 4_000_000  # which leaves 1 MB for patterns, that are not noise


def test_empty_parts_are_left_out(tmp_path):
    """A comparison without images or tests still has a page."""
    found = dataclasses.replace(comparison(images=0), tests=(), rejects=())
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


def same_twice(name: str = "opencv:area") -> Comparison:
    """A comparison whose last method is the one before under another name."""
    found = comparison((*METHODS, name))
    *others, area, _ = found.methods
    responses = tuple(dataclasses.replace(response, method=name) for response in area.responses)
    copy = dataclasses.replace(area, name=name, responses=responses)
    return dataclasses.replace(found, methods=(*others, area, copy))


def test_methods_that_are_the_same_are_said_to_be(tmp_path):
    """Neither hides under the other: one name stands at their mark, and the second says = below their line."""
    page = page_of(tmp_path, same_twice(), Gallery())
    planes = re.findall(r'<svg class="plane.*?</svg>', page, re.DOTALL)
    assert [plane.count(">area = opencv:area</text>") for plane in planes] == [1] * 4
    assert all(">area</text>" not in plane for plane in planes)
    spectra = page.partition('<div class="charts spectra">')[2].partition("</div>")[0]
    assert spectra.count(">area</text>") == spectra.count(">= opencv:area</text>") == 2
    assert spectra.count('class="line s2"') == 4
    assert "s3" not in spectra
    assert "A name that begins with = has the same spectrum" in page
    assert "A name that begins with =" not in page_of(tmp_path, comparison(), Gallery())


def test_what_is_measured_once_for_all_methods_is_not_compared(tmp_path):
    """It has a sentence, and no column, bars or tests."""
    shared = Metric("decode_ms", "decode", "ms", "neither", "Defined.", shared=True)
    found = comparison(metrics=(METRICS[0], shared, METRICS[3]))
    page = page_of(tmp_path, found, Gallery())
    assert re.findall('data-metric="([^"]*)"', page) == ["psnr_db", "resample_ms"]
    assert re.search(
        r"Decode: [0-9.]+ ms \([0-9.]+ to [0-9.]+\), the same for every method, so it is not compared", page
    )
    values = re.findall(
        r'<td class="n[^"]*" data-value="([^"]*)"', page.partition("<tbody>")[2].partition("</tbody>")[0]
    )
    expected = [mean.mean for method in found.methods for mean in method.measured if mean.metric != "decode_ms"]
    assert [float(value) for value in values] == expected


def test_signs_are_minus_signs(tmp_path):
    """In prose, tables and charts alike."""
    found = dataclasses.replace(comparison(trained=True), verdict=("It is -4.1 dB low-pass.",))
    page = page_of(tmp_path, found)
    shown = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert "It is \N{MINUS SIGN}4.1 dB low-pass." in shown
    assert "\N{MINUS SIGN}8.0 dB" in shown
    assert not re.search(r"(?<![\w.])-\d", shown.replace(found.command, ""))


def test_panels_have_units(tmp_path):
    """Both of their axes."""
    panels = re.findall(r'<svg class="chart panel".*?</figure>', page_of(tmp_path, comparison()), re.DOTALL)
    assert len(panels) == len(METHODS)
    assert all(">gain</text>" in panel and ">cycles per source px</text>" in panel for panel in panels)


def texts_of(found: Comparison) -> list[str]:
    root = ElementTree.fromstring(paper_figure(found))
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("methods", [METHODS, NINE, (HOSTILE, "one")])
def test_the_figure_for_papers_is_xml(methods):
    """It has its size in mm, its own styles, and every method's name twice."""
    found = comparison(methods)
    root = ElementTree.fromstring(paper_figure(found))
    assert root.get("width").endswith("mm")
    assert all(texts_of(found).count(method) == 2 for method in methods)


def test_the_figure_explains_its_marks():
    """The dashed line, the size of the bubbles, and names joined by =; curves have colours."""
    texts = texts_of(same_twice())
    for words in ("Pareto front", "to resample an image (area)", "= the same weights as the name before it"):
        assert words in texts
    assert sum(text.endswith(" ms") for text in texts) == 2
    assert {"area", "= opencv:area", "area = opencv:area"} <= set(texts)
    plain = comparison(metrics=METRICS[:1])
    assert not any("same weights" in text or "(area)" in text for text in texts_of(plain))
    colours = re.findall(r'class="curve" stroke="(#[0-9a-f]+)"', paper_figure(comparison()))
    assert len(set(colours)) == len(METHODS)


def test_a_figure_is_what_its_suffix_says(tmp_path):
    """SVG as text, PDF with vectors, PNG at 600 pixels per inch; and the same file again."""
    write_figure(comparison(), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == paper_figure(comparison())
    pytest.importorskip("typst", reason="the extra `figure` is not installed")
    for name in ("a.pdf", "b.pdf", "a.PNG"):
        check_figure(tmp_path / name)
        write_figure(comparison((HOSTILE, "b")), tmp_path / name)
    document = (tmp_path / "a.pdf").read_bytes()
    assert document.startswith(b"%PDF-")
    assert document == (tmp_path / "b.pdf").read_bytes()
    assert b"CreationDate" not in document
    width_px, height_px = (round(side / 25.4 * PIXELS_PER_INCH) for side in SIZE_MM)
    drawn = cv2.imread(str(tmp_path / "a.PNG"))
    assert drawn.shape[:2] == pytest.approx((height_px, width_px), abs=1)
    assert drawn.std() > 5


def test_a_figure_that_nothing_here_can_draw_is_refused(tmp_path, monkeypatch):
    """With the command that installs what is missing; an SVG needs nothing."""
    monkeypatch.setitem(sys.modules, "typst", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_figure(tmp_path / "a.svg")
    with pytest.raises(RefusedError, match=r"pip install 'alexnet-pipeline\[figure\]', or write a \.svg"):
        check_figure(tmp_path / "a.pdf")


def test_no_control_character_reaches_the_page_or_its_downloads(tmp_path):
    """Names with terminal escapes and marks that turn the direction of text round are shown as escapes."""
    name = "a\x1b]0;owned\x07\u202eb\x9b"
    found = comparison()
    found = dataclasses.replace(
        found,
        source=name,
        command=name,
        images=tuple(dataclasses.replace(image, name=name, key=name) for image in found.images),
        rejects=tuple(dataclasses.replace(reject, name=name, detail=name) for reject in found.rejects),
        methods=tuple(dataclasses.replace(each, definition=name) for each in found.methods),
    )
    page = page_of(tmp_path, found)
    assert "\\x1b]0;owned\\x07\\u202eb\\x9b" in page
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", page)
    assert "\\u001b" not in numbers_of(page)
