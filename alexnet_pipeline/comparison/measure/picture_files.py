"""A raw picture's place in, its measurement or the reason for there being none out: what one worker does.

Nothing here calls BLAS, and OpenCV is held to one thread, so that processes do not compete for cores.
"""

from __future__ import annotations

import os

import numpy as np

from alexnet_pipeline.comparison.measure.picture import MeasuredPicture, Settings, measure
from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.records import RawImage, Reason, Reject

# Of the picture that is measured before the first, so that no picture's times hold the loading of code.
WARM_UP_SHAPE = (48, 64, 3)


def measure_file(picture: RawImage, settings: Settings) -> MeasuredPicture | Reject:
    """Measure one picture from the file that holds it.

    Raises:
        PipelineError: the file is no longer what was listed.
    """
    try:
        return measure(picture, _read(picture), settings)
    except RejectedImageError as error:
        return Reject(picture.name, str(error.reason), error.detail)


def warm_up(settings: Settings) -> None:
    """Load the compiled code of every method, by measuring a grey picture."""
    grey = np.full(WARM_UP_SHAPE, 128, np.uint8)
    data = codec.encode(grey, encoding="jpg", quality=90, subsampling="420")
    measure(RawImage("", 0, "", "", "", 0, len(data), 0), data, settings)


def _read(picture: RawImage) -> bytes:
    try:
        descriptor = os.open(picture.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, picture.size_bytes, picture.offset)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RejectedImageError(Reason.UNREADABLE, error.strerror or str(error)) from error
    if len(data) != picture.size_bytes:
        raise PipelineError(f"{picture.path} changed after it was listed; run the same command again")
    return data
