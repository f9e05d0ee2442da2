"""What OpenCV passes silently is proved whole, or refused, before it is decoded."""

import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels import codec, decoders
from alexnet_pipeline.pixels.codec import decode, decode_sample, encode, versions
from alexnet_pipeline.pixels.formats import strictness
from alexnet_pipeline.pixels.formats.strictness import essential_png
from alexnet_pipeline.pixels.formats.tiff import neutral, read_fields
from alexnet_pipeline.records import Conversion, Reason
from tests.pixels.handmade import chunk, gif, numbered, png, rows_of, tiff


def reason_of(data: bytes, **options) -> str:
    with pytest.raises(RejectedImageError) as caught:
        decode(data, **options)
    return caught.value.reason


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (3, 5), (8, 8), (17, 9)])
def test_interlaced_png(size) -> None:
    """Every pass counts: whole it decodes, a byte short it is truncated."""
    image = numbered(*size)
    rows = rows_of(image, interlaced=True)
    assert (decode(png(*size, rows, interlaced=True)) == image).all()
    assert reason_of(png(*size, rows[:-1], interlaced=True)) == Reason.TRUNCATED


@pytest.mark.parametrize(("colour", "depth", "row_bytes"), [(0, 1, 2), (0, 16, 22), (3, 4, 6), (4, 8, 22)])
def test_rows_of_every_kind(colour, depth, row_bytes) -> None:
    """Eleven pixels wide: bits, 16 bits, palette, grey with alpha; a byte short is truncated."""
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    kind = {"colour": colour, "depth": depth, "extra": palette}
    rows = bytes((1 + row_bytes) * 5)
    assert decode(png(5, 11, rows, **kind)).shape == (5, 11, 3)
    assert reason_of(png(5, 11, rows[:-1], **kind)) == Reason.TRUNCATED


@pytest.mark.parametrize("step", [1, 2, 255, 1024, 4096])
def test_inflating_in_steps_loses_nothing(step, monkeypatch) -> None:
    """Wherever a step ends, also amid a long repeat."""
    monkeypatch.setattr(strictness, "INFLATE_STEP_BYTES", step)
    monkeypatch.setattr(strictness, "INFLATE_INPUT_BYTES", 7)
    for height in (4, 21, 22):
        rows = rows_of(np.full((height, 62, 3), 9, np.uint8))
        assert decode(png(height, 62, rows)).shape == (height, 62, 3)
        assert reason_of(png(height, 62, rows[:-1])) == Reason.TRUNCATED


def test_a_zlib_bomb_costs_little_memory() -> None:
    """A gigabyte in a megabyte, behind a header of 60 megapixels."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    head = struct.pack(">IIBBBBB", 8000, 7500, 8, 2, 0, 0, 0)
    data = png(1, 1, b"")[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    tracemalloc.start()
    try:
        assert reason_of(data) == Reason.TRUNCATED
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_data_beyond_the_picture_is_not_inflated() -> None:
    """Four gigabytes behind the rows of a small picture cost no time."""
    packer = zlib.compressobj(9)
    first = packer.compress(rows_of(numbered(4, 4))) + packer.flush(zlib.Z_FULL_FLUSH)
    more = packer.compress(bytes(16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = png(4, 4, b"")
    at = data.index(b"IDAT") - 4
    started = time.process_time()
    bomb = data[:at] + chunk(b"IDAT", first + more * 256) + chunk(b"IEND", b"")
    strictness.check_size("PNG", bomb, 100)
    assert time.process_time() - started < 1


def test_opencv_must_find_the_size_that_was_proved() -> None:
    """Where two readers of one file disagree, neither is believed."""
    with pytest.raises(RejectedImageError, match="corrupt: PNG: the header says 4x5, decoded 4x4"):
        decoders._by_opencv("PNG", png(4, 4, rows_of(numbered(4, 4))), (4, 5))


def test_the_first_chunk_is_the_header() -> None:
    """Else another chunk could show the cap a small size."""
    decoy = chunk(b"tEXt", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    assert reason_of(png(60000, 60000, b"", before=decoy)) == Reason.CORRUPT


def test_gif_palettes_are_exact() -> None:
    """Of a file written by hand: OpenCV's own encoder dithers. A frame cut short is refused."""
    palette = numbered(1, 128)[0]
    indices = np.random.Generator(np.random.PCG64(1)).integers(0, 128, (19, 23))
    data = gif(indices, palette)
    assert np.array_equal(decode(data), palette[indices])
    for length in range(6, len(data) - 1, 7):
        assert reason_of(data[:length]) in {Reason.TRUNCATED, Reason.CORRUPT}


def test_png_checksums() -> None:
    """A damaged critical chunk is refused, a damaged comment is not; without IEND it is truncated."""
    image = numbered(4, 4)
    data = png(4, 4, rows_of(image), extra=chunk(b"tEXt", b"Comment\0hello"))
    assert (decode(data.replace(b"hello", b"HELLO")) == image).all()
    assert reason_of(data.replace(b"IEND\xae", b"IEND\xaf")) == Reason.CORRUPT
    assert reason_of(data[:-12]) == Reason.TRUNCATED


