"""What the site is made of: its menu, its figures, and the API reference."""

import re
import runpy

import numpy as np
import pytest

import alexnet_pipeline
from tests.documentation.blocks import DOCS, PAGES, ROOT

MENU = (ROOT / "mkdocs.yml").read_text("utf-8")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def test_every_page_is_in_the_menu() -> None:
    """And each of its entries is a file of docs/ or of the repository."""
    listed = re.findall(r"([\w/]+\.md)$", MENU.partition("nav:")[2].partition("hooks:")[0], re.MULTILINE)
    assert {f"{page}.md" for page in PAGES} <= set(listed)
    assert all((DOCS / name).is_file() or (ROOT / name).is_file() for name in listed)


def test_links_lead_somewhere() -> None:
    """Also to files outside docs/."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", (DOCS / f"{page}.md").read_text("utf-8")):
            assert target.startswith("https://") or (DOCS / target).exists(), f"{page}: {target}"


def test_the_reference_lists_every_public_name() -> None:
    """By which it is imported."""
    listed = re.findall(r"^::: alexnet_pipeline\.(\w+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(alexnet_pipeline.__all__)


@pytest.mark.parametrize("scale", [1.465, 3.0])
def test_figures_are_what_the_weights_give(scale: float) -> None:
    """The committed ones, to a tenth of a pixel."""
    drawn = runpy.run_path(str(ROOT / "tools" / "documentation" / "responses.py"))["figure"](scale)
    kept = (DOCS / "figures" / f"responses-{scale:g}.svg").read_text("utf-8")
    assert _NUMBER.sub("#", drawn) == _NUMBER.sub("#", kept)
    numbers = [np.array(_NUMBER.findall(text), np.float64) for text in (drawn, kept)]
    assert np.abs(numbers[0] - numbers[1]).max() < 0.11
