"""Comparisons made by hand, with numbers that only look like measurements."""

import math

import numpy as np

from alexnet_pipeline.comparison.accuracy import summarise
from alexnet_pipeline.comparison.page.gallery import Exhibit, Gallery
from alexnet_pipeline.comparison.records import (
    Comparison,
    ImageResult,
    MethodResult,
    Metric,
    MetricMean,
    PairedTest,
    Response,
    ShiftCell,
    TrainedCell,
)
from alexnet_pipeline.records import Reject

HOSTILE = "</script><script>document.title='run'</script><b>=HYPERLINK(\"x\")&amp;"
METHODS = ("nearest", "bilinear", "area")
SCALES = (1.465, 2.0)
METRICS = (
    Metric("psnr_db", "PSNR", "dB", "higher", "Defined."),
    Metric("clipped_share", "clipped", "", "lower", "Defined."),
    Metric("jpeg_bytes", "JPEG size", "bytes", "neither", "Defined."),
    Metric("resample_ms", "resample", "ms", "lower", "Defined."),
)
FREQUENCIES = tuple(np.linspace(0, 0.5, 33).tolist())


def response(method, number, scale):
    gains = tuple(math.exp(-(((1 + number) * f) ** 2)) for f in FREQUENCIES)
    return Response(method, scale, FREQUENCIES, gains, -4.0 * number, -3.9 * number, 0.9 - 0.1 * number, 0.99, 0.9, 0.1)


def measured(metric, number, methods):
    mean = {"psnr_db": 30.0 + number, "clipped_share": 0.0, "jpeg_bytes": 2e4 - 1e3 * number}.get(metric, 0.5 + number)
    half = 0.0 if metric == "clipped_share" else abs(mean) / 100
    best = metric == "psnr_db" and number == methods - 1
    return MetricMean(metric, mean, mean - half, mean + half, best, metric == "psnr_db" and number == methods - 2)


def comparison(methods=METHODS, images=4, metrics=METRICS, kind="methods", trained=False, name="class/file.JPEG"):
    spectrum = tuple(np.linspace(60, 10, 16).tolist())
    numbers = tuple(
        MethodResult(
            name=method,
            definition=f"definition of {method}",
            responses=tuple(response(method, number, scale) for scale in SCALES) if kind == "methods" else (),
            measured=tuple(measured(metric.name, number, len(methods)) for metric in metrics),
            spectrum=tuple(power - number * place / 16 for place, power in enumerate(spectrum)),
        )
        for number, method in enumerate(methods)
    )
    rng = np.random.default_rng(0)
    return Comparison(
        format_version=2,
        kind=kind,
        source=f"/data/{name}",
        command=f"alexnet-pipeline compare {name}",
        size_px=256,
        geometry="center-crop",
        quality=95,
        scales=SCALES,
        methods=numbers,
        metrics=metrics,
        tests=tuple(
            PairedTest(methods[0], method, 1.0, 0.5, 1.5, 0.01, metric.name, identical=metric.name == "clipped_share")
            for metric in metrics
            for method in methods[1:]
        ),
        images=tuple(
            ImageResult(
                key=f"key{number}",
                name=name,
                path="/nowhere",
                offset=0,
                size_bytes=1000,
                sha256=f"{number:064x}",
                height_px=375,
                width_px=500 + number % 7,
                scale=0.8 + 0.1 * (number % 20),
                disagreement=float(number),
                window_px=(0, 0),
                values={metric.name: tuple(rng.normal(30, 5, len(methods)).tolist()) for metric in metrics},
            )
            for number in range(images)
        ),
        rejects=(Reject(name, "truncated", name),),
        spectrum_frequencies=tuple((np.arange(16) / 32).tolist()),
        training=training(methods) if trained else None,
        verdict=("First of all, `nearest` aliases.", f"Second, {name}.", "Third."),
        versions={"numpy": "2"},
        decoder="libjpeg",
        machine="x86_64",
    )


def training(methods):
    cells = [
        TrainedCell(train, test, seed, 100, 0.3 + 0.01 * (train != test) + 0.001 * seed, 0.1)
        for train in methods
        for test in methods
        for seed in range(3)
    ]
    shifts = [ShiftCell(train, seed, 100, 0.9 + 0.01 * seed) for train in methods for seed in range(3)]
    return summarise("quarter", 100, 32, 1000, cells, shifts, planned=len(shifts))


def gallery(methods=METHODS, photos=1, side=64, name="class/file.JPEG"):
    rng = np.random.default_rng(0)

    def outputs():
        return tuple((method, rng.integers(0, 256, (side, side, 3), np.uint8)) for method in methods)

    whole = rng.integers(0, 256, (96, 128, 3), np.uint8)
    return Gallery(
        patterns=(Exhibit("Zone plate", "", outputs()),),
        photos=tuple(Exhibit("500 x 375 px", name, outputs(), whole, (0.1, 0.2, 0.25, 0.25)) for _ in range(photos)),
        notes=(f"{name} is left out",),
    )
