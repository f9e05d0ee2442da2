"""Finished shard sets in, where each key's sample lies in every set out, and how far the samples of a key differ."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.comparison.measure.picture import MeasuredPicture, disagreement_of, shorter_side_scale
from alexnet_pipeline.comparison.records import PictureNumbers
from alexnet_pipeline.comparison.measure.similarity import luma, psnr_db, root_mean_square, ssim
from alexnet_pipeline.comparison.measure.spectrum import radial_power
from alexnet_pipeline.errors import PipelineError, RefusedError, RejectedImageError
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.geometry import place
from alexnet_pipeline.records import Encoding, Manifest, MethodOptions, Reject


@dataclass(frozen=True, slots=True)
class ShardSet:
    """One finished data set: its folder and its manifest."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Place:
    """Where some bytes lie: file, offset and size in bytes."""

    path: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SharedSample:
    """One key in every set.

    Attributes:
        key: of the sample.
        pictures: where its encoded picture lies, one a set.
        record: where the first set's JSON of it lies.
    """

    key: str
    pictures: tuple[Place, ...]
    record: Place


def open_sets(folders: Sequence[Path]) -> list[ShardSet]:
    """The sets of some folders.

    Raises:
        RefusedError: fewer than two, one twice, one unfinished, or their targets differ in shape.
        PipelineError: a manifest is damaged.
    """
    if len(folders) < 2:
        raise RefusedError(f"{len(folders)} shard sets: a comparison needs at least two")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise RefusedError(f"shard sets {', '.join(map(str, folders))}: one is named twice; name each once")
    sets = [ShardSet(folder, read_manifest(folder / "manifest.json")) for folder in folders]
    shapes = [f"{each.manifest.options.geometry} {each.manifest.options.size_px}" for each in sets]
    for each, shape in zip(sets, shapes, strict=True):
        if shape != shapes[0]:
            raise RefusedError(f"{each.folder} is {shape}, {folders[0]} is {shapes[0]}; pixels cannot be compared")
    return sets


def set_names(sets: Sequence[ShardSet]) -> tuple[str, ...]:
    """The method of each; where two share one, with the folder."""
    methods = [each.manifest.options.method for each in sets]
    return tuple(
        f"{method} ({each.folder})" if methods.count(method) > 1 else method
        for method, each in zip(methods, sets, strict=True)
    )


def shared_samples(sets: Sequence[ShardSet]) -> list[SharedSample]:
    """Every key with its places in all sets, sorted by key; only headers are read.

    Raises:
        RefusedError: the sets have different keys.
        PipelineError: a tar is damaged.
    """
    indexes = [_index(each) for each in sets]
    first = indexes[0]
    for each, index in zip(sets[1:], indexes[1:], strict=True):
        fewer, more = len(first.keys() - index.keys()), len(index.keys() - first.keys())
        if fewer or more:
            raise RefusedError(
                f"{each.folder} lacks {fewer:,} keys of {sets[0].folder}, and {sets[0].folder} lacks {more:,} of "
                f"{each.folder}; compare sets that were made from the same pictures"
            )
    return [SharedSample(key, tuple(index[key][0] for index in indexes), first[key][1]) for key in sorted(first)]


