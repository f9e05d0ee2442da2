"""The page in a browser without network: no error, no request, and everything answers mouse and keyboard."""

import csv
import shutil

import pytest

from alexnet_pipeline.comparison.page.report import write_page
from tests.comparison.page.made import HOSTILE, METHODS, comparison, gallery

CHROMIUM = shutil.which("chromium")
if not CHROMIUM:
    pytest.skip("chromium is not installed", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; see the extra `test`")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    output = tmp_path_factory.mktemp("page") / "report.html"
    methods = (*METHODS, HOSTILE)
    write_page(comparison(methods, trained=True, name=HOSTILE), gallery(methods, 2, name=HOSTILE), output)
    return output


@pytest.fixture
def page(browser, report, request):
    """The page at a width, with all that it says on the console and asks for."""
    width = getattr(request, "param", 1280)
    context = browser.new_context(viewport={"width": width, "height": 844}, offline=True)
    opened = context.new_page()
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.goto(report.as_uri())
    yield opened
    assert opened.said == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in opened.asked)
    context.close()


def column(page, number):
    return page.locator("#table tbody tr").evaluate_all(
        "(rows, number) => rows.map((row) => Number(row.cells[number].dataset.value))", number
    )


@pytest.mark.parametrize("page", [390, 820, 1280], indirect=True)
def test_it_fits_the_window(page):
    """Nothing makes the page scroll sideways, and images are shown at whole multiples."""
    width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= window
    assert page.locator(".flicker img").first.evaluate("(image) => [image.clientWidth, image.naturalWidth]") == [
        256,
        64,
    ]


@pytest.mark.parametrize("page", [390], indirect=True)
def test_names_stay_readable_when_the_table_is_scrolled(page):
    """Nothing of the columns that pass below the first one shines through."""
    cell = page.locator("#table tbody th").first
    page.locator("#table").evaluate("(table) => { table.parentElement.scrollLeft = 120; }")
    on_top = cell.evaluate(
        """(cell) => {
          cell.scrollIntoView({ block: "center" });
          const box = cell.getBoundingClientRect();
          const found = [];
          for (let x = box.left + 2; x < box.right - 2; x += 3)
            for (let y = box.top + 2; y < box.bottom - 2; y += 3)
              found.push(cell.contains(document.elementFromPoint(x, y)));
          return found.every(Boolean) && found.length > 50;
        }"""
    )
    assert on_top


@pytest.mark.parametrize("page", [390, 1280], indirect=True)
def test_test_patterns_are_shown_whole(page):
    """What a zone plate is there to show lies away from its centre; on a phone it is not cropped."""
    image = page.locator(".pattern img").first
    assert image.evaluate("(image) => [image.clientWidth, image.clientHeight, getComputedStyle(image).objectFit]") == [
        256,
        256,
        "fill",
    ]


def test_sections_end_at_one_edge(page):
    """Tables, charts, test patterns and the command are as wide as the text column allows."""
    edges = page.evaluate(
        """() => ["#table", "table.plain", "table.heat", ".verdict pre", ".charts", ".patterns figure:nth-child(4)"]
          .flatMap((each) => [...document.querySelectorAll(each)].filter((found) => found.offsetParent)
            .slice(0, 1)
            .map((found) => Math.round(Math.min(found.getBoundingClientRect().right,
              found.parentElement.getBoundingClientRect().right))))"""
    )
    assert len(edges) >= 6
    assert set(edges) == {edges[0]}


