"""Joins measured images to a comparison: means, paired tests, provenance and verdict."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pipeline.comparison.inference import metric_means, paired_tests
from alexnet_pipeline.comparison.measure.image import MeasuredImage
from alexnet_pipeline.comparison.measure.spectrum import ring_frequencies
from alexnet_pipeline.comparison.records import Comparison, Kind, MethodResult, Metric
from alexnet_pipeline.comparison.verdict import verdict_of
from alexnet_pipeline.cores import core_count
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pixels import codec, libraries
from alexnet_pipeline.records import Conversion, Reject

FORMAT_VERSION = 2
# Significant digits of the numbers in the records; tests are computed before rounding.
DIGITS = 6
# Power that counts as none, in levels squared, so that decibels stay finite.
LEAST_POWER = 1e-6
DECODER = (
    "JPEG by libjpeg-turbo (simplejpeg), strict: warnings are errors; accurate inverse DCT, smooth chroma upsampling, "
    "full size; EXIF orientation applied; greyscale and CMYK to RGB; ICC profiles ignored; other formats by OpenCV"
)


def gather(
    outcomes: Sequence[MeasuredImage | Reject],
    methods: Sequence[MethodResult],
    metrics: Sequence[Metric],
    *,
    kind: Kind,
    conversion: Conversion,
    rejects: Sequence[Reject],
    source: str,
    command: str,
    scales: tuple[float, ...] = (),
) -> Comparison:
    """Compute what follows from the measured images; see `Comparison` for what is not explained here.

    Args:
        outcomes: of measuring, in the order of the images' keys, with a value per method for every metric.
        methods: without means and spectra, which are computed here.
        conversion: gives size, geometry and quality.
        rejects: inputs that were rejected before.

    Raises:
        PipelineError: no image could be read.
    """
    images = [outcome for outcome in outcomes if isinstance(outcome, MeasuredImage)]
    if not images:
        raise PipelineError(f"none of the {len(outcomes):,} images of {source} could be read; nothing to compare")
    names = [method.name for method in methods]
    values = [np.array([image.result.values[metric.name] for image in images]) for metric in metrics]
    families = [
        () if metric.shared else paired_tests(metric.name, names, table)
        for metric, table in zip(metrics, values, strict=True)
    ]
    means = [
        metric_means(metric.name, metric.better, names, table, family)
        for metric, table, family in zip(metrics, values, families, strict=True)
    ]
    power = np.mean([image.spectra for image in images], axis=0)
    spectra = 10 * np.log10(np.maximum(power, LEAST_POWER))
    versions = {name: importlib.metadata.version(name) for name in ("numba", "numpy", "scipy")}
    comparison = Comparison(
        format_version=FORMAT_VERSION,
        kind=kind,
        source=source,
        command=command,
        size_px=conversion.size_px,
        geometry=conversion.geometry,
        quality=conversion.quality,
        scales=scales,
        methods=tuple(
            dataclasses.replace(
                method,
                responses=tuple(
                    dataclasses.replace(_rounded(response), scale=response.scale) for response in method.responses
                ),
                measured=tuple(_rounded(mean[number]) for mean in means),
                spectrum=_rounded(tuple(spectra[number].tolist())),
            )
            for number, method in enumerate(methods)
        ),
        metrics=tuple(metrics),
        tests=_rounded(tuple(test for family in families for test in family)),
        images=tuple(_rounded(image.result) for image in images),
        rejects=(*rejects, *(outcome for outcome in outcomes if isinstance(outcome, Reject))),
        spectrum_frequencies=ring_frequencies(),
        training=None,
        verdict=(),
        versions={"python": platform.python_version(), **versions, **codec.versions(), **libraries.versions()},
        decoder=DECODER,
        machine=_machine(),
    )
    return dataclasses.replace(comparison, verdict=verdict_of(comparison))


def _rounded(value: Any) -> Any:
    """The same with every float in it rounded to `DIGITS`."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, tuple):
        return tuple(map(_rounded, value))
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{field.name: _rounded(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    return value


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.*)", info.read_text("utf-8") if info.exists() else "", re.MULTILINE)
    return f"{named[1].strip() if named else platform.machine()}, {core_count()} cores"
