"""Unpack an image that was compressed with gzip; ILSVRC2010 has one, n02487347_1956.JPEG."""

from __future__ import annotations

import zlib

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.records import Reason

# The magic of RFC 1952, with its only method.
GZIP = b"\x1f\x8b\x08"
# Window of 32 KiB, and a gzip header; zlib manual, inflateInit2.
GZIP_WBITS = 16 + zlib.MAX_WBITS
# Most bytes unpacked, because a gzip can hold a thousand times its size; photographs of 64 million pixels have fewer.
MAX_UNPACKED_BYTES = 64 << 20


def unpack(data: bytes) -> bytes:
    """Unpack a gzip; what follows its first member is ignored, as trailers of images are.

    Raises:
        RejectedImageError: too_large, truncated or corrupt.
    """
    unpacker = zlib.decompressobj(GZIP_WBITS)
    try:
        unpacked = unpacker.decompress(data, MAX_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise RejectedImageError(Reason.CORRUPT, f"gzip: {error}") from error
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise RejectedImageError(Reason.TOO_LARGE, f"gzip of more than {MAX_UNPACKED_BYTES} bytes")
    if not unpacker.eof:
        raise RejectedImageError(Reason.TRUNCATED, f"gzip ends after {len(unpacked)} bytes")
    return unpacked
