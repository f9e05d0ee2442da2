"""The table of means on a terminal and in a notebook."""

import dataclasses
import math

import pytest

from alexnet_pipeline.comparison import summary
from tests.comparison.page.made import HOSTILE, METHODS, comparison


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.0001, 2, "0.00"), (-0.5, 1, "-0.5"), (12345.6, 1, "12,345.6"), (0.0, 0, "0"), (math.inf, 1, "inf")],
)
def test_numbers_as_text(value, decimals, text):
    """Thousands stand apart, and zero has no sign."""
    assert summary.fixed(value, decimals) == text


def test_columns_show_what_intervals_tell():
    """Bytes become kB, shares per cent, and decimals follow the intervals."""
    found = comparison()
    shown = {column.metric.name: (column.unit, column.decimals) for column in summary.columns_of(found)}
    assert shown == {"psnr_db": ("dB", 2), "clipped_share": ("%", 1), "jpeg_bytes": ("kB", 2), "resample_ms": ("ms", 3)}


def test_the_table_has_units_and_explains_its_marks():
    """A star is at the best mean only, and digits stay below each other."""
    heads, rows = summary.means_table(comparison())
    assert heads == [
        ("method", ""), ("alias", "dB"), ("pass band", "%"), ("PSNR", "dB"), ("JPEG size", "kB"), ("resample", "ms")
    ]  # fmt: skip
    assert [row[0] for row in rows] == list(METHODS)
    assert [row[3] for row in rows] == ["30.00 ", "31.00 ", "32.00*"]
    notes = summary.table_notes(comparison())
    assert notes[0] == "* best mean of the column"
    assert notes[1].startswith("alias: energy above Nyquist that remains;")


def test_sets_have_a_table_without_responses_and_stars():
    """Nothing ranks sets, so nothing is explained that is not there."""
    found = comparison(("a", "b"), kind="shards")
    plain = [dataclasses.replace(mean, best=False) for mean in found.methods[0].measured]
    found = dataclasses.replace(
        found, methods=tuple(dataclasses.replace(method, measured=tuple(plain)) for method in found.methods)
    )
    assert summary.means_table(found)[0] == [("shard set", ""), ("PSNR", "dB")]
    assert summary.table_notes(found) == []


def test_a_notebook_gets_the_table_and_text_stays_text():
    """Names are escaped."""
    page = comparison((HOSTILE, "b"))._repr_html_()
    assert page.startswith("<table>")
    assert "<th>alias (dB)</th>" in page
    assert "<td>b</td>" in page
    assert "<script" not in page


def test_a_comparison_has_a_short_repr():
    """One line with images, source and methods."""
    assert repr(comparison()) == "Comparison(4 images of '/data/class/file.JPEG': nearest, bilinear, area)"
    assert repr(comparison(trained=True)).endswith("area, with networks)")


def test_intervals_are_positions_within_their_column():
    """The lowest end is at 0 and the highest at 100 %; a constant column is filled."""
    found = comparison()
    column, constant = summary.columns_of(found)[:2]
    positions = [column.position(mean) for mean in summary.means_of(found, column.metric.name).values()]
    assert min(left for left, _ in positions) == 0
    assert max(left + width for left, width in positions) == pytest.approx(100)
    assert {constant.position(mean) for mean in summary.means_of(found, constant.metric.name).values()} == {(0, 100)}
