"""Each message of the page is one of the product's."""

import ast
import re
from collections.abc import Iterator

import pytest

from alexnet_pipeline.records import Reason
from tests.documentation.blocks import DOCS, ROOT

PAGE = (DOCS / "troubleshooting.md").read_text("utf-8")
MESSAGES = re.findall(r"^\| `([^`]+)`[^|`]* \|[^|]+\|[^|]+\|$", PAGE, re.MULTILINE)


def _texts() -> Iterator[str]:
    """Every text of the package, with `…` for what is filled in."""
    for path in sorted((ROOT / "alexnet_pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """All of them."""
    return list(_texts())


def test_there_are_messages() -> None:
    """The table's form is what this test reads."""
    assert len(MESSAGES) > 25


@pytest.mark.parametrize("message", MESSAGES)
def test_the_product_says_this(message: str, texts: list[str]) -> None:
    """The words between what is filled in stand in one text, in their order."""
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL)
    assert any(pattern.search(text) for text in texts)


def test_every_reason_is_explained() -> None:
    """And no other."""
    table = PAGE.partition("| reason | meaning |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) == set(Reason)
