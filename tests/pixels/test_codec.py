"""Strict decoding: whole pictures come out right, all others by a named reason and nothing else."""

import csv
import gzip
import io
import signal
import struct
import time
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg

from alexnet_pipeline.errors import InterruptedRunError, RejectedImageError
from alexnet_pipeline.pixels.codec import decode, decode_remarked, decode_sample, encode
from alexnet_pipeline.pixels.decoders import cmyk_to_rgb
from alexnet_pipeline.pixels.formats import gzipped
from alexnet_pipeline.records import Conversion, Reason


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth, so that JPEG keeps it, and without any symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 200], 2).astype(np.uint8)


def jpeg(image: np.ndarray) -> bytes:
    return encode(image, Conversion(encoding="jpg", quality=95, subsampling="444"))


def by_opencv(image: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


def with_exif(data: bytes, orientation: int, order: str = ">") -> bytes:
    """The JPEG with an orientation tag."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    tiff = mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def reason_of(data: bytes, **options) -> str:
    with pytest.raises(RejectedImageError) as caught:
        decode(data, **options)
    return caught.value.reason


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_formats_come_back_exactly(suffix) -> None:
    """As RGB, in rows and columns as they were."""
    assert (decode(by_opencv(picture(), suffix)) == picture()).all()


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_lossy_formats_come_back_nearly(suffix) -> None:
    """With the channels in order."""
    assert np.abs(decode(by_opencv(picture(), suffix)).astype(int) - picture()).mean() < 12


def test_sixteen_bit_grey_and_alpha_become_rgb() -> None:
    """Whatever the PNG holds, HWC uint8 with three channels comes out."""
    deep = picture().astype(np.uint16) * 257
    assert (decode(cv2.imencode(".png", deep[..., ::-1])[1].tobytes()) == picture()).all()
    grey = picture()[..., 0]
    assert (decode(cv2.imencode(".png", grey)[1].tobytes()) == grey[..., None]).all()
    alpha = np.dstack([picture()[..., ::-1], np.full((48, 64), 9, np.uint8)])
    assert (decode(cv2.imencode(".png", alpha)[1].tobytes()) == picture()).all()
    grey_jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(grey[..., None]), 95, "GRAY", "Gray")
    assert decode(grey_jpeg).shape == (48, 64, 3)


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation, order) -> None:
    """Against the picture turned by hand."""
    plain = decode(jpeg(picture()))
    by_hand = {
        1: plain,
        2: np.fliplr(plain),
        3: np.rot90(plain, 2),
        4: np.flipud(plain),
        5: plain.transpose(1, 0, 2),
        6: np.rot90(plain, -1),
        7: np.rot90(plain, 2).transpose(1, 0, 2),
        8: np.rot90(plain),
    }
    turned = decode(with_exif(jpeg(picture()), orientation, order))
    assert turned.flags.c_contiguous
    assert (turned == by_hand[orientation]).all()


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_senseless_orientation_is_upright(orientation) -> None:
    """As is damaged EXIF of any length."""
    data = with_exif(jpeg(picture()), orientation)
    assert decode(data).shape == (48, 64, 3)
    for cut in range(12, 40):
        body = data[12:cut]
        segment = b"\xff\xe1" + struct.pack(">H", len(body) + 8) + b"Exif\0\0" + body
        assert decode(data[:2] + segment + jpeg(picture())[2:]).shape == (48, 64, 3)


def test_cmyk_by_formula() -> None:
    """(255 - C)(255 - K)/255, with Adobe's inversion and without."""
    inks = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (9, 9, 4), np.uint8)
    light = 255 - inks.astype(float)
    expected = np.floor(light[..., :3] * light[..., 3:] / 255 + 0.5)
    assert np.abs(cmyk_to_rgb(inks, inverted=False) - expected).max() <= 1
    assert (cmyk_to_rgb(255 - inks, inverted=True) == cmyk_to_rgb(inks, inverted=False)).all()


