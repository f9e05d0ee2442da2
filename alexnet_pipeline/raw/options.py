"""The options that say how to read a source; a light module, because `--help` imports it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alexnet_pipeline.options import option

LayoutName = Literal[
    "class-folders",
    "wnid-tars",
    "flat",
    "ilsvrc2012",
    "ilsvrc2010",
    "kaggle",
    "tiny-imagenet",
    "parquet",
    "hf-files",
    "webdataset",
    "tfrecord",
]
Allowance = Literal[
    "empty-classes", "broken-classes", "different-classes", "odd-classes", "missing-files", "output-inside-source"
]


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source whose layout or labels it does not tell by itself."""

    layout: LayoutName | None = option(
        None, "Layout of SOURCE, where several are possible; see `layouts`.", default_text="recognised"
    )
    labels: Path | None = option(
        None, "Table of (file, class) for images in a flat folder: csv, tsv, txt or json.", metavar="FILE"
    )
    classes: Path | None = option(
        None,
        "Classes in label order: one name per line, or a finished data set; a source may lack some of them.",
        metavar="FILE",
    )
    columns: str | None = option(
        None, "Columns of Parquet files, as image=NAME,label=NAME.", default_text="image, label and the like"
    )
    allow: tuple[Allowance, ...] = option((), "Go on in spite of this; the refusal names it.", default_text="none")
