"""The rules by which every HTML report is rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from alexnet_pipeline.text import printable


def page_environment(folder: Path) -> Environment:
    """An environment for the templates of a folder and of this one, whose `page.css` all share.

    Markup and control characters in values are escaped.
    """
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """What a template shows of a value; `Markup` is our own."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
