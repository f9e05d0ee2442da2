"""Counts, shares and signs as text, names from outside made safe to show, and tables for notebooks."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

# A hyphen before a number, and not within a word or a range.
SIGN = re.compile(r"(?<![\w.)-])-(?=[\d.])")


def printable(text: str) -> str:
    """Escape control characters and undecodable bytes in text from outside."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def html_text(text: str) -> str:
    """Text from outside as HTML or SVG: markup and control characters are escaped."""
    return html.escape(printable(text))


def first_words(words: str) -> str:
    """The first of a class's names: `tench` of `tench, Tinca tinca`; empty where there is none."""
    return next((name for name in map(str.strip, words.split(",")) if name), "")


def with_minus(text: str) -> str:
    """Text for print: a hyphen that is a number's sign becomes a minus sign, which is as wide as a digit."""
    return SIGN.sub("\N{MINUS SIGN}", text)


def percent(share: float) -> str:
    """A share from 0 to 1 in percent, without the unit: every report and terminal shows one decimal."""
    return f"{100 * share:.1f}"


def percent_range(ends: tuple[float, float]) -> str:
    """An interval of shares in percent, without the unit, like `8.5 to 22.1`."""
    return f"{percent(ends[0])} to {percent(ends[1])}"


def recorded(text: str) -> str:
    """Text for records in JSON, with undecodable bytes as escapes; JSON cannot hold them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def counted(count: int, noun: str) -> str:
    """A count with its noun, like `1 shard` and `1,282 shards`."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{'' if count == 1 else plural}"


def html_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table for `_repr_html_`; all texts are escaped."""
    head = "".join(f"<th>{html_text(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html_text(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
