"""The head of a JPEG: sampling that simplejpeg does not know, Adobe's mark, scans, and the end mark."""

import struct
import time

import cv2
import numpy as np
import pytest
import simplejpeg

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels.codec import decode
from alexnet_pipeline.pixels.decoders import MAX_SCANS, cmyk_to_rgb
from alexnet_pipeline.pixels.formats.jpeg import count_scans, read_header
from alexnet_pipeline.records import Reason
from tests.pixels.handmade import grey_jpeg, numbered, segment


def rejection(data: bytes, **options) -> RejectedImageError:
    with pytest.raises(RejectedImageError) as caught:
        decode(data, **options)
    return caught.value


@pytest.mark.parametrize("samplings", [((4, 2), (1, 1), (1, 1)), ((4, 1), (1, 1), (2, 1))])
def test_odd_sampling_is_decoded(samplings) -> None:
    """TurboJPEG refuses it, ImageNet has it."""
    data = grey_jpeg(37, 45, samplings)
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg(data)
    assert (decode(data) == np.full((37, 45, 3), 128)).all()
    assert rejection(data, max_pixels=1000).reason == Reason.TOO_LARGE
    for length in range(3, len(data) - 2):
        assert rejection(data[:length]).reason == Reason.TRUNCATED


ODD = ((3, 1), (1, 1), (1, 1))


@pytest.mark.parametrize("trailer", [bytes(5000), b"\xff\xd8\xff", segment(0xE1, bytes(65000)) * 4])
def test_odd_sampling_may_have_any_trailer(trailer) -> None:
    """The end mark stands behind the scan, however far from the end of the file."""
    assert (decode(grey_jpeg(37, 45, ODD) + trailer) == np.full((37, 45, 3), 128)).all()


def test_only_an_end_mark_behind_the_scan_ends_odd_sampling() -> None:
    """Neither that of a thumbnail in EXIF, nor one in a segment behind the scan, nor that of a further image."""
    thumbnail = segment(0xE1, b"Exif\0\0" + grey_jpeg(16, 16))
    data = grey_jpeg(37, 45, ODD, head=thumbnail)
    assert decode(data).shape == (37, 45, 3)
    for length in range(len(thumbnail), len(data) - 2):
        assert rejection(data[:length]).reason == Reason.TRUNCATED
    assert rejection(data[:-2] + thumbnail).reason == Reason.TRUNCATED
    for another in (grey_jpeg(16, 16), simplejpeg.encode_jpeg(numbered(400, 400))):
        assert rejection(data[:-2] + another).reason == Reason.TRUNCATED


def turned_411(units: int) -> tuple[bytes, np.ndarray]:
    """A JPEG with 4:4:1 sampling, and its luma.

    In one column of 4:1:1 units, of 32x8 pixels each, the blocks follow each other as in one row of 4:4:1 units, of
    8x32 pixels each. So only the frame header has to change.
    """
    data = simplejpeg.encode_jpeg(numbered(8 * units, 32), 90, "RGB", "411")
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == 0x41
    changed = data[: frame + 5] + struct.pack(">HH", 32, 8 * units) + data[frame + 9 : frame + 11] + b"\x14"
    blocks = simplejpeg.decode_jpeg(data, "GRAY").reshape(units, 8, 4, 8)
    return changed + data[frame + 12 :], blocks.transpose(2, 1, 0, 3).reshape(32, 8 * units)


def test_441_is_decoded() -> None:
    """simplejpeg's header reader has no name for it; OpenCV and Pillow read it."""
    data, luma = turned_411(6)
    with pytest.raises(KeyError):
        simplejpeg.decode_jpeg_header(data)
    image = decode(data)
    assert (image == cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]).all()
    assert (simplejpeg.decode_jpeg(data, "GRAY")[..., 0] == luma).all()
    grey = grey_jpeg(37, 45, ((1, 4), (1, 1), (1, 1)))
    assert (decode(grey) == np.full((37, 45, 3), 128)).all()


def test_441_is_decoded_strictly() -> None:
    """Too large, cut anywhere, or with an end mark behind the cut, which OpenCV would take."""
    data, _ = turned_411(6)
    assert rejection(data, max_pixels=32 * 48 - 1).reason == Reason.TOO_LARGE
    for length in range(20, len(data) - 1, 7):
        assert rejection(data[:length]).reason == Reason.TRUNCATED
    scan = data.index(b"\xff\xda") + 14
    for length in range(scan, len(data) - 4, 7):
        assert rejection(data[:length] + data[-2:]).reason == Reason.TRUNCATED


def test_441_of_four_components_is_cmyk() -> None:
    """All inks at mid-grey are darker than grey."""
    data = grey_jpeg(16, 64, ((1, 4), (1, 1), (1, 1), (1, 4)))
    with pytest.raises(KeyError):
        simplejpeg.decode_jpeg_header(data)
    assert (decode(data) == round(127 * 127 / 255)).all()


def test_odd_sampling_is_as_strict_as_it_can_be() -> None:
    """OpenCV would skip junk between segments, with a word on stderr."""
    data = grey_jpeg(37, 45, ((4, 2), (1, 1), (1, 1)))
    for marker in (b"\xff\xc0", b"\xff\xda"):
        at = data.index(marker)
        assert rejection(data[:at] + b"junk" + data[at:]).reason == Reason.CORRUPT


