"""Frequency responses against METHODS.md, closed forms and a direct sum."""

import cmath
import math

import cv2
import numpy as np
import pytest

from alexnet_pipeline.comparison.measure.responses import dense_weights, frequency_response, respond, response_of
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.geometry import Axis
from alexnet_pipeline.pixels.kernels import LIBRARY_FILTERS, NAMED, WITHOUT_KERNEL, find_method
from tests.pixels import oracle

OURS = [*WITHOUT_KERNEL, *NAMED]
# METHODS.md, "Comparing methods honestly": s = 1.465, white input, alias in dB and pass band kept in %.
TABLE = {
    "nearest": (0.0, 88),
    "bilinear": (-4.1, 79),
    "opencv:lanczos4": (-1.4, 100),
    "area": (-8.3, 70),
    "bilinear-aa": (-11.7, 64),
    "bicubic": (-10.9, 78),
    "lanczos": (-12.6, 87),
    "antialias": (-15.0, 55),
}


@pytest.mark.parametrize("method", TABLE)
def test_the_published_table(method: str) -> None:
    """Alias energy within 0.2 dB, pass band within 1 %."""
    response = respond(method, 1.465)
    assert response.alias_white_db == pytest.approx(TABLE[method][0], abs=0.2)
    assert 100 * response.passband_white == pytest.approx(TABLE[method][1], abs=1)


@pytest.mark.parametrize("scale", [1.3, 1.465, 1.9, 2.7])
def test_nearest_aliases_most(scale: float) -> None:
    """No other method of ours lets as much through, for white input and for natural."""
    found = {method: respond(method, scale) for method in OURS}
    nearest = found.pop("nearest")
    assert nearest.alias_white_db == pytest.approx(0, abs=1e-6)
    assert nearest.alias_white_db > max(other.alias_white_db for other in found.values())
    assert nearest.alias_natural_db > max(other.alias_natural_db for other in found.values())


def test_area_at_two_is_its_closed_form() -> None:
    """The mean of two pixels answers cos(pi f): bands, half Nyquist and curve can be written down."""
    response = respond("area", 2.0)
    assert response.alias_white_db == pytest.approx(10 * math.log10(0.5 - 1 / math.pi), abs=1e-3)
    assert response.passband_white == pytest.approx(0.5 + 1 / math.pi, abs=1e-4)
    assert response.half_nyquist_gain == pytest.approx(math.cos(math.pi / 8))
    assert response.gains == pytest.approx(np.abs(np.cos(np.pi * np.array(response.frequencies))), abs=1e-6)
    assert response.jitter_px == pytest.approx(0, abs=1e-6)
    low, high = 1 / 500, 1 / 4
    grid = np.linspace(low, high, 200_001)
    natural = np.average(np.cos(np.pi * grid) ** 2, weights=grid**-2)
    assert response.passband_natural == pytest.approx(natural, abs=1e-4)
    grid = np.linspace(1 / 4, 1 / 2, 200_001)
    natural = np.average(np.cos(np.pi * grid) ** 2, weights=grid**-2)
    assert response.alias_natural_db == pytest.approx(10 * math.log10(natural), abs=1e-2)


def test_the_sum_is_the_definition() -> None:
    """H_i(f) term by term, for taps that begin anywhere."""
    axis = Axis(97, 41, 0, 41)
    weights = dense_weights(axis, find_method("lanczos"))
    centres = (np.arange(41) + 0.5) * 97 / 41 - 0.5
    frequencies = np.array([0.0, 0.03, 0.21, 0.5])
    found = frequency_response(weights, centres, frequencies)
    for output in (0, 1, 20, 40):
        for position, frequency in enumerate(frequencies):
            direct = sum(
                weights[output, k] * cmath.exp(-2j * math.pi * frequency * (k - centres[output])) for k in range(97)
            )
            assert found[output, position] == pytest.approx(direct, abs=1e-12)


def test_nearest_jitters_as_a_uniform_error_does() -> None:
    """Positions off by up to half a pixel, evenly: a deviation of 1 / sqrt(12)."""
    assert respond("nearest", 1.465).jitter_px == pytest.approx(1 / math.sqrt(12), abs=0.005)
    assert respond("bilinear", 1.465).jitter_px == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("method", OURS)
@pytest.mark.parametrize("lengths", [(97, 41), (40, 64)])
def test_dense_weights_are_the_definition(method: str, lengths: tuple[int, int]) -> None:
    """Ours against the oracle's matrix, cropped."""
    source, full = lengths
    found = dense_weights(Axis(source, full, 5, 20), find_method(method))
    assert found == pytest.approx(oracle.matrix(source, full, method)[5:25], abs=1e-6)


@pytest.mark.parametrize("name", [name for name in LIBRARY_FILTERS["opencv"] if name != "area+cubic"])
def test_dense_weights_are_what_opencv_does(name: str) -> None:
    """Two matrices give the image that OpenCV gives in floats."""
    image = np.random.default_rng(0).random((97, 80), np.float32)
    rows = dense_weights(Axis(97, 41, 0, 41), find_method(f"opencv:{name}"))
    columns = dense_weights(Axis(80, 33, 0, 33), find_method(f"opencv:{name}"))
    flag = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}.get(name)
    flag = getattr(cv2, "INTER_" + name.upper().replace("-", "_")) if flag is None else flag
    assert rows @ image @ columns.T == pytest.approx(cv2.resize(image, (33, 41), interpolation=flag), abs=1e-5)


@pytest.mark.parametrize("name", LIBRARY_FILTERS["pillow"])
def test_dense_weights_are_what_pillow_does(name: str) -> None:
    """The same for Pillow, whose kernels widen."""
    pytest.importorskip("PIL", reason="pillow:* methods need the extra simd")
    weights = dense_weights(Axis(97, 41, 0, 41), find_method(f"pillow:{name}"))
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-5)
    if name in {"bilinear", "bicubic", "lanczos"}:
        ours = {"bilinear": "bilinear-aa", "bicubic": "bicubic", "lanczos": "lanczos"}[name]
        assert weights == pytest.approx(oracle.matrix(97, 41, ours), abs=1e-4)


def test_other_weights_give_another_response() -> None:
    """The name does not matter, the weights do."""
    axis = Axis(375, 256, 0, 256)
    nearest, lanczos = (dense_weights(axis, find_method(name)) for name in ("nearest", "lanczos"))
    assert response_of(lanczos, "nearest", 1.465).alias_white_db < response_of(nearest, "lanczos", 1.465).alias_white_db


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_scales_that_do_not_shrink_are_refused(scale: float) -> None:
    """Nothing lies above the output's limit there."""
    with pytest.raises(RefusedError, match="does not shrink"):
        respond("lanczos", scale)
