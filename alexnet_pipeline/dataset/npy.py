"""Read `.npy` files that somebody else may have written."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_npy(data: bytes) -> NDArray[Any]:
    """Read the array of a `.npy` file, (any shape), without trusting what it says of its size.

    Raises:
        ValueError: it is not such a file, or its size is not what its header says.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
        if dtype.hasobject or len(data) - stream.tell() != math.prod(shape) * dtype.itemsize:
            raise ValueError("its size is not that of its array")
        array = np.frombuffer(data, dtype, offset=stream.tell())
        return array.reshape(shape, order="F" if fortran else "C")
    except (SyntaxError, RecursionError, TypeError, OverflowError) as error:
        raise ValueError(f"its header cannot be read ({type(error).__name__})") from error