def test_sorting_by_click(page):
    """The first click puts the best first, the second turns it round."""
    head = page.locator("#table th[data-metric=psnr_db]")
    head.locator("button").click()
    assert column(page, 1) == sorted(column(page, 1), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    assert column(page, 1) == sorted(column(page, 1))


def test_sorting_by_keyboard(page):
    """Tab reaches a heading and Enter sorts by it."""
    page.locator("#table th[data-metric=psnr_db] button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert column(page, 3) == sorted(column(page, 3))
    assert page.locator("#table th[aria-sort]").get_attribute("data-metric") == "jpeg_bytes"


def test_names_sort_as_text(page):
    """The first column sorts by name."""
    page.locator("#table th").first.locator("button").click()
    names = page.locator("#table tbody th").all_text_contents()
    assert names.index("area") < names.index("bilinear") < names.index("nearest")


def test_hover_and_focus_show_the_first_method(page):
    """Pointing at a crop swaps it for the first method's, leaving brings it back; so does focus by keyboard."""
    buttons = page.locator(".photo[open] .shelf").first.locator(".flicker")
    image = buttons.nth(1).locator("img")
    first, own = buttons.nth(0).locator("img").get_attribute("src"), image.get_attribute("src")
    assert first != own
    buttons.nth(1).hover()
    assert image.get_attribute("src") == first
    page.mouse.move(0, 0)
    assert image.get_attribute("src") == own
    buttons.nth(0).focus()
    page.keyboard.press("Tab")
    assert image.get_attribute("src") == first
    page.keyboard.press("Tab")
    assert image.get_attribute("src") == own


def test_a_tap_shows_the_first_method(browser, report):
    """A finger cannot hover: a tap swaps the crop, and the next brings it back."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(report.as_uri())
    buttons = page.locator(".photo[open] .shelf").first.locator(".flicker")
    image = buttons.nth(1).locator("img")
    own = image.get_attribute("src")
    buttons.nth(1).tap()
    assert image.get_attribute("src") == buttons.nth(0).locator("img").get_attribute("src")
    buttons.nth(1).tap()
    assert image.get_attribute("src") == own
    context.close()


def test_hostile_names_stay_text(page):
    """The name is there to read, and nothing that it says was done."""
    assert page.title() != "run"
    assert page.locator("#table tbody th").all_text_contents()[-1] == HOSTILE
    assert page.locator("#table b b").count() == 0
    assert HOSTILE in page.locator(".photo summary").first.text_content()


@pytest.mark.parametrize(("kind", "rows"), [("images", 4 * 4), ("summary", 4 * 4)])
def test_numbers_download_as_csv(page, tmp_path, kind, rows):
    """A table of all rows, in which a spreadsheet finds no formula."""
    with page.expect_download() as started:
        page.locator(f"button[data-download={kind}]").first.click()
    saved = tmp_path / "saved.csv"
    started.value.save_as(saved)
    with saved.open(encoding="utf-8-sig", newline="") as handle:
        table = list(csv.reader(handle))
    assert len(table) == rows + 1
    assert {len(row) for row in table} == {len(table[0])}
    assert any(HOSTILE in row for row in table)


def test_formulas_become_text(browser, tmp_path):
    """A name that begins like a formula gets an apostrophe; a negative number does not."""
    output = tmp_path / "report.html"
    found = comparison(("=1+1", "@b"), name='-2+3"x')
    write_page(found, gallery(("=1+1", "@b")), output)
    page = browser.new_page()
    page.goto(output.as_uri())
    with page.expect_download() as started:
        page.locator("button[data-download=images]").first.click()
    started.value.save_as(tmp_path / "saved.csv")
    with (tmp_path / "saved.csv").open(encoding="utf-8-sig", newline="") as handle:
        table = list(csv.DictReader(handle))
    assert table[0]["name"] == "'-2+3\"x"
    assert [row["method"] for row in table[:2]] == ["'=1+1", "'@b"]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_on_charts_do_not_overlap(browser, report, scheme):
    """No two texts of a chart lie on each other, as the browser really sets them."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 844})
    page.goto(report.as_uri())
    overlaps = page.evaluate(
        """() => [...document.querySelectorAll("svg.plane.wide, svg.chart.panel")].flatMap((svg) => {
          const boxes = [...svg.querySelectorAll("text:not(.axis)")]
            .map((text) => [text.textContent, text.getBoundingClientRect()]);
          return boxes.flatMap(([a, p], i) => boxes.slice(0, i).filter(([b, q]) =>
            Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&
            Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3).map(([b]) => [a, b]));
        })"""
    )
    assert [pair for pair in overlaps if HOSTILE not in pair] == []
    page.close()
