"""Where samples lie between the DCT and the colours: the last two rows of MCUs, which stay in the nearest caches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.pixels.baseline.header import Frame
from alexnet_pipeline.pixels.compiled import compiled

# Rows of MCUs that are held: colours look at a row of chroma above and one below.
HELD = 2
# Bytes around each row of samples that may be read and written.
PADDING = 16


class Planes(NamedTuple):
    """Samples of all components; row y of a component lies in place y modulo its rows that are held.

    Attributes:
        samples: flat uint8.
        starts: (3,) where each component's first sample lies.
        strides: (3,) bytes from row to row.
    """

    samples: NDArray[np.uint8]
    starts: NDArray[np.int64]
    strides: NDArray[np.int64]


@compiled
def empty_planes(frame: Frame) -> Planes:
    """Room for a picture's samples."""
    starts, strides = np.zeros(3, np.int64), np.zeros(3, np.int64)
    mcu_columns = -(-frame.width // (8 * frame.across))
    size = PADDING
    for component in range(frame.components):
        across, down = (frame.across, frame.down) if component == 0 else (1, 1)
        strides[component] = 8 * mcu_columns * across + PADDING
        starts[component] = size
        size += HELD * 8 * down * strides[component]
    return Planes(np.empty(size, np.uint8), starts, strides)
