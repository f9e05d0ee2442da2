"""Tell a lack of memory, which is no fault of the image, from the errors that decoders raise for damage."""

from __future__ import annotations

import cv2

# Phrases of libjpeg, OpenCV, TurboJPEG and C++.
MEMORY_WORDS = ("insufficient memory", "memory allocation failure", "bad_alloc")


def raise_if_out_of_memory(error: Exception) -> None:
    """Do nothing for an error that an image caused.

    Raises:
        MemoryError: the decoder lacked memory.
    """
    text = " ".join(str(error).split())
    if getattr(error, "code", None) == cv2.Error.StsNoMem or any(words in text.lower() for words in MEMORY_WORDS):
        raise MemoryError(text) from error
