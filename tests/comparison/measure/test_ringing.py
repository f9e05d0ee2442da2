"""Values before rounding, local ranges and overshoot against oracles."""

import numpy as np
import pytest

from alexnet_pipeline.comparison.measure.ringing import clipped_share, local_range, overshoot_levels, unrounded
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import Conversion
from tests.comparison.measure.made import METHODS, SHAPES, noise, placed
from tests.pixels import oracle


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_unrounded_values_are_the_oracles(method: str, shape: tuple[int, int]) -> None:
    """What the engine rounds, before it does."""
    placement, image = placed(*shape), noise(*shape)
    rows, columns = placement.rows, placement.columns
    exact = oracle.resample(image, (rows.full, columns.full), method)
    exact = exact[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
    assert unrounded(image.astype(np.float32), placement, find_method(method)) == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("method", ["opencv:linear", "opencv:cubic", "opencv:area", "pillow:bilinear", "pillow:box"])
@pytest.mark.parametrize("shape", SHAPES)
def test_unrounded_values_of_libraries_are_their_bytes(method: str, shape: tuple[int, int]) -> None:
    """Within a level and a half, since libraries round between passes."""
    if method.startswith("pillow"):
        pytest.importorskip("PIL", reason="pillow:* methods need the extra simd")
    image = noise(*shape)
    target, placement = convert(image, Conversion(method=method, size_px=64))
    found = unrounded(image.astype(np.float32), placement, find_method(method))
    assert np.abs(found.clip(0, 255) - target).max() < 1.5


@pytest.mark.parametrize("shape", SHAPES)
def test_local_ranges_are_brute_force(shape: tuple[int, int]) -> None:
    """The least and greatest source value nearer than one output pixel, sample by sample."""
    placement, image = placed(*shape), noise(*shape)
    lows, highs = local_range(image, placement)
    near = []
    for axis in (placement.rows, placement.columns):
        scale = axis.source / axis.full
        centres = (np.arange(axis.start, axis.start + axis.count) + 0.5) * scale - 0.5
        near.append([np.flatnonzero(np.abs(np.arange(axis.source) - c) < max(scale, 1)) for c in centres])
    for i, rows in enumerate(near[0]):
        for j, columns in enumerate(near[1]):
            window = image[np.ix_(rows, columns)]
            assert (lows[i, j] == window.min(axis=(0, 1))).all()
            assert (highs[i, j] == window.max(axis=(0, 1))).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_only_kernels_with_lobes_overshoot(shape: tuple[int, int]) -> None:
    """Weights that are positive within one output pixel stay in its range; Lanczos does not."""
    placement, image = placed(*shape), noise(*shape)
    lows, highs = local_range(image, placement)
    for method in ("nearest", "bilinear", "area", "bilinear-aa"):
        assert overshoot_levels(unrounded(image.astype(np.float32), placement, find_method(method)), lows, highs) == 0
    assert overshoot_levels(unrounded(image.astype(np.float32), placement, find_method("lanczos")), lows, highs) > 0


def test_overshoot_and_clipping_count_what_they_say() -> None:
    """Means and shares of a handful of values."""
    values = np.array([[-1.0, -0.4, 100, 255.4, 260]], np.float32)[..., None]
    assert clipped_share(values) == pytest.approx(0.4)
    lows, highs = np.full_like(values, 0), np.full_like(values, 255)
    assert overshoot_levels(values, lows, highs) == pytest.approx((1 + 0.4 + 0.4 + 5) / 5)
