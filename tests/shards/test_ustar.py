"""Our archive writer makes the bytes that Python's tarfile makes, and tarfile calls them plain USTAR."""

import io
import tarfile

import pytest

from alexnet_pipeline.shards import ustar


@pytest.mark.parametrize("sizes", [(0,), (1, 511, 512, 513), (70_000,) * 3, (10_240 - 1536,)])
def test_bytes_are_tarfiles(sizes) -> None:
    """Header, padding and end, to the byte."""
    buffer, ours = io.BytesIO(), b""
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, size in enumerate(sizes):
            entry = tarfile.TarInfo(f"n01440764_{number}.JPEG")
            entry.size, entry.mode, entry.mtime = size, 0o444, 0
            entry.uname = entry.gname = ustar.OWNER
            archive.addfile(entry, io.BytesIO(bytes(size)))
            ours += ustar.member(entry.name, bytes(size))
    assert ours + ustar.end_of_archive(len(ours)) == buffer.getvalue()
