"""Dependencies: which ones are installed, what each one enables, and how to install those that are missing."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A package that the pipeline depends on.

    Attributes:
        package: name on PyPI.
        enables: what it is needed for.
        extra: the extra that installs it, `""` for the core.
        version: installed version, None if it is missing.
        get: the command that installs it.
    """

    package: str
    enables: str
    extra: str
    version: str | None
    get: str


# (package, what it enables, extra)
PARTS = (
    ("numpy", "arrays", ""),
    ("numba", "the compiled resampling engine", ""),
    ("simplejpeg", "strict JPEG decoding and encoding (libjpeg-turbo)", ""),
    ("opencv-python-headless", "PNG, GIF, BMP, WebP, TIFF; the opencv:* methods", ""),
    ("scipy", "labels of the ILSVRC2012 devkit; comparisons", ""),
    ("webdataset", "`inspect` of any WebDataset tar", ""),
    ("msgspec", "validated reading of manifests and records", ""),
    ("rich", "progress bars", ""),
    ("jinja2", "reports", ""),
    ("click", "this command line", ""),
    ("torch", "training", "train"),
    ("nvidia-dali-cuda130", "the data loader, on CPU and GPU", "train"),
    ("safetensors", "checkpoints", "train"),
    ("onnx", "exporting ONNX files", "onnx"),
    ("onnxscript", "exporting ONNX files", "onnx"),
    ("pyarrow", "reading Hugging Face's Parquet", "parquet"),
    ("obstore", "object stores: s3://, gs://, az://", "cloud"),
    ("huggingface_hub", "data sets on the Hugging Face Hub: hf://", "cloud"),
    ("ray", "Ray clusters, `shard --engine ray`", "ray"),
    ("protobuf", "reading TFRecord", "tfrecord"),
    ("google-crc32c", "reading TFRecord", "tfrecord"),
    ("typst", "figures as PDF and PNG, `compare --figure`", "figure"),
    ("tensorboard", "event files, `train --tensorboard`", "tensorboard"),
    ("wandb", "Weights & Biases, `train --wandb`", "wandb"),
    ("pillow-simd", "the pillow:* methods, for comparison", "simd"),
)
# What is needed to compile Pillow-SIMD.
SIMD_NEEDS = "; needs a C compiler, and libjpeg and zlib headers"


def doctor() -> list[Part]:
    """List installed and missing dependencies, what each one enables, and how to install it."""
    return [_part(*row) for row in PARTS]


def _part(package: str, enables: str, extra: str) -> Part:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = None
    target = f"alexnet-pipeline[{extra}]" if extra else "alexnet-pipeline"
    needs = SIMD_NEEDS if extra == "simd" else ""
    return Part(package, enables, extra, version, f"pip install '{target}'{needs}")
