"""`manifest.json`: its records, how it is written, and how it is read and proved unchanged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.options import check
from alexnet_pipeline.records import Reject, Remark, SetOptions, SourceAccount, from_json
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import exists, read_whole
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.storage.writing import write_whole

# The version that is written, and the first one, which is still read.
FORMAT_VERSION, FIRST_VERSION = 2, 1
MANIFEST, MEAN = "manifest.json", "mean.npy"

_MENDED = "restore it from a copy, or rebuild it with `reindex`"

# What a stranger's manifest may say: a file lies in the data set's folder, and numbers are no traps for arithmetic.
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}$")]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
ShardCount = Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)]
SplitName = Annotated[str, msgspec.Meta(pattern="^(train|val|test)$")]
Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a finished file must be: its name, its size in bytes and its sha256 in hex."""

    name: FileName
    size_bytes: Count
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> FileRecord:
        """The record of a file with these bytes."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One finished shard of one method.

    Attributes:
        index: the shard's number, from 0.
        tar: the tar, or None if every planned input was rejected.
        idx: its DALI index, or None likewise.
        md5: MD5 of the tar, for the wids index; empty if there is no tar.
        samples_images: number of samples in the tar.
        first_key: key of the first sample; empty if there is no tar.
        rejects: the planned inputs that did not become samples.
        remarks: the flaws of inputs that became samples nevertheless.
    """

    index: Count
    tar: FileRecord | None
    idx: FileRecord | None
    md5: str
    samples_images: Count
    first_key: str
    rejects: tuple[Reject, ...]
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Statistics over all pixels of a set, in 0..255 units, channels in the order R, G, B.

    Attributes:
        mean: mean of each channel.
        covariance: 3 x 3 population covariance.
        pca_deviations: square roots of the covariance's eigenvalues, largest first.
        pca_vectors: row i is the unit eigenvector of deviation i.
    """

    mean: Rgb
    covariance: tuple[Rgb, Rgb, Rgb]
    pca_deviations: Rgb
    pca_vectors: tuple[Rgb, Rgb, Rgb]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `manifest.json` of one finished data set: one method, one split.

    Attributes:
        format_version: version of this format.
        split: `train`, `val` or `test`.
        options: the options that determined the bytes.
        fingerprint: sha256 of options, definition, split, classes and input listing.
        definition: the method as a formula.
        geometry_definition: the geometry in words.
        versions: versions of the libraries that determined the bytes.
        classes: class names; the position is the label.
        class_totals_images: samples per class, in label order.
        total_images: number of samples in all shards.
        upsampled_images: samples that were enlarged on at least one axis.
        shards: every planned shard, in order.
        files: the other files of the data set: indexes and mean image.
        statistics: statistics of all samples' pixels before encoding; None for an empty set.
        source_rejects: inputs rejected while the source was listed.
        class_words: for each class its words, like `tench, Tinca tinca`, or ""; empty where no words were known.
        source: how the source was recognised, and what in it is not an image.
        digest: sha256 of this file with an empty digest.
    """

    format_version: int
    split: SplitName
    options: SetOptions
    fingerprint: str
    definition: str
    geometry_definition: str
    versions: dict[str, str]
    classes: tuple[str, ...]
    class_totals_images: tuple[Count, ...]
    total_images: Count
    upsampled_images: Count
    shards: tuple[ShardRecord, ...]
    files: tuple[FileRecord, ...]
    statistics: PixelStatistics | None
    source_rejects: tuple[Reject, ...]
    class_words: tuple[str, ...] = ()
    source: SourceAccount = field(default_factory=SourceAccount)
    digest: str = ""

    def __repr__(self) -> str:
        return f"Manifest({self.options.method!r}, {self.split!r}, {self.total_images:,} images, {self.digest[:8]})"

    def rejects(self) -> tuple[Reject, ...]:
        """Every rejected input: those of the listing first, then shard by shard."""
        return self.source_rejects + tuple(reject for shard in self.shards for reject in shard.rejects)

    def words(self, label: int) -> str:
        """The words of a class; "" where they are unknown."""
        return self.class_words[label] if 0 <= label < len(self.class_words) else ""


@dataclass(frozen=True, slots=True)
class _Version:
    format_version: int


def is_finished(folder: Location) -> bool:
    """Whether a folder holds a finished data set."""
    try:
        return exists(folder / MANIFEST)
    except OSError as error:
        raise PipelineError(f"cannot read {folder / MANIFEST}: {error.strerror}") from error


def write_manifest(folder: Location, manifest: Manifest) -> Manifest:
    """Write a data set's manifest, the last of its files, and return it with its digest."""
    sealed = dataclasses.replace(manifest, digest=_digest_of_text(_text(manifest), manifest.digest))
    write_whole(folder / MANIFEST, _text(sealed))
    return sealed


def read_manifest(folder: Location) -> Manifest:
    """Read a data set's manifest and prove that it is unchanged.

    Raises:
        RefusedError: there is no manifest, or this release does not know its version.
        PipelineError: the manifest is damaged or cannot be read.
    """
    path = folder / MANIFEST
    try:
        text = read_whole(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RefusedError(_missing(folder)) from error
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from error
    try:
        version = from_json(text, _Version).format_version
        manifest = from_json(text, Manifest) if FIRST_VERSION <= version <= FORMAT_VERSION else None
        if manifest:
            check(manifest.options)
    except ValueError as error:
        raise PipelineError(f"{path} is damaged: {error}; {_MENDED}") from error
    if manifest is None:
        raise RefusedError(
            f"{path} has format version {version}; this release reads versions {FIRST_VERSION} to {FORMAT_VERSION}"
        )
    if _text(manifest) != text or _digest_of_text(text, manifest.digest) != manifest.digest:
        raise PipelineError(f"{path} is damaged: its digest does not match; {_MENDED}")
    return manifest


def encode_json(data: object) -> bytes:
    """Encode plain data as all JSON files of a data set are: ASCII, sorted keys, indented by one space, a newline."""
    return (json.dumps(data, sort_keys=True, indent=1) + "\n").encode("ascii")


def _digest_of_text(text: bytes, digest: str) -> str:
    """SHA-256 in hex of a manifest's file with its own digest left empty."""
    return hashlib.sha256(text.replace(f'\n "digest": "{digest}"'.encode(), b'\n "digest": ""', 1)).hexdigest()


def _text(manifest: Manifest) -> bytes:
    """The content of a manifest's file, without the fields that version 1 did not have."""
    data = dataclasses.asdict(manifest)
    if manifest.format_version == FIRST_VERSION:
        del data["class_words"], data["source"], data["options"]["orientation"]
        for shard in data["shards"]:
            del shard["remarks"]
    return encode_json(data)


def _missing(folder: Location) -> str:
    """The message for a folder that is not a finished data set, by what it holds."""
    if isinstance(folder, RemotePath):
        return f"{folder} holds no finished data set: {MANIFEST} is missing; name the folder of a method and a split"
    if folder.suffix == ".tar" and folder.is_file():
        return f"{folder} is a tar; name its folder, {folder.parent}"
    if not folder.exists():
        return f"{folder}: no such file or directory"
    below = sorted(path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{MANIFEST}"))
    if below:
        return f"{folder} holds several data sets; name one, like {below[0]}"
    return (
        f"{folder} holds no finished data set: {MANIFEST} is missing; `shard` makes one of raw images or resumes an "
        "unfinished one, and `reindex` rebuilds what a copy lost"
    )
