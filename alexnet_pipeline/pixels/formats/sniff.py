"""Recognise the format of a file by its first bytes, never by its name."""

from __future__ import annotations

# Formats that are decoded.
ALLOWED: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"PNG\r\n\x1a\n", "PNG"),  # the first byte is lost: rejected as corrupt, not as an unknown format
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
# ISO/IEC 23008-12 annex B; a video has another brand.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Formats that are not decoded, but named in the rejection: (offset, magic, name).
OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    *((4, b"ftyp" + brand, "HEIF") for brand in HEIF_BRANDS),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xffO\xffQ", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"%PDF", "PDF"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"\0\0\2\0", "CUR"),
    (0, b"icns", "ICNS"),
    (0, b"BLP1", "BLP"),
    (0, b"BLP2", "BLP"),
    (0, b"DDS ", "DDS"),
    (0, b"v/1\1", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance"),
    (4, b"\x11\xaf", "FLI"),
    (4, b"\x12\xaf", "FLC"),
)
PNM_DIGITS = b"1234567"


def sniff(data: bytes) -> tuple[str, bool]:
    """The format's name and whether it is decoded; the name is empty if the format is unknown."""
    for magic, name in ALLOWED:
        if data.startswith(magic):
            return name, True
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", True
    for offset, magic, name in OTHERS:
        if data.startswith(magic, offset):
            return name, False
    if data[:1] == b"P" and data[1:2] in [bytes([digit]) for digit in PNM_DIGITS] and data[2:3].isspace():
        return "PNM", False
    if b"<svg" in data[:1024].lower():
        return "SVG", False
    return "", False
