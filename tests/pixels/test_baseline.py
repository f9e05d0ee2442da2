"""Our decoder of plain JPEGs: libjpeg's pixels to the bit, or nothing."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numba
import numpy as np
import pytest
import simplejpeg

from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.baseline.dct import inverse_dct
from alexnet_pipeline.pixels.baseline.decode import decode_baseline
from alexnet_pipeline.pixels.convert import convert, needed
from alexnet_pipeline.pixels.geometry import Region
from alexnet_pipeline.pixels.jpeg_head import segments
from alexnet_pipeline.records import MethodOptions
from tests.pixels.handmade import exif, grey_jpeg, segment

PACKAGE = Path(__file__).parents[2] / "alexnet_pipeline"
SUBSAMPLINGS = ("444", "422", "420", "Gray")


def random(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def pictures(height: int, width: int) -> dict[str, np.ndarray]:
    """Smooth, flat, wild, and with the largest steps there are."""
    y, x = np.mgrid[0:height, 0:width]
    return {
        "smooth": np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 200], 2).astype(np.uint8),
        "flat": np.full((height, width, 3), (200, 30, 90), np.uint8),
        "noise": random().integers(0, 256, (height, width, 3), np.uint8),
        "checker": np.repeat(((x + y) % 2 * 255)[..., None], 3, 2).astype(np.uint8),
        "colours": random(1).integers(0, 2, (height, width, 3), np.uint8) * 255,
    }


def encoded(image: np.ndarray, quality: int, subsampling: str) -> bytes:
    if subsampling == "Gray":
        return simplejpeg.encode_jpeg(np.ascontiguousarray(image[..., :1]), quality, "GRAY", "Gray")
    return simplejpeg.encode_jpeg(image, quality, "RGB", subsampling)


def by_libjpeg(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, "RGB", strict=True)


def ours(data: bytes, region: Region) -> np.ndarray | None:
    return decode_baseline(data, segments(data), region)


def whole(data: bytes) -> np.ndarray | None:
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    return ours(data, Region(0, height, 0, width))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [1, 30, 90, 100])
def test_pixels_are_libjpegs(quality, subsampling) -> None:
    """Whatever the picture, however coarse its quantisation."""
    for name, image in pictures(70, 93).items():
        data = encoded(image, quality, subsampling)
        assert np.array_equal(whole(data), by_libjpeg(data)), name


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_every_size_up_to_some_blocks(subsampling) -> None:
    """Edges, half chroma samples, single rows and columns."""
    for height, width in itertools.product((1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33), repeat=2):
        data = encoded(pictures(height, width)["noise"], 80, subsampling)
        if subsampling in ("420", "422") and width <= 4:  # libjpeg widens these otherwise
            assert whole(data) is None
            continue
        assert np.array_equal(whole(data), by_libjpeg(data)), (height, width)


def test_tables_made_for_a_picture() -> None:
    """Optimised Huffman codes, whose words are other than the standard's and up to 16 bits long."""
    for name, image in pictures(200, 300).items():
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes()
        assert np.array_equal(whole(data), by_libjpeg(data)), name


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_a_region_is_the_same_part(subsampling) -> None:
    """Wherever it begins and ends."""
    data = encoded(pictures(83, 119)["noise"], 90, subsampling)
    expected, generator = by_libjpeg(data), random(2)
    for _ in range(200):
        top, bottom = np.sort(generator.choice(84, 2, replace=False)).tolist()
        left, right = np.sort(generator.choice(120, 2, replace=False)).tolist()
        found = ours(data, Region(top, bottom, left, right))
        assert found is not None
        assert found.shape == expected.shape
        assert np.array_equal(found[top:bottom, left:right], expected[top:bottom, left:right])


@pytest.mark.parametrize("region", [(0, 21, 0, 30), (0, 20, 0, 31), (-1, 20, 0, 30), (5, 5, 0, 30), (9, 5, 0, 30)])
def test_a_region_outside_the_picture_is_refused(region) -> None:
    assert ours(encoded(pictures(20, 30)["flat"], 90, "420"), Region(*region)) is None


def by_opencv(*options: int) -> bytes:
    return cv2.imencode(".jpg", pictures(60, 60)["noise"], options)[1].tobytes()


