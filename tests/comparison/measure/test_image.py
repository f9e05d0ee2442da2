"""An image is measured as the metrics are defined."""

import math

import numpy as np
import pytest

from alexnet_pipeline.comparison.measure.image import disagreement_of, measure
from alexnet_pipeline.comparison.measure.reference import low_pass
from alexnet_pipeline.comparison.measure.spectrum import RINGS
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.records import Conversion, Geometry, RawImage
from tests.comparison.measure.made import cosines, noise


def measured(image: np.ndarray, methods: tuple[str, ...], geometry: Geometry = "center-crop") -> dict:
    """The metrics of an image, from a PNG of it."""
    data = codec.encode_png(np.ascontiguousarray(image))
    raw = RawImage("k", 0, "n", "n/k", "p", 7, len(data), 0)
    conversions = [Conversion(method=name, size_px=64, geometry=geometry, quality=90) for name in methods]
    found = measure(raw, data, conversions)
    return {"result": found.result, "spectra": found.spectra, **found.result.values}


@pytest.mark.parametrize("shape", [(100, 90), (20, 200), (64, 64)])
def test_disagreement_is_brute_force(shape: tuple[int, int]) -> None:
    """The mean deviation and the window of greatest deviation."""
    outputs = [noise(*shape, seed) for seed in range(4)]
    spread = np.std(outputs, axis=0).mean(axis=2)
    height, width = (min(64, side) for side in shape)
    sums = {
        (top, left): spread[top : top + height, left : left + width].sum()
        for top in range(shape[0] - height + 1)
        for left in range(shape[1] - width + 1)
    }
    found, window = disagreement_of(outputs)
    assert found == pytest.approx(spread.mean())
    assert sums[window] == pytest.approx(max(sums.values()))
    assert disagreement_of([outputs[0]] * 3)[0] == 0


@pytest.mark.parametrize("geometry", ["center-crop", "squash", "shorter", "pad"])
def test_an_image_is_measured_as_defined(geometry: Geometry) -> None:
    """Error, JPEG and provenance against codec and converter, for every geometry."""
    image = noise(90, 130)
    found = measured(image, ("lanczos", "nearest"), geometry)
    for number, method in enumerate(("lanczos", "nearest")):
        options = Conversion(method=method, size_px=64, geometry=geometry, quality=90)
        output, placement = convert(image, options)
        top, left = placement.corner_px
        part = np.s_[top : top + placement.rows.count, left : left + placement.columns.count]
        ideal = low_pass(image, placement).clip(0, 255)
        error = math.sqrt(((output[part] - ideal) ** 2).mean())
        assert found["error_levels"][number] == pytest.approx(error, rel=1e-5)
        assert found["psnr_db"][number] == pytest.approx(20 * math.log10(255 / error), rel=1e-5)
        encoded = codec.encode(output, options)
        stored = codec.decode(encoded)
        assert found["jpeg_bytes"][number] == len(encoded)
        lost = math.sqrt(((stored[part] - output[part].astype(float)) ** 2).mean())
        assert found["jpeg_error_levels"][number] == pytest.approx(lost, rel=1e-5)
        both = math.sqrt(((stored[part] - ideal) ** 2).mean())
        assert found["stored_error_levels"][number] == pytest.approx(both, rel=1e-5)
    result = found["result"]
    assert (result.height_px, result.width_px, result.offset) == (90, 130, 7)
    assert result.scale == pytest.approx(90 / (32 * 90 // 65 if geometry == "pad" else 64))
    assert all(len(spectrum) == RINGS for spectrum in found["spectra"])


def test_a_moved_image_changes_as_defined() -> None:
    """Both neighbours resampled, one moved by the dense matrix, compared inside."""
    image = noise(90, 130)
    found = measured(image, ("area", "nearest"))["shift_error_levels"]
    for number, method in enumerate(("area", "nearest")):
        options = Conversion(method=method, size_px=64)
        first, placement = convert(np.ascontiguousarray(image[:, :-1]), options)
        second, _ = convert(np.ascontiguousarray(image[:, 1:]), options)
        step = placement.columns.full / placement.columns.source
        there = np.cos(np.pi * np.arange(64)[:, None] * (2 * np.arange(64) + 1) / 128)
        moved = np.einsum("ij,hjc->hic", cosines(64, np.arange(64) + step, 64) @ there, first)
        margin = 16 + math.ceil(step)
        exact = (moved - second)[:, margin : 64 - margin]
        assert found[number] == pytest.approx(math.sqrt((exact**2).mean()), rel=1e-4)


def test_aliasing_breaks_consistency_and_smooth_images_keep_it() -> None:
    """Stripes above the output's limit come out otherwise after a shift; a slow wave does not."""
    x = np.arange(200)
    fine = np.repeat(np.where(x % 3 == 0, 255, 0)[None, :, None], 150, 0).repeat(3, 2).astype(np.uint8)
    slow = np.rint(128 + 90 * np.cos(2 * np.pi * x / 80))
    slow = np.repeat(slow[None, :, None], 150, 0).repeat(3, 2).astype(np.uint8)
    nearest, calm = measured(fine, ("nearest", "antialias"))["shift_error_levels"]
    assert nearest > 10 * calm
    assert max(measured(slow, ("lanczos", "antialias"))["shift_error_levels"]) < 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (20, 30), (300, 9)])
@pytest.mark.parametrize("geometry", ["center-crop", "pad"])
def test_odd_shapes_have_finite_numbers(shape: tuple[int, int], geometry: Geometry) -> None:
    """Single pixels, strips and enlarged images."""
    found = measured(noise(*shape), ("lanczos", "opencv:linear"), geometry)
    assert all(math.isfinite(value) for values in found["result"].values.values() for value in values)
    assert all(math.isfinite(value) for spectrum in found["spectra"] for value in spectrum)
