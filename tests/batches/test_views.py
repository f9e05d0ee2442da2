"""What is drawn for an epoch is uniform, repeatable, and decided by seed and epoch alone."""

import dataclasses

import numpy as np
import pytest

from alexnet_pipeline.batches.views import centre_views, lighting_shift, ten_crops, training_views
from alexnet_pipeline.dataset.manifest import PixelStatistics
from tests.batches.oracle import view

# Drawn by the first release.
ORDER = [0, 1, 4, 3, 2]
CORNERS = [[0, 31], [28, 6], [17, 17], [16, 18], [7, 4]]
FLIPS = [0, 1, 0, 0, 1]
ALPHAS = [-0.01148760049649169, -0.026351115373779627, -0.027656021211186557]
STATISTICS = PixelStatistics(
    mean=(120.0, 110.0, 100.0),
    covariance=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    pca_deviations=(50.0, 10.0, 2.0),
    pca_vectors=((0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0)),
)


def test_views_are_uniform_and_alphas_normal() -> None:
    """33 x 33 positions, half of them mirrored, alphas of deviation .1."""
    views = training_views(200_000, 256, 224, 0.1, seed=0, epoch=1)
    counts = np.zeros((33, 33))
    np.add.at(counts, tuple(views.corner.T), 1)
    expected = 200_000 / 33**2
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - 1088) < 5 * np.sqrt(2 * 1088)
    assert abs(views.flip.mean() - 0.5) < 5 * 0.5 / np.sqrt(200_000)
    assert views.alphas.std() == pytest.approx(0.1, rel=0.01)
    assert abs(views.alphas.mean()) < 0.001
    assert (np.sort(views.order) == np.arange(200_000)).all()


def test_epochs_and_seeds_differ_and_repeat() -> None:
    """Every part of a view."""
    first, again = (training_views(50, 64, 56, 0.1, 1, 2) for _ in range(2))
    assert all((getattr(first, f.name) == getattr(again, f.name)).all() for f in dataclasses.fields(first))
    assert (first.order != training_views(50, 64, 56, 0.1, 1, 3).order).any()
    assert (first.order != training_views(50, 64, 56, 0.1, 2, 2).order).any()


def test_what_is_drawn_is_frozen() -> None:
    """A run that is resumed years later sees the same images."""
    views = training_views(5, 256, 224, 0.1, seed=7, epoch=3)
    assert views.order.tolist() == ORDER
    assert views.corner.tolist() == CORNERS
    assert views.flip.tolist() == FLIPS
    np.testing.assert_allclose(views.alphas[0], ALPHAS, rtol=1e-12)


def test_crops_and_flips_can_be_left_out_singly() -> None:
    """The centre, or no image mirrored; the rest is drawn as with them."""
    full = training_views(50, 64, 56, 0.1, 1, 2)
    centred = training_views(50, 64, 56, 0.1, 1, 2, crops=False)
    unflipped = training_views(50, 64, 56, 0.1, 1, 2, flips=False)
    assert (centred.corner == 4).all()
    assert (centred.flip == full.flip).all()
    assert not unflipped.flip.any()
    assert (unflipped.corner == full.corner).all()
    assert (unflipped.alphas == full.alphas).all()


def test_without_lighting_nothing_is_added() -> None:
    """And the rest is drawn as with it."""
    unlit, lit = (training_views(50, 64, 56, lighting, 1, 2) for lighting in (0.0, 0.1))
    assert not unlit.alphas.any()
    assert (unlit.corner == lit.corner).all()
    assert (unlit.flip == lit.flip).all()


def test_the_centre_is_the_centre() -> None:
    """In order, upright, moved to the right where asked."""
    views = centre_views(4, 256, 224, shift_px=2)
    assert views.order.tolist() == [0, 1, 2, 3]
    assert (views.corner == [16, 18]).all()
    assert not views.flip.any()
    assert not views.alphas.any()


def test_ten_crops_are_the_papers() -> None:
    """Four corners and the centre, then their mirror images."""
    five = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    assert ten_crops(256, 224) == tuple((*corner, flip) for flip in (0, 1) for corner in five)


def test_lighting_is_the_papers_sum() -> None:
    """Term by term."""
    alphas = np.array([[0.1, 0.0, 0.0], [0.2, -0.1, 0.5]])
    expected = [[3.0, 4.0, 0.0], [0.2 * 50 * 0.6 + 0.1 * 10 * 0.8, 0.2 * 50 * 0.8 - 0.1 * 10 * 0.6, 0.5 * 2.0]]
    np.testing.assert_allclose(lighting_shift(alphas, STATISTICS), expected, rtol=1e-12)


def test_a_view_is_cropped_flipped_lit_and_centred() -> None:
    """The mean image is neither moved nor mirrored with the crop."""
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    mean = np.arange(12, dtype=np.float64).reshape(2, 2, 3)
    shift = np.array([1.0, 2.0, 3.0])
    seen = view(image, (1, 2), 2, flip=True, shift=shift, mean=mean)
    for y in range(2):
        for x in range(2):
            np.testing.assert_array_equal(seen[:, y, x], image[1 + y, 2 + 1 - x] + shift - mean[y, x])
