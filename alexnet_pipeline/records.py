"""The records that cross stages: plain frozen data, with no behaviour beyond JSON in and out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Geometry = Literal["center-crop", "squash", "shorter", "pad"]
Encoding = Literal["jpg", "png", "raw"]
Rounding = Literal["half-up", "truncate"]
Subsampling = Literal["420", "444"]
LabelOrder = Literal["wnid", "devkit"]


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


@dataclass(frozen=True, slots=True)
class Reject:
    """One input that did not become a sample.

    Attributes:
        name: the input's name within the source, `CLASS/FILE` for an image.
        reason: one of `Reason`.
        detail: what was found.
    """

    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RawImage:
    """One picture as it lies in the source.

    Attributes:
        key: ASCII, unique over the whole set, without dot or space.
        label: index into the set's classes.
        wnid: the class name.
        name: `CLASS/FILE`, the same whether the picture lies in a folder or a tar.
        path: the file that holds the bytes.
        offset: of the bytes in that file.
        size_bytes: of the picture.
        modified_ns: modification time of that file, to notice a change between runs.
    """

    key: str
    label: int
    wnid: str
    name: str
    path: str
    offset: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """All that decides the bytes of one method's shards, apart from the input and library versions.

    Attributes:
        method: a method name, see `pixels.kernels`.
        size_px: target side length.
        geometry: how a picture of any shape becomes the target.
        rounding: of the long side's length: `half-up` is floor(x + 1/2), `truncate` is torchvision's.
        linear_light: resample in linear light instead of gamma-encoded values.
        encoding: `jpg`, `png` or `raw` (a `.npy` of HWC uint8).
        quality: JPEG quality, 1 to 100.
        subsampling: JPEG chroma subsampling.
        name: first part of every shard's name.
        shard_size_images: planned images per shard.
        seed: of the global order.
        shuffle: False keeps the order in which the bytes lie in the source.
        label_order: `wnid` sorts the class names, `devkit` follows ILSVRC2012_ID.
        limit_images: only so many of the order's first images, None for all.
        max_pixels: inputs with more are rejected before decoding.
    """

    method: str = "antialias"
    size_px: int = 256
    geometry: Geometry = "center-crop"
    rounding: Rounding = "half-up"
    linear_light: bool = False
    encoding: Encoding = "jpg"
    quality: int = 95
    subsampling: Subsampling = "420"
    name: str = "imagenet"
    shard_size_images: int = 1000
    seed: int = 0
    shuffle: bool = True
    label_order: LabelOrder = "wnid"
    limit_images: int | None = None
    max_pixels: int = 64_000_000


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A finished file, as verification expects it: name, size in bytes and sha256 in hex."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One finished shard of one method.

    Attributes:
        index: the shard's number, from 0.
        tar: the tar, or None where every planned input was rejected.
        idx: its DALI index, or None likewise.
        md5: of the tar, for the wids index; empty where there is no tar.
        samples_images: samples in the tar.
        first_key: of the first sample; empty where there is no tar.
        rejects: the planned inputs that did not become samples.
    """

    index: int
    tar: FileRecord | None
    idx: FileRecord | None
    md5: str
    samples_images: int
    first_key: str
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal: a committed shard and what it was made from.

    Attributes:
        shard: the finished shard.
        source_stamp: digest of the sizes and modification times of its planned inputs; kept out of the
            manifest, which must not depend on when a source was copied.
    """

    shard: ShardRecord
    source_stamp: str


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Statistics over all pixels of a set, in 0..255 units, channels in the order R, G, B.

    Attributes:
        mean: per channel.
        covariance: 3 x 3, population.
        pca_deviations: square roots of the covariance's eigenvalues, largest first.
        pca_vectors: row i is the unit eigenvector of deviation i.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    pca_deviations: tuple[float, ...]
    pca_vectors: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `manifest.json` says of one finished data set: one method, one split.

    Attributes:
        format_version: of this file.
        split: `train`, `val` or `test`.
        options: that decided the bytes.
        fingerprint: sha256 of options, definition, split, classes and input listing.
        definition: the method as a formula.
        geometry_definition: the geometry in words.
        versions: of the libraries that decided the bytes.
        classes: class names; the position is the label.
        class_totals_images: samples per class, in label order.
        total_images: samples in all shards.
        upsampled_images: samples that were enlarged on at least one axis.
        shards: every planned shard, in order.
        files: the other files of the data set: indexes and mean image.
        statistics: over all samples' pixels before encoding; None for an empty set.
        source_rejects: inputs rejected while the source was listed.
        digest: sha256 of this file with an empty digest.
    """

    format_version: int
    split: str
    options: MethodOptions
    fingerprint: str
    definition: str
    geometry_definition: str
    versions: dict[str, str]
    classes: tuple[str, ...]
    class_totals_images: tuple[int, ...]
    total_images: int
    upsampled_images: int
    shards: tuple[ShardRecord, ...]
    files: tuple[FileRecord, ...]
    statistics: PixelStatistics | None
    source_rejects: tuple[Reject, ...]
    digest: str = ""

    def rejects(self) -> tuple[Reject, ...]:
        """Every rejected input: those of the listing first, then shard by shard."""
        return self.source_rejects + tuple(reject for shard in self.shards for reject in shard.rejects)


def to_json(record: Any) -> str:
    """Canonical one-line JSON of a record: keys sorted, ASCII only, no spaces."""
    return json.dumps(dataclasses.asdict(record), sort_keys=True, separators=(",", ":"))


def fingerprint(*parts: Any) -> str:
    """Sha256 in hex over the canonical JSON of the parts."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def reject_from_json(data: dict[str, Any]) -> Reject:
    """Inverse of `to_json` for a reject."""
    return Reject(**data)


def shard_from_json(data: dict[str, Any]) -> ShardRecord:
    """Inverse of `to_json` for a shard record."""
    return ShardRecord(
        **{
            **data,
            "tar": data["tar"] and FileRecord(**data["tar"]),
            "idx": data["idx"] and FileRecord(**data["idx"]),
            "rejects": tuple(map(reject_from_json, data["rejects"])),
        }
    )


def entry_from_json(data: dict[str, Any]) -> JournalEntry:
    """Inverse of `to_json` for a journal entry."""
    return JournalEntry(shard_from_json(data["shard"]), data["source_stamp"])


def manifest_from_json(data: dict[str, Any]) -> Manifest:
    """Inverse of `to_json` for a manifest.

    Raises:
        TypeError, KeyError: a field is missing, unknown or of another kind.
    """
    statistics = data["statistics"]
    return Manifest(
        **{
            **data,
            "options": MethodOptions(**data["options"]),
            "classes": tuple(data["classes"]),
            "class_totals_images": tuple(data["class_totals_images"]),
            "shards": tuple(map(shard_from_json, data["shards"])),
            "files": tuple(FileRecord(**file) for file in data["files"]),
            "statistics": statistics
            and PixelStatistics(
                mean=tuple(statistics["mean"]),
                covariance=tuple(map(tuple, statistics["covariance"])),
                pca_deviations=tuple(statistics["pca_deviations"]),
                pca_vectors=tuple(map(tuple, statistics["pca_vectors"])),
            ),
            "source_rejects": tuple(map(reject_from_json, data["source_rejects"])),
        }
    )
