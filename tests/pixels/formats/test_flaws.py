"""Flaws that leave a JPEG's pixels alone are remarked on, and never hide damage."""

import itertools
import time

import cv2
import numpy as np
import pytest
import simplejpeg

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels import decoders
from alexnet_pipeline.pixels.codec import decode, decode_remarked
from alexnet_pipeline.pixels.formats import flaws
from alexnet_pipeline.records import Reason
from tests.pixels.handmade import exif, grey_jpeg, numbered, segment

END = b"\xff\xd9"
SCAN = b"\xff\xda"


def jpeg(*flags: int, seed: int = 16, quality: int = 90) -> bytes:
    """A small smooth JPEG, as OpenCV encodes it."""
    image = cv2.resize(numbered(seed, 16), (120, 88), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *flags])[1].tobytes()


def version(data: bytes, number: bytes = b"\0\0") -> bytes:
    """With another JFIF version."""
    at = data.index(b"JFIF\0") + 5
    return data[:at] + number + data[at + 2 :]


def transform(data: bytes, code: int = 7) -> bytes:
    """With an Adobe segment in place of JFIF's."""
    return data[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([code])) + data[20:]


def profile(data: bytes) -> bytes:
    """With a piece of an ICC profile that is number 5 of 2."""
    return data[:2] + segment(0xE2, b"ICC_PROFILE\0\x05\x02" + b"x" * 9) + data[2:]


def extraneous(data: bytes, junk: bytes = bytes(range(1, 200))) -> bytes:
    """With bytes between the scan and the end mark."""
    at = data.rindex(END)
    return data[:at] + junk + data[at:]


FLAWS = {
    "unknown JFIF version 0.00": version,
    "unknown Adobe transform 7": transform,
    "damaged ICC profile": profile,
    "199 bytes before the end mark": extraneous,
}