def test_fill_bytes_do_not_hide_the_frame() -> None:
    """The cap must see the frame that libjpeg sees, not one that a shorter walk stumbles on."""
    data = grey_jpeg(37, 45, ((4, 2), (1, 1), (1, 1)))
    frame = data.index(b"\xff\xc0")
    decoy = segment(0xFE, b"x" * (0xC000 + 0x11 - 4 - 17) + data[frame : frame + 19] + b"y" * 20)
    hidden = data[:frame] + b"\xff" + data[frame:]
    assert decode(hidden).shape == (37, 45, 3)
    assert (read_header(hidden + decoy).height, read_header(hidden + decoy).width) == (37, 45)
    bare = data[:frame] + b"\xff\x01" + data[frame:]  # TEM has no length
    assert (read_header(bare).height, read_header(bare).width) == (37, 45)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_by_its_mark(adobe) -> None:
    """Adobe's APP14 means inverted; its name elsewhere means nothing."""
    inks = np.kron(np.dstack([numbered(4, 4), numbered(4, 4)[..., :1]]), np.ones((8, 8, 1), np.uint8))
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(inks), 100, "CMYK", "444")
    at = data.index(b"\xff\xee")
    without = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    assert read_header(data).adobe
    chosen = data if adobe else without[:2] + segment(0xFE, b"Made with Adobe Photoshop") + without[2:]
    stored = simplejpeg.decode_jpeg(chosen, "CMYK").astype(float)
    light = stored if adobe else 255 - stored
    assert (decode(chosen) == np.floor(light[..., :3] * light[..., 3:] / 255 + 0.5)).all()


def test_cmyk_formula_is_rounded_exactly() -> None:
    """For every pair of ink and black."""
    ink, black = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    inks = np.stack([ink, ink, ink, black], 2)
    light = 255 - inks.astype(float)
    expected = np.floor(light[..., :3] * light[..., 3:] / 255 + 0.5)
    assert (cmyk_to_rgb(inks, inverted=False) == expected).all()


def test_scans_of_their_own_are_counted() -> None:
    """Baseline files can be scan bombs too; three scans of three components are none."""
    assert decode(grey_jpeg(64, 64, one_by_one=1)).shape == (64, 64, 3)
    assert count_scans(grey_jpeg(64, 64), read_header(grey_jpeg(64, 64))) == 1
    bomb = grey_jpeg(512, 512, one_by_one=2000)
    assert count_scans(bomb, read_header(bomb)) == 6000
    started = time.process_time()
    assert rejection(bomb).reason == Reason.TOO_COMPLEX
    assert time.process_time() - started < 0.5


def test_a_bomb_behind_junk_is_counted() -> None:
    """Where the segments stop making sense, many scans are assumed."""
    bomb = grey_jpeg(64, 64, one_by_one=2000)
    frame = bomb.index(b"\xff\xc0")
    assert rejection(bomb[:frame] + b"junk" + bomb[frame:]).reason == Reason.TOO_COMPLEX


def test_thumbnails_and_trailers_are_no_scans() -> None:
    """Neither scan headers in EXIF nor chance bytes behind the end make a file complex."""
    header = b"\xff\xda\x00\x0c\x03"
    head = segment(0xE1, b"Exif\0\0" + header * (MAX_SCANS + 1))
    assert decode(grey_jpeg(16, 16, head=head)).shape == (16, 16, 3)
    progressive = cv2.imencode(".jpg", numbered(16, 16), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode(progressive[:2] + head + progressive[2:]).shape == (16, 16, 3)
    assert decode(progressive + b"\xff\xda" * (MAX_SCANS + 1)).shape == (16, 16, 3)
    assert decode(grey_jpeg(16, 16) + header * (MAX_SCANS + 1)).shape == (16, 16, 3)


def test_variants_are_named() -> None:
    """12 bits are unsupported; an unknown marker is damage."""
    data = grey_jpeg(16, 16)
    frame = data.index(b"\xff\xc0")
    deep = rejection(data[: frame + 1] + b"\xc1" + data[frame + 2 : frame + 4] + b"\x0c" + data[frame + 5 :])
    assert deep.reason == Reason.UNSUPPORTED_FORMAT
    assert "JPEG" in deep.detail
    assert "12" in deep.detail
    assert rejection(data[:frame] + b"\xff\x02\0\2" + data[frame:]).reason == Reason.CORRUPT
    many = cv2.imencode(".jpg", numbered(16, 16), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = many.rindex(b"\xff\xda")
    assert rejection(many[:last] + b"\xff\x02" + many[last:]).reason == Reason.CORRUPT
    flat = data[: frame + 5] + b"\0\0" + data[frame + 7 :]
    assert rejection(flat).reason == Reason.CORRUPT


def test_any_head_can_be_read() -> None:
    """Cut anywhere and damaged anywhere."""
    data = grey_jpeg(16, 16, head=segment(0xEE, b"Adobe\0") + segment(0xE1, b"Exif\0\0"))
    for length in range(len(data)):
        read_header(data[:length])
        read_header(data[:length] + b"\xff" + data[length + 1 :])
