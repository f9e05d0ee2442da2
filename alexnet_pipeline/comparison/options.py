"""The options of `compare`, each declared once: for the comparison, and for the networks of `train=True`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_pipeline.alexnet.recipe import Preset
from alexnet_pipeline.options import MAX_SEED, option, parameters_of
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.records import Conversion, Geometry

DEFAULT_METHODS = ("nearest", "bilinear", "area", "bilinear-aa", "bicubic", "lanczos", "antialias")
# ImageNet's median scale to 256 pixels, a small one and two large ones.
DEFAULT_SCALES = (1.465, 1.3, 2.0, 3.0)
# Parameters without effect where finished shard sets are compared.
RAW_ONLY = frozenset({"methods", "images", "split", "size", "geometry", "quality", "scales", "seed"}) | frozenset(
    parameter.name for parameter in parameters_of(SourceOptions)
)


def _as_in_shard(field_name: str) -> Any:
    """The declaration of an option that `shard` has, too."""
    field = Conversion.__dataclass_fields__[field_name]
    return dataclasses.field(default=field.default, metadata=field.metadata)


@dataclass(frozen=True)
class CompareOptions:
    """What is compared and how images are measured."""

    methods: tuple[str, ...] = option(
        DEFAULT_METHODS,
        "Downsampling methods, at least two; see `methods`.",
        flag="method",
        also=("--methods",),
        metavar="NAME",
        default_text=", ".join(DEFAULT_METHODS),
    )
    shards: tuple[Path, ...] = option(
        (), "Finished data sets to compare key by key, instead of SOURCE.", metavar="FOLDER"
    )
    images: int = option(300, "Number of images to sample.", least=2, metavar="N")
    split: str | None = option(None, "Split of SOURCE to sample from.", default_text="val where there is one")
    size_px: int = _as_in_shard("size_px")
    geometry: Geometry = _as_in_shard("geometry")  # noqa: RUF009 - this is a field
    quality: int = _as_in_shard("quality")
    scales: tuple[float, ...] = option(
        DEFAULT_SCALES,
        "Source pixels per output pixel at which frequency responses are computed; the first is the main one.",
        above=1,
        most=16,
        flag="scale",
        default_text=", ".join(map(str, DEFAULT_SCALES)),
    )
    seed: int = option(0, "Seed for the sample of images.", least=0, most=MAX_SEED)
    workers: int | None = option(None, "Number of worker processes.", least=1, default_text="cores")
    train: bool = option(False, "Also train networks on the shards of each method and test each on those of all.")
    output: Path | None = option(None, "Write the report, one self-contained HTML file.", also=("-o",), metavar="FILE")
    figure: Path | None = option(
        None, "Write a publication-ready figure: .svg, .pdf or .png, by its suffix.", metavar="FILE"
    )

    def conversions(self) -> tuple[Conversion, ...]:
        """How each method converts an image."""
        return tuple(
            Conversion(method=name, size_px=self.size_px, geometry=self.geometry, quality=self.quality)
            for name in self.methods
        )


@dataclass(frozen=True)
class NetworkTraining:
    """How the networks of `train=True` are trained."""

    preset: Preset = option("quarter", "Preset of the networks; see `train`.")
    seeds: int = option(3, "Networks trained per method; their seeds are 0, 1, 2 and so on.", least=1, metavar="N")
    steps: int | None = option(
        None, "Training steps of each network.", least=1, default_text="those of the preset's epochs"
    )
    limit_images: int | None = option(
        None, "Use only the first N images of each split's order.", least=1, metavar="N", default_text="all"
    )
    work_dir: Path | None = option(
        None, "Folder that keeps shards and runs, so that the same call resumes.", metavar="FOLDER"
    )


TRAIN_ONLY = frozenset(parameter.name for parameter in parameters_of(NetworkTraining))


def idle_parameters(*, shards: bool, train: bool) -> frozenset[str]:
    """The parameters without effect where shard sets are compared, or where no networks are trained."""
    return (RAW_ONLY if shards else frozenset()) | (frozenset() if train else TRAIN_ONLY)