def measure_sample(
    sample: SharedSample, options: MethodOptions, encodings: tuple[Encoding, ...]
) -> MeasuredPicture | Reject:
    """Measure how far one key's samples differ.

    Args:
        sample: where they lie.
        options: of the first set.
        encodings: of each set.

    Raises:
        PipelineError: a shard cannot be read, or samples of this key have different shapes.
    """
    files = [_read(each) for each in sample.pictures]
    try:
        targets = [codec.decode_sample(data, encoding) for data, encoding in zip(files, encodings, strict=True)]
    except RejectedImageError as error:
        return Reject(sample.key, str(error.reason), error.detail)
    for target, each in zip(targets, sample.pictures, strict=True):
        if target.shape != targets[0].shape:
            raise PipelineError(f"{sample.key} is {target.shape} in {each.path}, but {targets[0].shape} in the first")
    lumas = [luma(target) for target in targets]
    values = [
        _difference(target, plane, targets[0], lumas[0]) | {"file_bytes": float(len(data))}
        for target, plane, data in zip(targets, lumas, files, strict=True)
    ]
    disagreement, window = disagreement_of(targets)
    height, width, name = _origin(sample.record)
    numbers = PictureNumbers(
        key=sample.key,
        name=name,
        path=sample.pictures[0].path,
        offset=sample.pictures[0].offset,
        size_bytes=len(files[0]),
        sha256=hashlib.sha256(files[0]).hexdigest(),
        height_px=height,
        width_px=width,
        scale=shorter_side_scale(place(height, width, options.size_px, options.geometry, options.rounding)),
        disagreement=disagreement,
        window_px=window,
        values={metric: tuple(each[metric] for each in values) for metric in values[0]},
    )
    return MeasuredPicture(numbers, tuple(tuple(radial_power(plane).tolist()) for plane in lumas))


def sample_reader(folders: Sequence[Path]) -> Callable[[PictureNumbers], list[NDArray[np.uint8]]]:
    """Reads one key's samples, HWC uint8 RGB, one a set.

    Raises:
        RefusedError, PipelineError: as `open_sets` and `shared_samples` do.
    """
    sets = open_sets(folders)
    places = {sample.key: sample.pictures for sample in shared_samples(sets)}
    encodings = [each.manifest.options.encoding for each in sets]

    def read(picture: PictureNumbers) -> list[NDArray[np.uint8]]:
        files = map(_read, places[picture.key])
        return [codec.decode_sample(data, encoding) for data, encoding in zip(files, encodings, strict=True)]

    return read


def _index(each: ShardSet) -> dict[str, tuple[Place, Place]]:
    """Key -> where the picture lies, and where its JSON does."""
    picture = codec.EXTENSIONS[each.manifest.options.encoding]
    found: dict[str, dict[str, Place]] = {}
    for shard in each.manifest.shards:
        if shard.tar:
            for name, place_ in _members(each.folder / shard.tar.name):
                key, _, extension = name.partition(".")
                found.setdefault(key, {})[extension] = place_
    try:
        return {key: (members[picture], members["json"]) for key, members in found.items()}
    except KeyError as error:
        raise PipelineError(f"{each.folder}: a sample lacks its {error} member; `verify` says which") from error


def _members(path: Path) -> Iterator[tuple[str, Place]]:
    try:
        with tarfile.open(path, "r:") as archive:
            while member := archive.next():
                yield member.name, Place(str(path), member.offset_data, member.size)
                vars(archive)["members"].clear()  # tarfile would keep them all
    except (tarfile.TarError, OSError) as error:
        raise PipelineError(f"{path} cannot be read as a tar: {error}; `verify` says more") from error


def _read(where: Place) -> bytes:
    try:
        with Path(where.path).open("rb", buffering=0) as handle:
            data = os.pread(handle.fileno(), where.size_bytes, where.offset)
    except OSError as error:
        raise PipelineError(f"cannot read {where.path}: {error.strerror}") from error
    if len(data) != where.size_bytes:
        raise PipelineError(f"{where.path} changed while it was read; run the same command again")
    return data


def _origin(record: Place) -> tuple[int, int, str]:
    """Height, width and name of the raw picture, as the first set's JSON tells them."""
    try:
        data = json.loads(_read(record))
        return int(data["height"]), int(data["width"]), str(data["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"{record.path}: a sample's JSON is damaged: {error}; `verify` says more") from error


def _difference(
    target: NDArray[np.uint8], plane: NDArray[np.float32], first: NDArray[np.uint8], first_plane: NDArray[np.float32]
) -> dict[str, float]:
    """One set's sample against the first set's."""
    apart = np.abs(target.astype(np.int16) - first)
    error = root_mean_square(target, first)
    return {
        "psnr_db": psnr_db(error),
        "ssim": ssim(plane, first_plane),
        "error_levels": error,
        "most_levels": float(apart.max()),
        "differing_share": float(np.count_nonzero(apart > 1)) / apart.size,
    }
