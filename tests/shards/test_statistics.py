"""Sums against NumPy in float64, and merging in any order."""

import numpy as np
import pytest

from alexnet_pipeline.shards.statistics import Sums


def pictures(count: int = 6) -> list[np.ndarray]:
    random = np.random.Generator(np.random.PCG64(0))
    return [random.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(count)]


def summed(images) -> Sums:
    sums = Sums.zero((32, 32, 3), 4)
    for number, image in enumerate(images):
        sums.add(image, number % 4, upsampled=number == 0)
    return sums


def test_statistics_are_numpys() -> None:
    """Mean image, mean, covariance, deviations and vectors."""
    images = np.stack(pictures())
    sums = summed(images)
    found = sums.statistics()
    flat = images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(found.mean, flat.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(flat.T, bias=True), rtol=1e-9)
    np.testing.assert_array_equal(sums.mean_image(), images.mean(0).astype(np.float32))
    vectors = np.array(found.pca_vectors)
    rebuilt = vectors.T @ np.diag(np.square(found.pca_deviations)) @ vectors
    np.testing.assert_allclose(rebuilt, found.covariance, rtol=1e-9)
    assert list(found.pca_deviations) == sorted(found.pca_deviations, reverse=True)


def test_merging_is_exact_in_any_order() -> None:
    """Shards by one, two or many workers give the same bytes; storage loses nothing."""
    images = pictures()
    whole = summed(images)
    parts = [Sums.zero((32, 32, 3), 4) for _ in range(3)]
    for number, image in enumerate(images):
        parts[number % 3].add(image, number % 4, upsampled=number == 0)
    merged = Sums.from_bytes(parts[2].to_bytes())
    merged.merge(parts[0])
    merged.merge(parts[1])
    assert merged.statistics() == whole.statistics()
    assert (merged.counts == [6 * 1024, 6, 1]).all()
    assert (merged.labels == whole.labels).all()


def test_many_white_pictures_do_not_overflow() -> None:
    """More than 16 bits of a sum can hold, counted and merged."""
    sums = Sums.of_shard((4, 4, 3), 1)
    for _ in range(600):
        sums.add(np.full((4, 4, 3), 255, np.uint8), 0, upsampled=False)
    total = Sums.zero((4, 4, 3), 1)
    total.merge(Sums.from_bytes(sums.to_bytes()))
    assert (total.image == 600 * 255).all()
    assert (sums.mean_image() == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 15), (4, 4), (61, 83), (128, 131)])
def test_sums_of_any_size_are_exact(shape) -> None:
    """What is summed many pixels at a time, in sums that are emptied now and then, and what is left over."""
    image = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (*shape, 3), np.uint8)
    sums = Sums.zero((0, 0, 3), 1)
    sums.add(image, 0, upsampled=False)
    flat = image.reshape(-1, 3).astype(np.int64)
    assert (sums.channels == flat.sum(0)).all()
    assert (sums.products == np.triu(flat.T @ flat)).all()


@pytest.mark.parametrize("value", [0, 255])
def test_extremes_do_not_overflow(value) -> None:
    """The widest row of white."""
    sums = Sums.zero((0, 0, 3), 1)
    sums.add(np.full((2, 65_600, 3), value, np.uint8), 0, upsampled=False)
    assert sums.statistics().mean == (value,) * 3
    assert np.abs(sums.statistics().covariance).max() == 0


def test_no_pixels_no_statistics() -> None:
    """An empty set has none."""
    assert Sums.zero((8, 8, 3), 1).statistics() is None


def test_another_shape_is_refused() -> None:
    """Compiled code does not check, so this must happen before."""
    with pytest.raises(ValueError, match=r"\(8, 9, 3\) among images of shape \(8, 8, 3\)"):
        Sums.zero((8, 8, 3), 1).add(np.zeros((8, 9, 3), np.uint8), 0, upsampled=False)