def test_strangers_have_names() -> None:
    """Empty, no image at all, an image of a format that is not read."""
    assert reason_of(b"") == Reason.EMPTY
    assert reason_of(b"Lorem ipsum dolor") == Reason.NOT_AN_IMAGE
    assert reason_of(b"\x89") == Reason.NOT_AN_IMAGE
    assert reason_of(b"<?xml version='1.0'?><svg xmlns=''/>") == Reason.UNSUPPORTED_FORMAT
    assert reason_of(b"P6\n1 1\n255\nabc") == Reason.UNSUPPORTED_FORMAT
    assert reason_of(b"%!PS-Adobe") == Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif"])
def test_every_cut_is_noticed(suffix) -> None:
    """A file that ends early is rejected, wherever it ends, but for bytes that carry no pixels."""
    data = by_opencv(picture(), suffix)
    rejected = 0
    for length in range(1, len(data) - 16, max(1, len(data) // 150)):
        try:
            decode(data[:length])
        except RejectedImageError:
            rejected += 1
        else:
            pytest.fail(f"{suffix} cut to {length} of {len(data)} bytes was taken")
    assert rejected > 20


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif"])
def test_flipped_bits_never_raise_anything_else(suffix) -> None:
    """A picture or a named reason, for any damage."""
    data = by_opencv(picture(), suffix)
    random = np.random.Generator(np.random.PCG64(3))
    for _ in range(400):
        damaged = bytearray(data)
        for position in random.integers(0, len(data), random.integers(1, 6)):
            damaged[position] ^= 1 << int(random.integers(8))
        try:
            assert decode(bytes(damaged)).shape[2] == 3
        except RejectedImageError as error:
            assert error.reason in set(Reason)


def test_png_bits_are_all_covered() -> None:
    """Each flipped bit of a PNG's critical chunks is found: CRCs are checked, which OpenCV does not tell."""
    data = by_opencv(picture(), ".png")
    for position in range(8, len(data), 37):
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises(RejectedImageError):
            decode(bytes(damaged))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif"])
def test_gzip_is_unpacked(suffix) -> None:
    """Whatever the image in it; its own remarks follow, and bytes behind the gzip are ignored."""
    data = by_opencv(picture(), suffix)
    image = decode_remarked(gzip.compress(data) + b"trailer")
    assert image.remark == "gzip-compressed"
    assert (image.pixels == decode(data)).all()
    flawed = jpeg(picture()).replace(b"JFIF\0\1", b"JFIF\0\3")
    assert decode_remarked(gzip.compress(flawed)).remark == "gzip-compressed; unknown JFIF version 3.01"
    turned = decode(gzip.compress(with_exif(jpeg(picture()), 6)), orientation="ignore")
    assert (turned == decode(jpeg(picture()))).all()


def test_damaged_gzips_are_rejected() -> None:
    """Cut anywhere, with a false checksum, with damaged data, or holding a damaged image, no image or nothing."""
    data = gzip.compress(jpeg(picture()))
    for length in range(3, len(data)):
        assert reason_of(data[:length]) == Reason.TRUNCATED
    assert reason_of(data[:-8] + bytes(4) + data[-4:]) == Reason.CORRUPT
    assert reason_of(data[:10] + b"\xff" * 20 + data[30:]) == Reason.CORRUPT
    assert reason_of(gzip.compress(jpeg(picture())[:-300])) == Reason.TRUNCATED
    assert reason_of(gzip.compress(b"")) == Reason.EMPTY
    assert reason_of(gzip.compress(b"Lorem ipsum dolor")) == Reason.NOT_AN_IMAGE
    assert reason_of(gzip.compress(b"%!PS-Adobe")) == Reason.UNSUPPORTED_FORMAT
    assert reason_of(data, max_pixels=100) == Reason.TOO_LARGE


def test_a_gzip_in_a_gzip_is_no_image() -> None:
    """Only one is unpacked, so that a bomb cannot hide in a bomb; the detail says where the bytes were."""
    with pytest.raises(RejectedImageError, match="not_an_image: in a gzip: begins with 1f 8b 08"):
        decode(gzip.compress(gzip.compress(jpeg(picture()))))


def test_a_gzip_bomb_is_too_large(monkeypatch) -> None:
    """Unpacking stops one byte beyond the cap; a file of just that size is taken."""
    data = by_opencv(picture(), ".bmp")
    bomb = gzip.compress(bytes(100 << 20), 1)
    monkeypatch.setattr(gzipped, "MAX_UNPACKED_BYTES", len(data))
    assert decode(gzip.compress(data)).shape == (48, 64, 3)
    assert reason_of(gzip.compress(data + b"\0")) == Reason.TOO_LARGE
    tracemalloc.start()
    try:
        assert reason_of(bomb) == Reason.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


DECODERS = {".jpg": (simplejpeg, "decode_jpeg"), ".png": (cv2, "imdecode"), ".tiff": (cv2, "cvtColor")}


def failing(monkeypatch, suffix: str, error: BaseException) -> bytes:
    """An image whose decoder raises an error."""
    data = by_opencv(picture(), suffix)

    def fail(*given: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(*DECODERS[suffix], fail)
    return data


@pytest.mark.parametrize("suffix", DECODERS)
@pytest.mark.parametrize("kind", [KeyError, RuntimeError, OSError, SystemError, RecursionError, UnicodeError])
def test_whatever_a_decoder_raises_costs_one_image(monkeypatch, suffix, kind) -> None:
    """The rejection names the format and the exception, in one line."""
    data = failing(monkeypatch, suffix, kind("a line\nand another"))
    name = {".jpg": "JPEG", ".png": "PNG", ".tiff": "TIFF"}[suffix]
    with pytest.raises(RejectedImageError, match=f"^corrupt: {name}: .*a line.*and another") as caught:
        decode(data)
    assert "\n" not in str(caught.value)
    assert kind.__name__ in caught.value.detail or kind is UnicodeError  # a ValueError, as libjpeg's errors are


def opencv_error(code: int) -> cv2.error:
    """As OpenCV raises it: with a code, and a text that names it."""
    error = cv2.error("OpenCV: failed")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("suffix", "error"),
    [
        (".jpg", MemoryError("Unable to allocate 103. MiB")),
        (".jpg", ValueError("Insufficient memory (case 4)")),
        (".jpg", ValueError("tjDecompress2(): Memory allocation failure")),
        (".png", MemoryError()),
        (".png", opencv_error(-4)),
        (".png", cv2.error("OpenCV: (-4:Insufficient memory) Failed to allocate")),
        (".tiff", cv2.error("std::bad_alloc")),
    ],
)
def test_lack_of_memory_is_no_fault_of_the_image(monkeypatch, suffix, error) -> None:
    """It passes as MemoryError, in whichever words a decoder has for it."""
    with pytest.raises(MemoryError):
        decode(failing(monkeypatch, suffix, error))


def test_other_errors_of_opencv_are_rejections(monkeypatch) -> None:
    """Of the image, whatever their code."""
    with pytest.raises(RejectedImageError, match="corrupt: PNG: OpenCV: failed"):
        decode(failing(monkeypatch, ".png", opencv_error(-215)))


@pytest.mark.parametrize("interruption", [InterruptedRunError(signal.SIGTERM, "Interrupted."), KeyboardInterrupt()])
def test_interruptions_pass(monkeypatch, interruption) -> None:
    """A signal's error, raised while a decoder runs, ends the run and is not blamed on the image."""
    with pytest.raises(type(interruption)):
        decode(failing(monkeypatch, ".jpg", interruption))


def png_of(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def test_bombs_are_refused_by_their_header() -> None:
    """Before memory is taken: a PNG, a JPEG, a GIF and a BMP of a billion pixels."""
    small = jpeg(picture())
    frame = small.index(b"\xff\xc0")
    huge_jpeg = small[: frame + 5] + struct.pack(">HH", 60000, 60000) + small[frame + 9 :]
    gif = by_opencv(picture(), ".gif")
    huge_gif = gif[:6] + struct.pack("<HH", 60000, 60000) + gif[10:]
    bmp = by_opencv(picture(), ".bmp")
    huge_bmp = bmp[:18] + struct.pack("<ii", 60000, 60000) + bmp[26:]
    started = time.process_time()
    for bomb in (png_of(60000, 60000), huge_jpeg, huge_gif, huge_bmp):
        assert reason_of(bomb) == Reason.TOO_LARGE
    assert time.process_time() - started < 5
    assert reason_of(jpeg(picture()), max_pixels=100) == Reason.TOO_LARGE
    assert reason_of(png_of(200, 200, b"\0" * 500)) == Reason.TRUNCATED


def test_a_scan_bomb_is_too_complex() -> None:
    """Thousands of scans in a few kilobytes; the same picture with ten is taken."""
    data = cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode(data).shape == (48, 64, 3)
    last = data.rindex(b"\xff\xda")
    assert reason_of(data[:-2] + data[last:-2] * 6000 + data[-2:]) == Reason.TOO_COMPLEX


@pytest.mark.parametrize("shape", [(256, 256, 3), (1, 7, 3)])
def test_raw_is_numpys_own(shape) -> None:
    """Bit-equal to np.save, and read back."""
    image = np.random.Generator(np.random.PCG64(0)).integers(0, 256, shape, np.uint8)
    buffer = io.BytesIO()
    np.save(buffer, image)
    data = encode(image, Conversion(encoding="raw", quality=1, subsampling="420"))
    assert data == buffer.getvalue()
    assert (decode_sample(data, "raw") == image).all()


def test_samples_have_no_flaws() -> None:
    """What is only remarked on in an image from elsewhere is damage in a sample of ours."""
    data = jpeg(picture())
    assert (decode_sample(data, "jpg") == decode(data)).all()
    for flawed in (data[:-2] + bytes(50) + data[-2:], gzip.compress(data)):
        assert (decode(flawed) == decode(data)).all()
        with pytest.raises(RejectedImageError, match="corrupt: not as it was encoded: "):
            decode_sample(flawed, "jpg")


def test_encoding_is_exact_or_as_asked() -> None:
    """PNG loses nothing; JPEG obeys quality and subsampling; each time the same bytes."""
    png = encode(picture(), Conversion(encoding="png", quality=1, subsampling="420"))
    assert (decode(png) == picture()).all()
    assert png == encode(picture(), Conversion(encoding="png", quality=1, subsampling="420"))
    assert (
        simplejpeg.decode_jpeg_header(encode(picture(), Conversion(encoding="jpg", quality=90, subsampling="420")))[3]
        == "420"
    )
    assert simplejpeg.decode_jpeg_header(jpeg(picture()))[3] == "444"
    sizes = [len(encode(picture(), Conversion(encoding="jpg", quality=q, subsampling="420"))) for q in (50, 90, 100)]
    assert sizes == sorted(sizes)


# Files that a decoder which does not check would take, and strict decoding names: libjpeg-turbo warns of a
# missing end and of a refinement scan before its first.
STRICTER = {
    "jpeg/jpegdec__partial_progressive.jpg": Reason.TRUNCATED,
    "jpeg/jpegdec__progressive-missing-dc.jpg": Reason.CORRUPT,
}


def test_odd_files_as_their_manifest_says(data_folder, capfd) -> None:
    """145 odd and broken files out of image libraries' own tests."""
    folder = data_folder / "odd-images"
    wrong = []
    for row in csv.DictReader((folder / "manifest.csv").read_text().splitlines()):
        expected = row["expected"].split("|")
        try:
            decode((folder / row["file"]).read_bytes())
            got = "decode"
        except RejectedImageError as error:
            got = f"reject:{error.reason}"
        fits = any(e == got or (e.startswith("decode") and got == "decode") for e in expected)
        if not fits and got != f"reject:{STRICTER.get(row['file'])}":
            wrong.append((row["file"], row["expected"], got))
    assert not wrong


def test_real_photographs_decode_as_others_do(data_folder) -> None:
    """Bit for bit what OpenCV makes of them."""
    paths = sorted((data_folder / "imagenet-sample").glob("*/*"))
    assert len(paths) > 300
    for path in paths[::5]:
        data = path.read_bytes()
        theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert (decode(data) == theirs).all(), path
