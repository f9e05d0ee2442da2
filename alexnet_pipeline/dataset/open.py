"""Access to the samples of a finished data set, whose files are first checked against its manifest."""

from __future__ import annotations

import errno
import hashlib
import io
import mmap
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.index import ShardIndex, read_dali_index
from alexnet_pipeline.dataset.manifest import MEAN, FileRecord, Manifest, PixelStatistics, ShardRecord, read_manifest
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.records import EXTENSIONS, from_json

# File descriptors to leave for other uses: decoders, processes, checkpoints.
SPARE_FILES = 256
# Bytes of the name field at the start of a USTAR header.
NAME_BYTES = 100


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A sample's `.json` member.

    Attributes:
        name: `CLASS/FILE` in the source.
        height: height of the upright source image in pixels.
        width: likewise.
        wnid: the class name.
        sha256: SHA-256 of the source file.
        upsampled: whether at least one axis was enlarged.
        label: the label, as in `.cls`; -1 in format version 1, which did not have it.
        remark: a flaw of the source file that does not touch its pixels; empty if there is none.
    """

    name: str
    height: int
    width: int
    wnid: str
    sha256: str
    upsampled: bool
    label: int = -1
    remark: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class ShardSet:
    """An open data set. Samples are addressed by their position in it.

    Attributes:
        folder: the data set's folder.
        manifest: its manifest.
        tars: (shards,) memory-mapped tars; shards without samples have none.
        shard: (samples,) int32 index into `tars`.
        image: (samples, 2) int64 offset and size of the image in its tar.
        label: (samples, 2) int64 offset and size of the `.cls` member.
        record: (samples, 2) int64 offset and size of the `.json` member.
    """

    folder: Path
    manifest: Manifest
    tars: tuple[mmap.mmap, ...]
    shard: NDArray[np.int32]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    record: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shard)

    def __repr__(self) -> str:
        manifest = self.manifest
        return f"ShardSet({str(self.folder)!r}: {len(self):,} images, {manifest.options.method}, {manifest.split})"

    def keys(self) -> Iterator[str]:
        """The key of every sample, in order."""
        for record in self.manifest.shards:
            if record.idx:
                yield from _read_index(self.folder, record, EXTENSIONS[self.manifest.options.encoding]).keys

    def read_image(self, sample: int) -> bytes:
        """The encoded image of a sample."""
        return self._read(sample, self.image)

    def read_label(self, sample: int) -> int:
        """The label of a sample.

        Raises:
            PipelineError: the label is not a class of this set.
        """
        text = self._read(sample, self.label)
        label = int(text) if text.isdigit() else -1
        if not 0 <= label < len(self.manifest.classes):
            raise PipelineError(
                f"{self.folder}: sample {sample} has label {text!r}, expected 0 to {len(self.manifest.classes) - 1}; "
                "run `verify`"
            )
        return label

    def read_record(self, sample: int) -> SampleRecord:
        """The record of a sample.

        Raises:
            PipelineError: the record is damaged.
        """
        try:
            return from_json(self._read(sample, self.record), SampleRecord)
        except ValueError as error:
            raise PipelineError(f"{self.folder}: the record of sample {sample} is damaged: {error}") from error

    def statistics(self) -> PixelStatistics:
        """The pixel statistics, which every open set has."""
        assert self.manifest.statistics
        return self.manifest.statistics

    def mean_image(self) -> NDArray[np.float32]:
        """Read the mean image, (height, width, 3) float32 in 0..255.

        Raises:
            PipelineError: the file cannot be read, or does not match the manifest.
        """
        path = self.folder / MEAN
        promised = {file.name: file.sha256 for file in self.manifest.files}.get(MEAN)
        data = _read_file(path)
        if hashlib.sha256(data).hexdigest() != promised:
            raise PipelineError(f"{path} is not the mean image that the manifest names; run `verify`")
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False), np.float32)

    def _read(self, sample: int, spans: NDArray[np.int64]) -> bytes:
        offset, size = spans[sample].tolist()
        return bytes(self.tars[self.shard[sample]][offset : offset + size])


def open_shards(folder: Path | str) -> ShardSet:
    """Open a finished data set.

    Sizes, indexes and counts are checked; only `verify` checks the bytes of the tars.

    Args:
        folder: folder of one method and one split, like `shards/lanczos/train`.

    Raises:
        RefusedError: the folder holds no finished data set, or one without samples.
        PipelineError: a file is missing or damaged, or does not match the manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    records = [shard for shard in manifest.shards if shard.tar and shard.idx]
    if not records:
        raise RefusedError(f"{folder} holds no samples, because every input was rejected; its manifest says why")
    extension = EXTENSIONS[manifest.options.encoding]
    indexes = tuple(_read_index(folder, record, extension) for record in records)
    counts = [len(index.keys) for index in indexes]
    if sum(counts) != manifest.total_images:
        raise PipelineError(f"{folder}: indexes list {sum(counts)} samples, the manifest says {manifest.total_images}")
    _allow_files(len(records))
    tars = tuple(_map(folder, record, index) for record, index in zip(records, indexes, strict=True))
    spans = (np.concatenate([index.spans[name] for index in indexes]) for name in (extension, "cls", "json"))
    shard = np.repeat(np.arange(len(records), dtype=np.int32), counts)
    return ShardSet(folder, manifest, tars, shard, *spans)


def _read_index(folder: Path, record: ShardRecord, extension: str) -> ShardIndex:
    assert record.idx
    path = folder / record.idx.name
    data = _read_file(path)
    if hashlib.sha256(data).hexdigest() != record.idx.sha256:
        raise PipelineError(f"{path} is not the index that the manifest names; run `verify`")
    try:
        index = read_dali_index(data)
    except ValueError as error:
        raise PipelineError(f"{path} is not a valid index: {error}; run `verify`") from error
    if set(index.spans) != {extension, "cls", "json"} or len(index.keys) != record.samples_images:
        raise PipelineError(
            f"{path} lists {len(index.keys)} samples with {', '.join(index.spans)}; expected "
            f"{record.samples_images} with {extension}, cls and json; run `verify`"
        )
    return index


def _allow_files(count: int) -> None:
    """Raise the soft limit on open files, usually 1,024: each mapped tar keeps one open, and ImageNet has 1,282."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(list(Path("/proc/self/fd").iterdir())) + count + SPARE_FILES
    wanted = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _map(folder: Path, record: ShardRecord, index: ShardIndex) -> mmap.mmap:
    assert record.tar
    path = folder / record.tar.name
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, 2)
            _check_size(path, size, record.tar)
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        hint = "raise `ulimit -n`" if error.errno == errno.EMFILE else "run `verify`"
        raise PipelineError(f"cannot read {path}: {error.strerror}; {hint}") from error
    first = mapped[:NAME_BYTES].rstrip(b"\0").decode("ascii", "replace")
    last = max(int(span.sum(1).max()) for span in index.spans.values())
    if first.rpartition(".")[0] != record.first_key or last > size:
        raise PipelineError(f"{path} begins with {first!r}, expected sample {record.first_key}; run `verify`")
    return mapped


def _check_size(path: Path, size: int, tar: FileRecord) -> None:
    if size != tar.size_bytes:
        raise PipelineError(f"{path} has {size} bytes, the manifest says {tar.size_bytes}; run `verify`")


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}; run `verify`") from error
