"""Counts, names and tables as text."""

from alexnet_pipeline.text import counted, html_table, percent, percent_range, printable, with_minus


def test_counts_have_their_noun() -> None:
    """In the singular for one only."""
    assert [counted(count, "shard") for count in (0, 1, 1282)] == ["0 shards", "1 shard", "1,282 shards"]


def test_names_from_outside_are_escaped() -> None:
    """Control characters and undecodable bytes, but not letters of other scripts."""
    assert printable("a\x1b[31m\udcff\n") == "a\\x1b[31m\\udcff\\n"
    assert printable("ä 猫") == "ä 猫"


def test_shares_have_one_decimal() -> None:
    """Round ones, too, and the ends of intervals."""
    assert [percent(share) for share in (0.14, 0.0853, 1.0)] == ["14.0", "8.5", "100.0"]
    assert percent_range((0.0853, 0.221)) == "8.5 to 22.1"


def test_a_sign_becomes_a_minus_sign() -> None:
    """Not a hyphen within a word, a range or an option."""
    minus = "\N{MINUS SIGN}"
    assert with_minus("(-4.1 dB, -.5)") == f"({minus}4.1 dB, {minus}.5)"
    assert (
        with_minus("low-pass n-1 1-2 --train bilinear-aa 2026-01-02")
        == "low-pass n-1 1-2 --train bilinear-aa 2026-01-02"
    )


def test_a_notebooks_table_escapes_what_it_shows() -> None:
    """A file's name may be anything."""
    assert "<td>&lt;script&gt;</td><td>3</td>" in html_table(("file", "n"), [("<script>", 3)])
