"""Orientation is read from every container that has it, and applied once."""

import csv
import re
import struct
import textwrap
import zlib

import cv2
import numpy as np
import pytest

from alexnet_pipeline.pixels.codec import decode
from alexnet_pipeline.pixels.formats.orientation import UPRIGHT, exif_orientation, upright
from alexnet_pipeline.shards.sets import PRESETS
from tests.pixels.handmade import chunk, exif, numbered, png, rows_of, segment, tiff, turned


def webp(image: np.ndarray, tags: bytes) -> bytes:
    """Lossless, extended by an EXIF chunk."""
    plain = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    at = plain.index(b"VP8L")
    size = struct.unpack_from("<I", plain, at + 4)[0]
    picture = plain[at : at + 8 + size + size % 2]
    height, width = image.shape[:2]
    canvas = struct.pack("<I", 8) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + picture
    body += b"ODD " + struct.pack("<I", 3) + b"odd\0"
    body += b"EXIF" + struct.pack("<I", len(tags)) + tags + b"\0" * (len(tags) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(image: np.ndarray, tags: bytes = b"") -> bytes:
    """A JPEG with EXIF, if there are tags."""
    plain = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
    return plain[:2] + segment(0xE1, b"Exif\0\0" + tags) + plain[2:] if tags else plain


def raw_profile(tags: bytes, *, packed: bool, keyword: bytes = b"Raw profile type exif") -> bytes:
    """EXIF in a text chunk, as ImageMagick writes it."""
    digits = "\n".join(textwrap.wrap(tags.hex(), 72))
    text = f"\nexif\n{len(tags):8}\n{digits}\n".encode()
    if packed:
        return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(text))
    return chunk(b"tEXt", keyword + b"\0" + text)


def containers(image: np.ndarray, orientation: int) -> dict[str, bytes]:
    """The image in every lossless format that can hold an orientation."""
    return {
        "png": png(5, 7, rows_of(image), extra=chunk(b"eXIf", exif(orientation))),
        "png, zTXt": png(5, 7, rows_of(image), extra=raw_profile(exif(orientation), packed=True)),
        "png, tEXt": png(5, 7, rows_of(image), extra=raw_profile(b"Exif\0\0" + exif(orientation), packed=False)),
        "webp": webp(image, exif(orientation, "<")),
        "webp with JPEG's prefix": webp(image, b"Exif\0\0" + exif(orientation)),
        "tiff": tiff(image, orientation),
        "tiff, big-endian": tiff(image, orientation, order=">"),
        "BigTIFF": tiff(image, orientation, big=True),
        "BigTIFF, big-endian": tiff(image, orientation, big=True, order=">"),
    }


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_container(orientation) -> None:
    """PNG, WebP, TIFF in both byte orders, BigTIFF, and grey TIFF, against a table walked pixel by pixel."""
    image = numbered(5, 7)
    expected = turned(image, orientation)
    for name, data in containers(image, orientation).items():
        assert np.array_equal(decode(data), expected), name
    grey = tiff(np.ascontiguousarray(image[..., :1]), orientation)
    assert np.array_equal(decode(grey), turned(image[..., [0, 0, 0]], orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_can_be_ignored(orientation) -> None:
    """Then the pixels of every container stay as they are stored."""
    image = numbered(5, 7)
    for name, data in containers(image, orientation).items():
        assert np.array_equal(decode(data, orientation="ignore"), image), name
    stored = decode(jpeg(image), orientation="ignore")
    assert np.array_equal(decode(jpeg(image, exif(orientation)), orientation="ignore"), stored)


def test_only_the_preset_torchvision_ignores_orientation() -> None:
    """Its namesake's loader does not turn images; cuda-convnet2 keeps the default."""
    assert {name: options.orientation for name, options in PRESETS.items()} == {
        "torchvision": "ignore",
        "cuda-convnet2": "apply",
    }


def test_damaged_text_profiles_are_upright() -> None:
    """No hexadecimal digits, no zlib stream, a bomb, another keyword; and eXIf counts before text."""
    image = numbered(5, 7)
    good = raw_profile(exif(6), packed=True)
    bomb = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 9\n" + b"0" * (1 << 24))
    for extra in (
        chunk(b"zTXt", b"Raw profile type exif\0\0nonsense"),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 3\nxyz\n"),
        chunk(b"zTXt", b"Raw profile type exif"),
        chunk(b"zTXt", bomb),
        raw_profile(exif(6), packed=True, keyword=b"Comment"),
        good + chunk(b"eXIf", exif(1)),
    ):
        assert np.array_equal(decode(png(5, 7, rows_of(image), extra=extra)), image)
    assert np.array_equal(decode(png(5, 7, rows_of(image), extra=good)), turned(image, 6))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_may_be_a_long(orientation, order) -> None:
    """In both byte orders, as Pillow reads it; a LONG beyond 8 is none, even if its first or last half is valid."""
    tags = exif(orientation, order, long=True)
    assert exif_orientation(tags) == orientation
    image = numbered(16, 24)
    assert np.array_equal(decode(jpeg(image, tags)), turned(decode(jpeg(image)), orientation))
    assert exif_orientation(exif(orientation << 16, order, long=True)) == UPRIGHT
    assert exif_orientation(exif(orientation + 65536, order, long=True)) == UPRIGHT


def test_the_result_is_contiguous() -> None:
    """Whatever the turn, HWC rows follow each other."""
    for orientation in range(1, 9):
        assert upright(numbered(3, 4), orientation).flags.c_contiguous


def test_damaged_exif_is_upright() -> None:
    """Cut anywhere, with any byte changed to nonsense, of another type: 1 to 8, and no exception."""
    good = exif(6)
    assert exif_orientation(good) == 6
    assert all(exif_orientation(good[:length]) == UPRIGHT for length in range(20))
    for position in range(len(good)):
        for value in (0, 0x80, 0xFF):
            assert 1 <= exif_orientation(good[:position] + bytes([value]) + good[position + 1 :]) <= 8
    assert exif_orientation(exif(6).replace(b"\0\3\0\0\0\1", b"\0\2\0\0\0\1")) == UPRIGHT


def test_only_the_first_exif_segment_counts() -> None:
    """And one behind the comment as well as in front."""
    plain = jpeg(np.kron(numbered(2, 3), np.ones((8, 8, 1), np.uint8)))
    tags = [segment(0xE1, b"Exif\0\0" + exif(orientation)) for orientation in (6, 3)]
    data = plain[:2] + segment(0xFE, b"a comment") + tags[0] + tags[1] + plain[2:]
    assert np.array_equal(decode(data), turned(decode(plain), 6))


# Its orientation stands in XMP, which is not read.
XMP_ONLY = "png/pillow__xmp_tags_orientation_exiftool.png"


def test_real_files_as_their_manifest_says(data_folder) -> None:
    """What OpenCV decodes without turning, turned by the oracle."""
    folder = data_folder / "odd-images"
    checked = 0
    for row in csv.DictReader((folder / "manifest.csv").read_text().splitlines()):
        found = re.search(r"orient=(\d)", row["expected"])
        if not found or row["file"] == XMP_ONLY:
            continue
        data = (folder / row["file"]).read_bytes()
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        plain = cv2.imdecode(np.frombuffer(data, np.uint8), flags)[..., ::-1]
        assert np.array_equal(decode(data), turned(plain, int(found[1]))), row["file"]
        checked += 1
    assert checked >= 6
