"""Access to the samples of a finished data set, whose files are first checked against its manifest."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.index import ShardIndex, read_dali_index
from alexnet_pipeline.dataset.manifest import MEAN, Manifest, PixelStatistics, ShardRecord, read_manifest
from alexnet_pipeline.dataset.npy import read_npy
from alexnet_pipeline.dataset.tar import OpenTar, RemoteTar, allow_files
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.records import EXTENSIONS, from_json
from alexnet_pipeline.storage.place import Location, locate
from alexnet_pipeline.storage.reading import read_whole

# Bytes of the name field at the start of a USTAR header.
NAME_BYTES = 100
# Most bytes between a label and its image: headers, padding and, before a raw image, the record.
MOST_GAP_BYTES = 1 << 16


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
        tars: (shards,) its tars; shards without samples have none.
        shard: (samples,) int32 index into `tars`.
        image: (samples, 2) int64 offset and size of the image in its tar.
        label: (samples, 2) int64 offset and size of the `.cls` member.
        record: (samples, 2) int64 offset and size of the `.json` member.
        origin: where the set was found: its URL if `folder` is a copy of it, else `folder`.
    """

    folder: Location
    manifest: Manifest
    tars: tuple[OpenTar | RemoteTar, ...]
    shard: NDArray[np.int32]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    record: NDArray[np.int64]
    origin: Location

    def __len__(self) -> int:
        return len(self.shard)

    def __repr__(self) -> str:
        manifest = self.manifest
        return f"ShardSet({str(self.origin)!r}: {len(self):,} images, {manifest.options.method}, {manifest.split})"

    def keys(self) -> Iterator[str]:
        """The key of every sample, in order."""
        for record in self.manifest.shards:
            if record.idx:
                yield from _read_index(self.folder, record, EXTENSIONS[self.manifest.options.encoding]).keys

    def read_image(self, sample: int) -> bytes:
        """The encoded image of a sample."""
        return self._read(sample, self.image).tobytes()

    def read_label(self, sample: int) -> int:
        """The label of a sample.

        Raises:
            PipelineError: the label is not a class of this set.
        """
        return self._parse_label(sample, self._read(sample, self.label).tobytes())

    def read_record(self, sample: int) -> SampleRecord:
        """The record of a sample.

        Raises:
            PipelineError: the record is damaged.
        """
        try:
            return from_json(self._read(sample, self.record).tobytes(), SampleRecord)
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
        try:
            return np.asarray(read_npy(data), np.float32)
        except ValueError as error:
            raise PipelineError(f"{path} is damaged: {error}; run `verify`") from error

    def read_batch(self, samples: NDArray[np.int64]) -> tuple[list[int], list[NDArray[np.uint8]]]:
        """The labels of some samples, and their encoded images, each (bytes,) uint8.

        Raises:
            PipelineError: a tar cannot be read, or a label is not a class of this set.
        """
        labels, images = [], []
        for sample, (shard, (first, digits, image, size)) in zip(samples.tolist(), self._places(samples), strict=True):
            data = self.tars[shard].read(first, image + size - first)  # the label lies shortly before
            labels.append(self._parse_label(sample, data[:digits].tobytes()))
            images.append(data[image - first :])
        return labels, images

    def prefetch(self, samples: NDArray[np.int64]) -> None:
        """Let the operating system read the labels and images of some samples ahead."""
        for shard, (first, _, image, size) in self._places(samples):
            self.tars[shard].prefetch(first, image + size - first)

    def spans(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 4) offset and size of the label and of the image, in their tars, of some samples."""
        return np.concatenate([self.label[samples], self.image[samples]], axis=1)

    def hold(self, samples: NDArray[np.int64]) -> tuple[list[object], NDArray[np.int32]]:
        """Open the tars of some samples.

        Returns:
            What keeps them open, as long as it is referred to; and (n,) their descriptors, -1 where there is none.
        """
        held = [self.tars[shard].hold() for shard in self.shard[samples].tolist()]
        return list(held), np.array([file.descriptor if file else -1 for file in held], np.int32)

    def _places(self, samples: NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
        """Shard and spans of some samples."""
        return zip(self.shard[samples].tolist(), self.spans(samples).tolist(), strict=True)

    def _parse_label(self, sample: int, text: bytes) -> int:
        label = int(text) if text.isdigit() else -1
        if not 0 <= label < len(self.manifest.classes):
            raise PipelineError(
                f"{self.folder}: sample {sample} has label {text!r}, expected 0 to {len(self.manifest.classes) - 1}; "
                "run `verify`"
            )
        return label

    def _read(self, sample: int, spans: NDArray[np.int64]) -> NDArray[np.uint8]:
        offset, size = spans[sample].tolist()
        return self.tars[int(self.shard[sample])].read(offset, size)


def open_shards(folder: Location | str) -> ShardSet:
    """Open a finished data set.

    Sizes, indexes and counts are checked; only `verify` checks the bytes of the tars.

    Args:
        folder: folder of one method and one split, like `shards/lanczos/train`, or its URL in an object store.

    Raises:
        RefusedError: the folder holds no finished data set, or one without samples.
        PipelineError: a file is missing or damaged, or does not match the manifest.
    """
    folder = locate(folder)
    return open_manifest(folder, read_manifest(folder))


def open_manifest(folder: Location, manifest: Manifest) -> ShardSet:
    """Open the data set that a manifest describes; see `open_shards`."""
    records = [shard for shard in manifest.shards if shard.tar and shard.idx]
    if not records:
        raise RefusedError(f"{folder} holds no samples, because every input was rejected; its manifest says why")
    extension = EXTENSIONS[manifest.options.encoding]
    indexes = tuple(_read_index(folder, record, extension) for record in records)
    counts = [len(index.keys) for index in indexes]
    if sum(counts) != manifest.total_images:
        raise PipelineError(f"{folder}: indexes list {sum(counts)} samples, the manifest says {manifest.total_images}")
    if isinstance(folder, Path):
        allow_files(len(records))
    tars = tuple(_open_tar(folder, record, index, extension) for record, index in zip(records, indexes, strict=True))
    spans = (np.concatenate([index.spans[name] for index in indexes]) for name in (extension, "cls", "json"))
    shard = np.repeat(np.arange(len(records), dtype=np.int32), counts)
    image, label, record = spans
    return ShardSet(folder, manifest, tars, shard, image, label, record, origin=folder)


def _read_index(folder: Location, record: ShardRecord, extension: str) -> ShardIndex:
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


def _open_tar(folder: Location, record: ShardRecord, index: ShardIndex, extension: str) -> OpenTar | RemoteTar:
    assert record.tar
    path = folder / record.tar.name
    try:
        tar: OpenTar | RemoteTar = OpenTar(path) if isinstance(path, Path) else RemoteTar(path)
        size_bytes = tar.size_bytes()
    except OSError as error:
        hint = "raise `ulimit -n`" if error.errno == errno.EMFILE else "run `verify`"
        raise PipelineError(f"cannot read {path}: {error.strerror}; {hint}") from error
    if size_bytes != record.tar.size_bytes:
        raise PipelineError(f"{path} has {size_bytes} bytes, the manifest says {record.tar.size_bytes}; run `verify`")
    first = tar.read(0, NAME_BYTES).tobytes().rstrip(b"\0").decode("ascii", "replace")
    if first.rpartition(".")[0] != record.first_key:
        raise PipelineError(f"{path} begins with {first!r}, expected sample {record.first_key}; run `verify`")
    image, label, _ = (index.spans[name] for name in (extension, "cls", "json"))
    gaps = image[:, 0] - label.sum(1)
    if not 0 < gaps.min() <= gaps.max() <= MOST_GAP_BYTES:
        raise PipelineError(f"{path}: its index does not have each label shortly before its image; run `verify`")
    last = max(int(span.sum(1).max()) for span in index.spans.values())
    if last > record.tar.size_bytes:
        raise PipelineError(f"{path} has {record.tar.size_bytes} bytes, its index names byte {last}; run `verify`")
    return tar


def _read_file(path: Location) -> bytes:
    try:
        return read_whole(path)
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}; run `verify`") from error
