"""PCA lighting is section 4.1's sum, and a view is its definition."""

import numpy as np

from alexnet_pipeline.batches.lighting import lighting_shift
from alexnet_pipeline.dataset.manifest import PixelStatistics
from tests.batches.oracle import view

STATISTICS = PixelStatistics(
    mean=(120.0, 110.0, 100.0),
    covariance=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    pca_deviations=(50.0, 10.0, 2.0),
    pca_vectors=((0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0)),
)


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
