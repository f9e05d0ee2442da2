"""The installation in, what is there and what each missing part would give out."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One package that the product uses.

    Attributes:
        package: as on PyPI.
        gives: what it is for.
        extra: the extra that brings it, `""` for the core.
        version: installed version, None where it is missing.
        get: the command that installs it.
    """

    package: str
    gives: str
    extra: str
    version: str | None
    get: str


# (package, what it gives, extra)
PARTS = (
    ("numpy", "arrays", ""),
    ("numba", "the compiled resampling engine", ""),
    ("simplejpeg", "strict JPEG decoding and encoding (libjpeg-turbo)", ""),
    ("opencv-python-headless", "PNG, GIF, BMP, WebP, TIFF; the opencv:* methods", ""),
    ("scipy", "the ILSVRC2012 devkit's labels", ""),
    ("webdataset", "`inspect` reads shards with it", ""),
    ("fsspec", "remote sources", ""),
    ("rich", "progress", ""),
    ("jinja2", "reports", ""),
    ("click", "this command line", ""),
    ("torch", "training", "train"),
    ("nvidia-dali-cuda130", "the loading pipeline, CPU and GPU", "train"),
    ("safetensors", "checkpoints", "train"),
    ("tensorboard", "event files of training, `train --tensorboard`", "tensorboard"),
    ("pillow-simd", "the pillow:* methods, for comparison", "simd"),
)
# What compiling Pillow-SIMD needs.
SIMD_NEEDS = "; needs a C compiler, libjpeg and zlib headers"


def examine() -> list[Part]:
    """Look at every part."""
    return [_part(*row) for row in PARTS]


def _part(package: str, gives: str, extra: str) -> Part:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = None
    target = f"alexnet-pipeline[{extra}]" if extra else "alexnet-pipeline"
    needs = SIMD_NEEDS if extra == "simd" else ""
    return Part(package, gives, extra, version, f"pip install '{target}'{needs}")
