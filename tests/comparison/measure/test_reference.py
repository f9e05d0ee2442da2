"""The ideal low-pass and the shift against dense matrices of cosines."""

import numpy as np
import pytest

from alexnet_pipeline.comparison.measure.reference import low_pass, shifted
from tests.comparison.measure.made import SHAPES, cosines, noise, placed


def ideal_matrix(source: int, full: int) -> np.ndarray:
    """(full, source): the ideal low-pass of one axis, written out."""
    count = min(source, full)
    there = np.cos(np.pi * np.arange(count)[:, None] * (2 * np.arange(source) + 1) / (2 * source))
    positions = (np.arange(full) + 0.5) * source / full - 0.5
    return cosines(source, positions, count) @ there


@pytest.mark.parametrize("shape", SHAPES)
def test_the_reference_is_its_definition(shape: tuple[int, int]) -> None:
    """Against dense matrices of cosines, cropped; smaller and larger."""
    placement, image = placed(*shape), noise(*shape)
    rows, columns = placement.rows, placement.columns
    exact = np.einsum(
        "ik,klc,jl->ijc", ideal_matrix(rows.source, rows.full), image, ideal_matrix(columns.source, columns.full)
    )
    exact = exact[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
    assert low_pass(image, placement) == pytest.approx(exact, abs=1e-9)


def test_the_reference_keeps_what_fits_and_nothing_else() -> None:
    """A cosine below the output's limit is sampled exactly; one above leaves grey."""
    k = np.arange(128)
    for order, kept in ((40, True), (90, False)):
        wave = 128 + 100 * np.cos(np.pi * order * (2 * k + 1) / 256)
        image = np.repeat(wave[:, None, None], 128, 1).repeat(3, 2)
        found = low_pass(image, placed(128, 128))[:, 5, 0]  # type: ignore[arg-type]
        expected = 128 + kept * 100 * np.cos(np.pi * order * (2 * np.arange(64) + 1) / 128)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("by_px", [0.0, 0.37, 1.0, -2.6])
def test_a_shift_is_interpolation_by_cosines(by_px: float) -> None:
    """Against the dense matrix, in float64 and, nearly, in float32."""
    values = np.random.default_rng(1).random((3, 17, 2)) * 255
    there = np.cos(np.pi * np.arange(17)[:, None] * (2 * np.arange(17) + 1) / 34)
    matrix = cosines(17, np.arange(17) + by_px, 17) @ there
    exact = np.einsum("ij,hjc->hic", matrix, values)
    assert shifted(values, by_px) == pytest.approx(exact, abs=1e-9)
    single = shifted(values.astype(np.float32), by_px)
    assert single.dtype == np.float32
    assert single == pytest.approx(exact, abs=1e-3)