def truncated(data: bytes) -> bytes:
    """Without its last quarter."""
    return data[: len(data) * 3 // 4]


def ended_early(data: bytes) -> bytes:
    """With a scan that lacks its last quarter, before the end mark."""
    at = data.rindex(END)
    return data[: at * 3 // 4] + data[at:]


def unrestarted(data: bytes) -> bytes:
    """With a restart marker that is the wrong one."""
    at = data.rindex(b"\xff\xd3")
    return data[:at] + b"\xff\xd5" + data[at + 2 :]


def unframed(data: bytes) -> bytes:
    """With bytes between the frame header and the next segment, which may be the frame's remains."""
    at = data.index(SCAN)
    return data[:at] + b"junk" + data[at:]


DAMAGES = (truncated, ended_early, unrestarted, unframed)


def plainly(data: bytes) -> np.ndarray:
    """As libjpeg decodes it, whatever it warns of; OpenCV calls it directly."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[..., ::-1]


@pytest.mark.parametrize("restarts", [0, 3])
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("remark", FLAWS)
def test_each_flaw_is_remarked_on(remark, progressive, restarts) -> None:
    """A strict decoder refuses the file; the pixels are those of lenient decoders, and the remark names the flaw."""
    data = FLAWS[remark](jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, restarts))
    with pytest.raises(ValueError, match=r"JFIF|Adobe|ICC|extraneous"):
        simplejpeg.decode_jpeg(data, strict=True)
    image = decode_remarked(data)
    assert image.remark == remark
    assert (image.pixels == plainly(data)).all()
    assert (decode(data) == image.pixels).all()


def test_an_image_without_flaws_is_decoded_once(monkeypatch) -> None:
    """And nobody looks for flaws: the usual image must not cost more for the sake of the odd one."""
    decoded, strictly = [], simplejpeg.decode_jpeg
    monkeypatch.setattr(
        simplejpeg, "decode_jpeg", lambda *given, **options: decoded.append(1) or strictly(*given, **options)
    )
    monkeypatch.setattr(decoders, "mend", None)
    assert decode_remarked(jpeg()).remark == ""
    assert decoded == [1]


@pytest.mark.parametrize("count", [2, 3])
def test_several_flaws_are_joined(count) -> None:
    """In the order in which libjpeg comes upon them, whatever their combination."""
    for remarks in itertools.combinations(FLAWS, count):
        if {version, transform} <= {FLAWS[remark] for remark in remarks}:
            continue  # beside JFIF, the transform is not read
        data = jpeg()
        for remark in remarks:
            data = FLAWS[remark](data)
        image = decode_remarked(data)
        assert sorted(image.remark.split("; ")) == sorted(remarks)
        assert image.remark.endswith(remarks[-1]) or FLAWS[remarks[-1]] is not extraneous
        assert (image.pixels == plainly(data)).all()


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_flaw_hides_damage(damage, progressive) -> None:
    """One flaw or two, made in any order with the damage."""
    whole = jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, 3)
    steps = (*FLAWS.values(), damage)
    for chosen in (*itertools.permutations(steps, 2), *itertools.permutations(steps, 3)):
        if damage not in chosen or {version, transform} <= set(chosen):
            continue
        data = whole
        for step in chosen:
            data = step(data) if step is not extraneous or END in data else data
        with pytest.raises(RejectedImageError) as caught:
            decode(data)
        assert caught.value.reason in {Reason.TRUNCATED, Reason.CORRUPT}


@pytest.mark.parametrize("code", [1, 3, 255])
def test_four_components_of_an_unknown_transform_are_ycck(code) -> None:
    """As libjpeg assumes; three would be YCbCr."""
    inks = np.ascontiguousarray(np.kron(numbered(4, 4)[..., [0, 1, 2, 0]], np.ones((8, 8, 1), np.uint8)))
    data = simplejpeg.encode_jpeg(inks, 95, "CMYK", "444")
    at = data.index(b"Adobe") + 11
    assert data[at] == 2
    odd = data[:at] + bytes([code]) + data[at + 1 :]
    image = decode_remarked(odd)
    assert image.remark == f"unknown Adobe transform {code}"
    assert (image.pixels == decode(data)).all()
    assert (plainly(odd) == plainly(data)).all()


def test_orientation_survives_mending() -> None:
    """EXIF is read from the mended file."""
    data = jpeg()
    tagged = data[:20] + segment(0xE1, b"Exif\0\0" + exif(6)) + data[20:]
    assert (decode(profile(version(extraneous(tagged)))) == np.rot90(decode(data), -1)).all()


@pytest.mark.parametrize("junk", [bytes(50), b"\xff\0" * 50, b"\1" * 5000, END[1:] * 20, b"\xff\xff" + bytes(50)])
def test_bytes_before_the_end_mark_are_counted(junk) -> None:
    """Zeros, stuffed bytes and others, and behind images that end in every way; those that libjpeg reads ahead, too."""
    for seed in range(8, 40):
        data = extraneous(jpeg(seed=seed), junk)
        image = decode_remarked(data)
        assert image.remark == f"{len(junk)} bytes before the end mark"
        assert (image.pixels == simplejpeg.decode_jpeg(data, "RGB", strict=False)).all()


def test_few_bytes_before_the_end_mark() -> None:
    """libjpeg notices them or not; then, and only then, there is a remark."""
    for count in range(1, 20):
        data = extraneous(jpeg(), bytes(count))
        remark = decode_remarked(data).remark
        try:
            simplejpeg.decode_jpeg(data, strict=True)
        except ValueError:
            assert remark == f"{count} bytes before the end mark"
        else:
            assert remark == ""


def test_other_end_marks_do_not_mislead() -> None:
    """In a thumbnail, in a comment between scans, and in a trailer."""
    data = extraneous(jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    last = data.rindex(SCAN)
    head, comment = segment(0xE1, b"Exif\0\0" + jpeg()), segment(0xFE, END * 40)
    marked = data[:2] + head + data[2:last] + comment + data[last:] + jpeg()
    image = decode_remarked(marked)
    assert image.remark == "199 bytes before the end mark"
    assert (image.pixels == decode(data)).all()


def test_most_shortened_scans_are_damage() -> None:
    """Where damage leaves data behind the last block, libjpeg says the same as for extraneous bytes.

    The last byte that the scan takes gives most of them away: it is not filled with 1 bits.
    """
    taken = rejected = 0
    for seed in range(8, 158):
        data = jpeg(seed=seed, quality=50)
        at = (data.index(SCAN) + data.rindex(END)) // 2
        try:
            remark = decode_remarked(data[:at] + data[at - 32 : at] + data[at:]).remark
        except RejectedImageError as error:
            rejected += "extraneous" in error.detail
        else:
            taken += "before the end mark" in remark
    assert rejected > 75
    assert rejected > 2 * taken


@pytest.mark.parametrize(("last", "whole"), [(b"\xff\0", True), (b"\xfe", False), (b"\xdf", False), (b"\x80", False)])
def test_each_bit_behind_a_scan_must_be_1(last, whole) -> None:
    """Behind five blocks of five bits, 01 and 011, so that only the first bit of the last byte is used, which is 1."""
    data = grey_jpeg(8, 40, ((1, 1),))
    for kind, lengths, symbols in ((0x00, b"\0\2", b"\1\0"), (0x10, b"\0\0\4", b"\1\2\3\0")):
        table = segment(0xC4, bytes([kind]) + lengths.ljust(16, b"\0") + symbols)
        data = data.replace(segment(0xC4, bytes([kind, 1]) + bytes(16)), table)
    data = extraneous(data[:-4] + b"\x5a\xd6\xb5" + last + END, bytes(50))
    if whole:
        assert decode_remarked(data).remark == "50 bytes before the end mark"
    else:
        with pytest.raises(RejectedImageError, match="extraneous"):
            decode(data)


def test_a_scan_without_a_visible_end_proves_nothing(monkeypatch) -> None:
    """A decoder that never lacks data, as that of arithmetic coding, cannot tell where a scan ends."""
    data = extraneous(jpeg())
    monkeypatch.setattr(flaws, "_has_all_data", lambda start: True)
    assert flaws.mend(data, "Corrupt JPEG data: 190 extraneous bytes before marker 0xd9") is None


def test_extraneous_bytes_elsewhere_are_damage() -> None:
    """Between scans, before a restart marker, and before the first scan."""
    progressive = jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    restarted = jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 3)
    for data, marker in ((progressive, SCAN), (progressive, b"\xff\xc4"), (restarted, b"\xff\xd3"), (restarted, SCAN)):
        at = data.rindex(marker)
        for flawed in (data[:at] + bytes(40) + data[at:], extraneous(data[:at] + bytes(40) + data[at:])):
            with pytest.raises(RejectedImageError, match="extraneous"):
                decode(flawed)


def test_a_flaw_that_cannot_be_mended_is_rejected() -> None:
    """A JFIF segment between scans is beyond the header; the attempts to mend it end."""
    data = jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data.rindex(SCAN)
    odd = data[:last] + segment(0xE0, b"JFIF\0\2\1\0\0\1\0\1\0\0") + data[last:]
    started = time.process_time()
    with pytest.raises(RejectedImageError, match=r"corrupt: JPEG: .*unknown JFIF revision number 2\.01"):
        decode(odd)
    assert time.process_time() - started < 1


def test_mending_changes_nothing_else() -> None:
    """Segments that are too short for the value are left alone, and so are all other bytes."""
    data = jpeg()
    assert flaws.mend(version(data), "unknown JFIF revision number 0.00").data == data
    short = data[:2] + segment(0xE0, b"JFIF\0\2") + segment(0xEE, b"Adobe\0\x64") + data[20:]
    assert flaws.mend(short, "unknown JFIF revision number 2.00").data == short
    assert flaws.mend(short, "Unknown Adobe color transform code 9").data == short
    assert flaws.mend(profile(data), "Corrupt JPEG data: bad ICC marker").data == data
    assert flaws.mend(extraneous(data), "Corrupt JPEG data: 190 extraneous bytes before marker 0xd9").data == data
    assert flaws.mend(data, "Corrupt JPEG data: premature end of data segment") is None
