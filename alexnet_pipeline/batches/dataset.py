"""A data set's folder in, where every sample's bytes lie out: checked against the manifest before the first batch."""

from __future__ import annotations

import errno
import hashlib
import mmap
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.manifest_file import read_manifest
from alexnet_pipeline.records import FileRecord, Manifest, ShardRecord

MANIFEST = "manifest.json"
# Extension of the picture's member, by encoding.
PICTURE = {"jpg": "jpg", "png": "png", "raw": "npy"}
IDX_VERSION = "v1.2"
# Words of an index line for one member: extension, offset, size, name.
WORDS = 4
MEMBERS = 3
# Descriptors for all but tars: decoders, processes, checkpoints.
SPARE_FILES = 256
# Of a USTAR header: the name's field.
BLOCK_BYTES, NAME_BYTES = 512, 100


@dataclass(frozen=True, slots=True)
class ShardSet:
    """A data set whose files agree with its manifest.

    Attributes:
        folder: where it lies.
        manifest: what it promises.
        tars: (shards,) mapped files, without shards that hold nothing.
        shard: (samples,) int32 index into `tars`, in the order in which samples lie.
        picture: (samples, 2) int64 offset and size of the picture in its tar.
        label: (samples, 2) int64 offset and size of the `.cls` member.
    """

    folder: Path
    manifest: Manifest
    tars: tuple[mmap.mmap, ...]
    shard: NDArray[np.int32]
    picture: NDArray[np.int64]
    label: NDArray[np.int64]

    def read_label(self, sample: int) -> int:
        """The label of a sample, by position in the data set.

        Raises:
            PipelineError: it is no class of this set.
        """
        offset, size = self.label[sample].tolist()
        text = self.tars[self.shard[sample]][offset : offset + size]
        label = int(text) if text.isdigit() else -1
        if not 0 <= label < len(self.manifest.classes):
            raise PipelineError(
                f"{self.folder}: sample {sample} has label {text!r}, expected 0 to {len(self.manifest.classes) - 1}; "
                "run `alexnet-pipeline verify`"
            )
        return label


def open_shards(folder: Path) -> ShardSet:
    """Open a data set, proving sizes, indexes and counts; the tars' own bytes are `verify`'s.

    Raises:
        RefusedError: no finished data set, or one without samples or of pictures that differ in size.
        PipelineError: a file is missing, damaged, or not this manifest's.
    """
    if not (folder / MANIFEST).exists() and (folder / "train" / MANIFEST).exists():
        raise RefusedError(f"{folder} holds several splits; name one, like {folder / 'train'}")
    manifest = read_manifest(folder / MANIFEST)
    if manifest.options.geometry == "shorter":
        raise RefusedError(f"{folder} was made with --geometry shorter, whose sizes differ; batches need one size")
    records = [shard for shard in manifest.shards if shard.tar and shard.idx]
    if not records:
        raise RefusedError(f"{folder} holds no sample; shard a source that has some")
    extension = PICTURE[manifest.options.encoding]
    tables = [_read_index(folder, record, extension) for record in records]
    counts = [len(table) for table in tables]
    if sum(counts) != manifest.total_images:
        raise PipelineError(f"{folder}: indexes list {sum(counts)} samples, the manifest {manifest.total_images}")
    whole = np.concatenate(tables)
    _allow_files(len(records))
    return ShardSet(
        folder=folder,
        manifest=manifest,
        tars=tuple(_map(folder, record, table) for record, table in zip(records, tables, strict=True)),
        shard=np.repeat(np.arange(len(records), dtype=np.int32), counts),
        picture=np.ascontiguousarray(whole[:, :2]),
        label=np.ascontiguousarray(whole[:, 2:]),
    )


def sample_keys(shards: ShardSet) -> Iterator[str]:
    """The key of every sample, in the order in which they lie."""
    for record in shards.manifest.shards:
        if record.idx:
            for line in (shards.folder / record.idx.name).read_text("ascii").splitlines()[1:]:
                yield line.split(" ", WORDS)[WORDS - 1].rpartition(".")[0]


def _read_index(folder: Path, record: ShardRecord, extension: str) -> NDArray[np.int64]:
    """(samples, 4): picture's offset and size, label's offset and size."""
    assert record.idx
    path = folder / record.idx.name
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != record.idx.sha256:
        raise PipelineError(f"{path} is not the index that the manifest names; run `alexnet-pipeline verify`")
    lines = data.decode("ascii").splitlines()
    if lines[0] != f"{IDX_VERSION} {len(lines) - 1}" or len(lines) - 1 != record.samples_images:
        raise PipelineError(f"{path} says {lines[0]!r}, expected {IDX_VERSION} {record.samples_images}")
    words = " ".join(lines[1:]).split(" ")
    step = WORDS * MEMBERS
    members = [words[at] for at in range(0, step, WORDS)]
    columns = []
    for wanted in (extension, "cls"):
        at = members.index(wanted) * WORDS
        columns += [words[at + 1 :: step], words[at + 2 :: step]]
    return np.array(columns, np.int64).T


def _allow_files(count: int) -> None:
    """Every mapped tar keeps a descriptor; the usual soft limit is 1,024, ImageNet has 1,282 shards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(list(Path("/proc/self/fd").iterdir())) + count + SPARE_FILES
    wanted = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _map(folder: Path, record: ShardRecord, table: NDArray[np.int64]) -> mmap.mmap:
    assert record.tar
    path = folder / record.tar.name
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, 2)
            _check_size(path, size, record.tar)
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        hint = "raise `ulimit -n`" if error.errno == errno.EMFILE else "run `alexnet-pipeline verify`"
        raise PipelineError(f"cannot read {path}: {error.strerror}; {hint}") from error
    first = mapped[:NAME_BYTES].rstrip(b"\0").decode("ascii", "replace")
    if first.rpartition(".")[0] != record.first_key or int(table.max(0)[0]) + BLOCK_BYTES > size:
        raise PipelineError(f"{path} begins with {first!r}, expected sample {record.first_key}; run `verify`")
    return mapped


def _check_size(path: Path, size: int, tar: FileRecord) -> None:
    if size != tar.size_bytes:
        raise PipelineError(f"{path} has {size} bytes, the manifest says {tar.size_bytes}; run `verify`")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}; run `alexnet-pipeline verify`") from error
