"""Measured pictures in, the comparison with its means, tests, provenance and verdict out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet_pipeline.comparison.inference import measured, paired_tests
from alexnet_pipeline.comparison.measure.picture import MeasuredPicture
from alexnet_pipeline.comparison.records import (
    Comparison,
    Kind,
    Measured,
    MethodNumbers,
    Metric,
    PairedTest,
    PictureNumbers,
    Response,
)
from alexnet_pipeline.comparison.measure.spectrum import ring_frequencies
from alexnet_pipeline.comparison.verdict import verdict_of
from alexnet_pipeline.pixels import codec, libraries
from alexnet_pipeline.records import Reject

FORMAT_VERSION = 1
# Digits that numbers keep in the records; tests are computed before.
DIGITS = 6
# Power that counts as none, in levels squared, so that decibels stay finite.
LEAST_POWER = 1e-6
DECODER = (
    "JPEG by libjpeg-turbo (simplejpeg), strict: warnings are errors; accurate inverse DCT, smooth chroma upsampling, "
    "full size; EXIF orientation applied; greyscale and CMYK to RGB; ICC profiles ignored; other formats by OpenCV"
)


def gather(
    pictures: Sequence[MeasuredPicture],
    *,
    kind: Kind,
    names: Sequence[str],
    definitions: Sequence[str],
    responses: Sequence[tuple[Response, ...]],
    metrics: Sequence[Metric],
    rejects: Sequence[Reject],
    source: str,
    command: str,
    size_px: int,
    geometry: str,
    quality: int,
    scales: tuple[float, ...],
) -> Comparison:
    """Join what was measured; see `records.Comparison` for the words.

    Args:
        pictures: at least one, in the order of their keys, with a value a method for every metric.
        names, definitions, responses: of each method.
        kind, metrics, rejects, source, command, size_px, geometry, quality, scales: as they are to be told.
    """
    tests: list[PairedTest] = []
    entries: list[tuple[Measured, ...]] = []
    for metric in metrics:
        values = np.array([picture.numbers.values[metric.name] for picture in pictures])
        family = paired_tests(metric.name, names, values)
        entries.append(measured(metric.name, metric.better, names, values, family))
        tests += family
    power = np.mean([picture.spectra for picture in pictures], axis=0)
    spectra = 10 * np.log10(np.maximum(power, LEAST_POWER))
    methods = [
        MethodNumbers(
            name=name,
            definition=definitions[number],
            responses=tuple(map(_rounded_response, responses[number])),
            measured=tuple(_rounded_measured(each[number]) for each in entries),
            spectrum=tuple(map(_rounded, spectra[number].tolist())),
        )
        for number, name in enumerate(names)
    ]
    found = Comparison(
        format_version=FORMAT_VERSION,
        kind=kind,
        source=source,
        command=command,
        size_px=size_px,
        geometry=geometry,
        quality=quality,
        scales=scales,
        methods=tuple(methods),
        metrics=tuple(metrics),
        tests=tuple(map(_rounded_test, tests)),
        pictures=tuple(_rounded_picture(picture.numbers) for picture in pictures),
        rejects=tuple(rejects),
        spectrum_frequencies=ring_frequencies(),
        training=None,
        verdict=(),
        versions=_versions(),
        decoder=DECODER,
        machine=_machine(),
    )
    return dataclasses.replace(found, verdict=verdict_of(found))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _rounded_response(response: Response) -> Response:
    return dataclasses.replace(
        response,
        frequencies=tuple(map(_rounded, response.frequencies)),
        gains=tuple(map(_rounded, response.gains)),
        alias_white_db=_rounded(response.alias_white_db),
        alias_natural_db=_rounded(response.alias_natural_db),
        passband_white=_rounded(response.passband_white),
        passband_natural=_rounded(response.passband_natural),
        half_nyquist_gain=_rounded(response.half_nyquist_gain),
        jitter_px=_rounded(response.jitter_px),
    )


def _rounded_measured(entry: Measured) -> Measured:
    return dataclasses.replace(entry, mean=_rounded(entry.mean), low=_rounded(entry.low), high=_rounded(entry.high))


def _rounded_test(test: PairedTest) -> PairedTest:
    return dataclasses.replace(
        test,
        difference=_rounded(test.difference),
        low=_rounded(test.low),
        high=_rounded(test.high),
        p_value=_rounded(test.p_value),
    )


def _rounded_picture(picture: PictureNumbers) -> PictureNumbers:
    return dataclasses.replace(
        picture,
        scale=_rounded(picture.scale),
        disagreement=_rounded(picture.disagreement),
        values={name: tuple(map(_rounded, values)) for name, values in picture.values.items()},
    )


def _versions() -> dict[str, str]:
    ours = {name: importlib.metadata.version(name) for name in ("numba", "numpy", "scipy")}
    return {"python": platform.python_version(), **ours, **codec.versions(), **libraries.versions()}


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