def test_opencv_gets_critical_chunks_only(capfd) -> None:
    """A broken animation crashes OpenCV 5.0.0's reader, and libpng prints a line for each damaged comment."""
    image = numbered(4, 4)
    animation = chunk(b"acTL", struct.pack(">II", 2, 0))
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 4, 4, 0, 0, 1, 1, 0, 0))
    comment = chunk(b"iCCP", b"name\0\0damaged").replace(b"damaged", b"DAMAGED")
    for extra in (animation, animation + control, control + animation + control, comment):
        assert (decode(png(4, 4, rows_of(image), extra=extra)) == image).all()
    assert essential_png(png(4, 4, rows_of(image), extra=comment)) == png(4, 4, rows_of(image))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("big", [False, True])
def test_tiff_ranges(big) -> None:
    """Strips, tiles and sizes must lie in the file and under the cap."""
    image = numbered(6, 5)
    assert (decode(tiff(image, big=big)) == image).all()
    assert reason_of(tiff(image, big=big, change={279: 1 << 20})) == Reason.TRUNCATED
    assert reason_of(tiff(image, big=big, change={273: 1 << 31})) == Reason.TRUNCATED
    assert reason_of(tiff(image, big=big, change={256: 60000, 257: 60000})) == Reason.TOO_LARGE
    assert reason_of(tiff(image, big=big, change={257: 0})) == Reason.CORRUPT
    tiles = {322: 60000, 323: 60000, 324: 8, 325: 9}
    assert reason_of(tiff(image, big=big, change=tiles)) == Reason.TOO_LARGE
    data = tiff(image, big=big)
    for length in range(8, len(data) - 8):
        assert reason_of(data[:length]) in {Reason.TRUNCATED, Reason.CORRUPT}


@pytest.mark.parametrize("offset", [1 << 20, 1 << 62, (1 << 64) - 1])
def test_tiff_offsets_beyond_reason(offset) -> None:
    """Of the directory and of a field's values, in 64 bits."""
    data = tiff(numbered(4, 4), big=True)
    far = struct.pack("<Q", offset)
    assert reason_of(data[:8] + far + data[16:]) == Reason.TRUNCATED
    entry = data.index(struct.pack("<HHQ", 273, 4, 1))
    assert reason_of(data[:entry] + struct.pack("<HHQ", 273, 16, 3) + far + data[entry + 20 :]) == "truncated"


def test_a_crowded_tiff_directory_is_read_fast() -> None:
    """Thousands of fields that each claim the whole file are passed over."""
    data = tiff(numbered(4, 4))
    filler = bytes(1 << 20)
    at = len(data) + len(filler)
    entries = b"".join(struct.pack("<HHII", 5000 + n, 1, len(filler), 8) for n in range(4000))
    crowded = data[:4] + struct.pack("<I", at) + data[8:] + filler + struct.pack("<H", 4000) + entries
    tracemalloc.start()
    try:
        assert read_fields(crowded) == {}
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_neutral_changes_one_value() -> None:
    """And leaves an upright file untouched."""
    image = numbered(4, 4)
    assert neutral(tiff(image, 6)) == (6, tiff(image, 1))
    assert neutral(tiff(image, 1)) == (1, tiff(image, 1))
    assert neutral(tiff(image, 9))[0] == 1


def test_a_bmp_may_hold_another_format() -> None:
    """Then the detail names it."""
    head = b"BM" + struct.pack("<IIIIiiHHII", 200, 0, 54, 40, 8, 8, 1, 0, 5, 100).ljust(200, b"\0")
    with pytest.raises(RejectedImageError, match="unsupported_format: BMP holding a PNG"):
        decode(head)


def test_films_are_no_images() -> None:
    """Though they share HEIF's container."""
    assert reason_of(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2") == Reason.NOT_AN_IMAGE
    assert reason_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == Reason.UNSUPPORTED_FORMAT


def test_rejections_are_one_line_and_silent(capfd) -> None:
    """No library writes to the terminal for what our own checks or OpenCV's log level can stop."""
    codec.quiet_opencv()
    image = numbered(8, 8)
    broken = [
        tiff(image, change={258: 5}),  # bits per sample
        png(8, 8, rows_of(image)[:-1]),
        b"GIF89a\x04\0\x04\0\0\0\0\x2c\0\0\0\0\x09\0\x09\0\0\2\2\x44\1\0\x3b",
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, 8, 8, 1, 8, 1, 9, 0, 0, 999, 0) + b"\0" * 40,
    ]
    for data in broken:
        with pytest.raises(RejectedImageError) as caught:
            decode(data)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_damaged_raw_samples_are_rejected() -> None:
    """Any flipped bit of the header, any cut; never another exception."""
    image = numbered(4, 4)
    data = encode(image, Conversion(encoding="raw", quality=1, subsampling="420"))
    back = decode_sample(data, "raw")
    assert (back == image).all()
    assert back.flags.writeable
    for position in range(128):
        for bit in range(8):
            damaged = data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]
            with pytest.raises(RejectedImageError):
                decode_sample(damaged, "raw")
    for length in range(len(data)):
        with pytest.raises(RejectedImageError):
            decode_sample(data[:length], "raw")


def test_versions_name_the_codecs() -> None:
    """libjpeg-turbo's own version is read out of simplejpeg's binary."""
    found = versions()
    assert set(found) == {"opencv", "simplejpeg", "libjpeg-turbo"}
    assert found["libjpeg-turbo"][0].isdigit()
