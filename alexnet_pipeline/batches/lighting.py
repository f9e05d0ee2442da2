"""PCA lighting of section 4.1; deviations are in 0..255 units, as in the 2012 source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.manifest import PixelStatistics


def lighting_shift(alphas: NDArray[np.float64], statistics: PixelStatistics) -> NDArray[np.float64]:
    """What lighting adds to every pixel: sum_i alpha_i sigma_i p_i.

    Args:
        alphas: (n, 3), one for each principal component, largest first.
        statistics: deviations and vectors of the training set.

    Returns:
        (n, 3) to be added to R, G, B.
    """
    return np.asarray((alphas * statistics.pca_deviations) @ np.array(statistics.pca_vectors))
