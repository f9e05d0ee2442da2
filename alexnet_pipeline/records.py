"""Frozen records that several packages share, and the JSON encoding of all records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from alexnet_pipeline.options import MAX_SEED, option

Record = TypeVar("Record")

Geometry = Literal["center-crop", "squash", "shorter", "pad"]
Encoding = Literal["jpg", "png", "raw"]
Rounding = Literal["half-up", "truncate"]
Subsampling = Literal["420", "444"]
LabelOrder = Literal["wnid", "devkit", "file"]
# What to do with the orientation in EXIF: turn the image upright, or leave it as it is stored.
Orientation = Literal["apply", "ignore"]
# How an image's bytes lie in their file: as they are, as a member of a zip, or as a row of a Parquet file.
Packing = Literal["plain", "zip", "row"]

# File extension of a sample's image, by encoding.
EXTENSIONS: dict[Encoding, str] = {"jpg": "jpg", "png": "png", "raw": "npy"}
# Largest side of an output image; larger ones have no use here, and would take gigabytes.
MAX_SIZE_PX = 4096
# Most images per shard: sums over one byte of each of them still fit 32 bits.
MAX_SHARD_IMAGES = ((1 << 32) - 1) // 255


# A path in a file that somebody else may have written; no file has a zero byte in its name.
PathText = Annotated[str, msgspec.Meta(pattern="^[^\\x00]*$", max_length=4096)]
# Steps of the checkpoints of one or more runs.
Steps = Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]


class Reason(StrEnum):
    """Why an input did not become a sample."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    TOO_COMPLEX = "too_complex"
    DUPLICATE_KEY = "duplicate_key"
    UNSAFE_NAME = "unsafe_name"
    LINK_MEMBER = "link_member"
    SPECIAL_MEMBER = "special_member"
    TRUNCATED_ARCHIVE = "truncated_archive"
    DECODER_CRASH = "decoder_crash"
    TIMEOUT = "timeout"
    UNREADABLE = "unreadable"
    NO_LABEL = "no_label"
    NESTED = "nested"


@dataclass(frozen=True, slots=True)
class Reject:
    """An input that did not become a sample.

    Attributes:
        name: name of the input in the source, `CLASS/FILE` for an image.
        reason: one of `Reason`.
        detail: what was found.
    """

    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A flaw of an image that does not touch its pixels, so that the image was taken.

    Attributes:
        name: name of the input in the source, `CLASS/FILE`.
        text: what was found.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Files of a source that are not images of the data set.

    Attributes:
        what: the files in words: a folder (`test/`), a suffix (`.xml`), or a name.
        why: why they are ignored.
        files: their number.
    """

    what: str
    why: str
    files: int


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """How a source was recognised, and what in it is not an image.

    Attributes:
        layout: name of its layout, as `layouts` lists it.
        evidence: what it was recognised by.
        used: number of files that were read for labels, or that hold images.
        ignored: the files that are neither images nor rejects nor used.
        notes: oddities that a user should know of.
    """

    layout: str = ""
    evidence: str = ""
    used: int = 0
    ignored: tuple[Ignored, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawImage:
    """The location of an image in the source, its key and its label.

    Attributes:
        key: key of its sample: ASCII, unique in the data set, without dots and spaces.
        label: index into the set's classes.
        wnid: class name, for ImageNet the WordNet ID.
        name: `CLASS/FILE`, the same in every layout.
        path: path or URL of the file that holds the bytes.
        offset: offset of the image's bytes in that file; of the local header in a zip; the row in a Parquet file.
        size_bytes: size of the bytes in that file; 0 for a row, whose size is not known before it is read.
        version: of that file, to detect a change between runs; see `raw.tree.Entry`.
        packing: how the bytes lie in that file.
        column: dotted path of the column of a row.
    """

    key: str
    label: int
    wnid: str
    name: str
    path: str
    offset: int
    size_bytes: int
    version: int
    packing: Packing = "plain"
    column: str = ""


@dataclass(frozen=True)
class Conversion:
    """The options that determine a converted image, given the source image and the versions of the libraries."""

    # Name of a downsampling method; see `pixels.kernels`.
    method: str = "antialias"
    size_px: int = option(256, "Side of the output images in pixels.", least=1, most=MAX_SIZE_PX, metavar="PX")
    geometry: Geometry = option(
        "center-crop",
        "How an image is fitted to the size: center-crop scales its shorter side and keeps the central square, squash "
        "scales both sides, shorter scales the shorter side and crops nothing, pad scales the longer side, on black.",
    )
    # Rounding of the longer side's length: `half-up` is floor(x + 1/2), `truncate` is torchvision's.
    rounding: Rounding = "half-up"
    linear_light: bool = option(False, "Resample in linear light, through the sRGB curve.")
    encoding: Encoding = option("jpg", "Encoding of the output images; raw is .npy of uint8, which needs no decoding.")
    quality: int = option(95, "JPEG quality.", least=1, most=100)
    subsampling: Subsampling = option("420", "JPEG chroma subsampling.")
    max_pixels: int = option(64_000_000, "Reject images whose header declares more pixels than this.", least=1)
    orientation: Orientation = option(
        "apply", "Turn images upright as their EXIF says, or leave them as stored, as torchvision's loader does."
    )


@dataclass(frozen=True)
class SetOptions(Conversion):
    """A conversion, and the other options that determine the bytes of a data set's shards."""

    name: str = option("imagenet", "Prefix of the shards' file names.")
    shard_size_images: int = option(1000, "Images per shard.", least=1, most=MAX_SHARD_IMAGES, metavar="N")
    seed: int = option(0, "Seed for the global shuffle.", least=0, most=MAX_SEED)
    shuffle: bool = option(True, "Shuffle globally, or keep source order (faster on spinning disks).")
    label_order: LabelOrder = option(
        "wnid",
        "Order of the labels: wnid sorts the class names, numbers as numbers, and keeps the labels of a source that "
        "has numeric ones; devkit is ILSVRC2012_ID - 1; file is the order of `classes`.",
    )
    limit_images: int | None = option(
        None, "Use only the first N images of each split, after the shuffle.", least=1, metavar="N", default_text="all"
    )


def to_json(record: Any, *, indent: int | None = None) -> bytes:
    """Encode a record as canonical JSON: sorted keys, ASCII only, one line unless indented, a newline at the end."""
    separators = (",", ":") if indent is None else None
    data = dataclasses.asdict(record)
    return (json.dumps(data, sort_keys=True, indent=indent, separators=separators) + "\n").encode("ascii")


def from_json(text: bytes, kind: type[Record]) -> Record:
    """Inverse of `to_json`.

    Raises:
        ValueError: the text is not JSON of such a record; the message says where.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def fingerprint(*parts: Any) -> str:
    """SHA-256 in hex of the canonical JSON of the parts, which must be plain data."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
