"""The spectrum of known signals."""

import numpy as np
import pytest

from alexnet_pipeline.comparison.measure.spectrum import RINGS, radial_power, ring_frequencies


def test_white_noise_has_its_variance_in_every_ring() -> None:
    """The density's scale is right, and a wave shows at its own frequency."""
    random = np.random.default_rng(2)
    power = np.mean([radial_power(random.normal(100, 20, (256, 256))) for _ in range(16)], axis=0)
    assert power[4:] == pytest.approx(400, rel=0.2)
    wave = 128 + 50 * np.cos(2 * np.pi * 0.2 * np.arange(256))
    power = radial_power(np.repeat(wave[None], 256, 0))
    assert abs(ring_frequencies()[int(np.argmax(power))] - 0.2) < 1 / (2 * RINGS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (8, 8), (64, 20)])
def test_small_planes_have_a_whole_spectrum(shape: tuple[int, int]) -> None:
    """Every ring has a finite number."""
    power = radial_power(np.random.default_rng(0).random(shape))
    assert power.shape == (RINGS,)
    assert np.isfinite(power).all()