OTHERS = {
    "progressive": by_opencv(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": by_opencv(cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "4:4:0": by_opencv(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440),
    "4:1:1": by_opencv(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411),
    "CMYK": simplejpeg.encode_jpeg(random().integers(0, 256, (20, 20, 4), np.uint8), 90, "CMYK", "444"),
    "RGB": grey_jpeg(16, 16, head=segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")),
    "a scan for each component": grey_jpeg(16, 16, one_by_one=1),
    "no image": b"\xff\xd8\xff\xd9",
    "nothing": b"",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_are_left_to_libjpeg(name) -> None:
    assert ours(OTHERS[name], Region(0, 16, 0, 16)) is None


def test_a_file_cut_anywhere_is_not_taken() -> None:
    data = encoded(pictures(40, 40)["noise"], 90, "420")
    for length in range(len(data)):
        assert ours(data[:length], Region(0, 40, 0, 40)) is None


@pytest.mark.parametrize("extra", [b"\0", b"\xff\0", b"\xff\xd0", b"\x12\x34\x56"])
def test_bytes_between_the_last_block_and_the_end_mark_are_not_taken(extra) -> None:
    """libjpeg warns of them."""
    data = encoded(pictures(40, 40)["noise"], 90, "420")
    assert ours(data[:-2] + extra + data[-2:], Region(0, 40, 0, 40)) is None


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """Some bytes changed, or a piece taken out, anywhere."""
    changed = bytearray(data)
    for _ in range(int(generator.integers(1, 4))):
        at = int(generator.integers(2, len(changed)))
        kind = generator.integers(3)
        if kind == 0:
            changed[at] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            changed[at] = int(generator.choice([0, 1, 0x7F, 0xFE, 0xFF, int(generator.integers(256))]))
        else:
            del changed[at : at + int(generator.integers(1, 5))]
    return bytes(changed)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_of_damaged_files_it_takes_only_what_libjpeg_takes(subsampling) -> None:
    """And then with the same pixels: rejects stay the same, whichever decoder looks first."""
    generator, taken = random(3), 0
    originals = [encoded(image, 60, subsampling) for image in pictures(24, 40).values()]
    for number in range(1500):
        data = damaged(originals[number % len(originals)], generator)
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            height, width = 24, 40
        found = ours(data, Region(0, height, 0, width))
        if found is not None:
            taken += 1
            assert np.array_equal(found, by_libjpeg(data))
    assert taken > 100  # damage to a header's comments, to tables and to values that still make a picture


@pytest.mark.parametrize("levels", [3, 40, 200])
def test_blocks_are_the_dct_of_the_definition(levels) -> None:
    """Against T.81, A.3.3, in float64: at most one level off."""
    u, x = np.mgrid[0:8, 0:8]
    basis = np.cos((2 * x + 1) * u * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    generator = random(levels)
    for _ in range(300):
        block = generator.integers(-levels, levels + 1, (8, 8)) * (generator.random((8, 8)) < generator.random())
        found = np.empty(64, np.uint8)
        _write_block(block.astype(np.int16).ravel(), found)
        exact = np.clip(basis.T @ block @ basis + 128, 0, 255)
        assert np.abs(found.reshape(8, 8) - exact).max() <= 1


@numba.njit
def _write_block(block: np.ndarray, samples: np.ndarray) -> None:
    inverse_dct(block, 0, samples, 0, 8)


def test_real_photographs(data_folder) -> None:
    """Nearly all are taken, and all of these to the bit."""
    paths = sorted((data_folder / "imagenet-sample").glob("*/*.JPEG"))
    taken = 0
    for path in paths:
        data = path.read_bytes()
        found = whole(data)
        if found is not None:
            taken += 1
            assert np.array_equal(found, by_libjpeg(data)), path.name
    assert taken > 0.95 * len(paths)


@pytest.mark.parametrize("method", ["lanczos", "antialias", "nearest", "bilinear", "area", "pillow:lanczos"])
@pytest.mark.parametrize("geometry", ["center-crop", "squash", "shorter", "pad"])
def test_what_is_not_needed_does_not_matter(method, geometry) -> None:
    """Other pixels outside the needed part, the same target."""
    if method.startswith("pillow"):
        pytest.importorskip("PIL")
    options = MethodOptions(method=method, geometry=geometry, size_px=32)
    for height, width in ((50, 90), (90, 50), (20, 61), (300, 45)):
        image = random(height).integers(0, 256, (height, width, 3), np.uint8)
        top, bottom, left, right = needed(height, width, [options])
        other = 255 - image
        other[top:bottom, left:right] = image[top:bottom, left:right]
        assert np.array_equal(convert(image, options)[0], convert(other, options)[0])


def test_several_methods_need_what_each_needs() -> None:
    options = [MethodOptions(method=method, size_px=32) for method in ("nearest", "lanczos")]
    nearest, lanczos = needed(100, 200, options[:1]), needed(100, 200, options[1:])
    assert lanczos.left < nearest.left
    assert needed(100, 200, options) == lanczos


def test_a_turned_picture_is_decoded_whole() -> None:
    """Its needed part is of the upright picture, not of the stored one."""
    stored = encoded(pictures(40, 90)["noise"], 90, "420")
    turned = stored[:2] + segment(0xE1, b"Exif\0\0" + exif(6)) + stored[2:]
    upright = codec.decode(turned)
    assert upright.shape == (90, 40, 3)
    assert np.array_equal(codec.decode(turned, needed=lambda _height, _width: Region(0, 10, 0, 10)), upright)


def test_compiled_code_of_other_sources_is_not_used(tmp_path) -> None:
    """numba would look at the changed file only, and not at those whose functions call into it."""

    def folder(change: str) -> str:
        copy = tmp_path / change / "alexnet_pipeline"
        for path in PACKAGE.rglob("*.py"):
            target = copy / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        with (copy / "pixels" / "kernels.py").open("a") as handle:
            handle.write(f"# {change}: compiled\n")
        program = "import numba; from alexnet_pipeline.pixels import resample; print(numba.config.CACHE_DIR)"
        environment = {**os.environ, "PYTHONPATH": str(copy.parent), "NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=copy.parent,
        ).stdout

    assert folder("one") == folder("one") != folder("two")
