"""Writes the figure for papers as SVG, PDF or PNG, by the suffix of its path."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

from alexnet_pipeline.comparison.page.paper_figure import SIZE_MM, paper_figure
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.files import write_whole

SUFFIXES = (".svg", ".pdf", ".png")
# Of a PNG; what journals ask for line art with grey levels.
PIXELS_PER_INCH = 600.0
# Typst draws an SVG on a page of its size. Without a date, the same figure is the same file.
PAGE = (
    f"#set page(width: {SIZE_MM[0]:g}mm, height: {SIZE_MM[1]:g}mm, margin: 0pt)\n"
    "#set document(date: none)\n"
    f'#image(bytes(sys.inputs.figure), format: "svg", width: {SIZE_MM[0]:g}mm)\n'
)


def check_figure(path: Path) -> None:
    """Make sure that a figure can be written to a path, before the work that it shows.

    Raises:
        RefusedError: its suffix is another, or what draws it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise RefusedError(f"`figure` {path}: found {suffix or 'no suffix'}, expected one of {', '.join(SUFFIXES)}")
    if suffix != ".svg" and importlib.util.find_spec("typst") is None:
        raise RefusedError(
            f"`figure` {path}: {suffix} needs typst: pip install 'alexnet-pipeline[figure]', or write a .svg"
        )


def write_figure(comparison: Comparison, path: Path) -> None:
    """Write the figure of a comparison of methods in the format that `check_figure` accepted.

    Raises:
        PipelineError: it cannot be drawn or written.
    """
    svg, suffix = paper_figure(comparison).encode("utf-8", "backslashreplace"), path.suffix.lower()
    write_whole(path, svg if suffix == ".svg" else _drawn(svg, "pdf" if suffix == ".pdf" else "png"))


def _drawn(svg: bytes, kind: Literal["pdf", "png"]) -> bytes:
    import typst  # noqa: PLC0415 - an extra

    try:
        return bytes(
            typst.compile(PAGE.encode(), format=kind, ppi=PIXELS_PER_INCH, sys_inputs={"figure": svg.decode()})
        )
    except (RuntimeError, ValueError) as error:  # Typst's own errors are RuntimeErrors
        raise PipelineError(f"typst cannot draw the figure: {' '.join(str(error).split())}") from error
