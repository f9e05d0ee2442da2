"""Counts, names and tables as text."""

from alexnet_pipeline.text import counted, html_table, printable, text_table


def test_counts_have_their_noun() -> None:
    """In the singular for one only."""
    assert [counted(count, "shard") for count in (0, 1, 1282)] == ["0 shards", "1 shard", "1,282 shards"]


def test_names_from_outside_are_escaped() -> None:
    """Control characters and undecodable bytes, but not letters of other scripts."""
    assert printable("a\x1b[31m\udcff\n") == "a\\x1b[31m\\udcff\\n"
    assert printable("ä 猫") == "ä 猫"


def test_a_table_is_aligned() -> None:
    """The first column to the left, the others to the right, nothing trailing."""
    assert text_table(["name", "ms"], [["a", "10.5"], ["longer", "1"]]) == [
        "name      ms",
        "a       10.5",
        "longer     1",
    ]


def test_a_notebooks_table_escapes_what_it_shows() -> None:
    """A file's name may be anything."""
    assert "<td>&lt;script&gt;</td><td>3</td>" in html_table(("file", "n"), [("<script>", 3)])
