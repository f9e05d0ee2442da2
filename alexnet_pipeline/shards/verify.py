"""A finished data set in, all that is wrong with it out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet_pipeline.errors import PipelineError, RefusedError, RejectedImageError
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.raw.tarscan import Member, scan_tar
from alexnet_pipeline.records import FileRecord, Manifest, ShardRecord
from alexnet_pipeline.dataset.index import Components, dali_index
from alexnet_pipeline.shards.finish import MEAN, TIMM, WIDS
from alexnet_pipeline.files import PART

READ_BYTES = 1 << 20
# Files of a data set by suffix; anything of these kinds that the manifest does not list is one too many.
LISTED_SUFFIXES = frozenset({".tar", ".idx", ".npy", ".json"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the file and what was found and expected."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes:
        folders: data sets looked at.
        shards: tars looked at.
        images: samples in them.
        size_bytes: of them.
        problems: empty for a sound data set.
    """

    folders: tuple[str, ...]
    shards: int
    images: int
    size_bytes: int
    problems: tuple[Problem, ...]


def verify_folder(
    path: Path,
    *,
    deep: bool = False,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check every data set at or below a folder against its manifest.

    Args:
        path: a data set, or a folder of them.
        deep: also decode every picture.
        workers: threads; hashing and decoding release the interpreter.
        progress: called with the number of shards checked so far.

    Raises:
        RefusedError: there is no data set.
    """
    folders = find_datasets(path)
    problems: list[Problem] = []
    shards: list[ShardRecord] = []
    tasks: list[tuple[Path, Manifest, ShardRecord]] = []
    for folder in folders:
        try:
            manifest = read_manifest(folder / "manifest.json")
        except PipelineError as error:
            problems.append(Problem(str(folder), str(error)))
            continue
        problems += _check_folder(folder, manifest)
        tasks += [(folder, manifest, shard) for shard in manifest.shards if shard.tar]
        shards += manifest.shards
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        for done, found in enumerate(pool.map(lambda task: list(_check_shard(*task, deep=deep)), tasks), 1):
            problems += found
            if progress:
                progress(done)
    tars = [shard.tar for shard in shards if shard.tar]
    return Verification(
        folders=tuple(map(str, folders)),
        shards=len(tars),
        images=sum(shard.samples_images for shard in shards),
        size_bytes=sum(tar.size_bytes for tar in tars),
        problems=tuple(problems),
    )


def find_datasets(path: Path) -> list[Path]:
    """The folders at or below a path that hold shards, finished or not.

    Raises:
        RefusedError: there is none.
    """
    found = {p.parent for name in ("manifest.json", "*.tar") for p in (*path.glob(name), *path.glob(f"**/{name}"))}
    if not found:
        raise RefusedError(f"{path} holds no shards; expected a folder that `alexnet-pipeline shard` wrote")
    return sorted(found)


def _check_folder(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """The files beside the shards, what is missing and what is one too many."""
    listed = {"manifest.json"}
    for file in (*manifest.files, *(f for s in manifest.shards for f in (s.tar, s.idx) if f)):
        listed.add(file.name)
    for path in sorted(folder.iterdir()):
        if path.name not in listed and (path.suffix in LISTED_SUFFIXES or path.name.startswith(PART)):
            yield Problem(str(path), "is not in the manifest; expected no such file")
    if {file.name for file in manifest.files} != {WIDS, TIMM, MEAN}:
        yield Problem(str(folder / "manifest.json"), f"lists other files than {WIDS}, {TIMM} and {MEAN}")
    for file in manifest.files:
        yield from _check_file(folder, file)
    yield from _check_totals(folder, manifest)


def _check_totals(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    path = str(folder / "manifest.json")
    samples = sum(shard.samples_images for shard in manifest.shards)
    if samples != manifest.total_images or sum(manifest.class_totals_images) != samples:
        yield Problem(path, f"totals say {manifest.total_images} images, the shards {samples}")
    if [shard.index for shard in manifest.shards] != list(range(len(manifest.shards))):
        yield Problem(path, "the shards are not numbered 0, 1, 2 ...")
    if len(manifest.class_totals_images) != len(manifest.classes):
        yield Problem(path, f"{len(manifest.classes)} classes, {len(manifest.class_totals_images)} totals")


def _check_file(folder: Path, file: FileRecord) -> Iterator[Problem]:
    path = folder / file.name
    state = hashlib.sha256()
    try:
        size = path.stat().st_size
        if size != file.size_bytes:
            yield Problem(str(path), f"has {size} bytes, the manifest says {file.size_bytes}")
            return
        with path.open("rb") as handle:
            while block := handle.read(READ_BYTES):
                state.update(block)
    except OSError as error:
        yield Problem(str(path), f"cannot be read: {error.strerror}")
        return
    if state.hexdigest() != file.sha256:
        yield Problem(str(path), "has another sha256 than the manifest says")


def _check_shard(folder: Path, manifest: Manifest, shard: ShardRecord, *, deep: bool) -> Iterator[Problem]:
    if shard.tar is None or shard.idx is None:
        return
    damage = [*_check_file(folder, shard.tar), *_check_file(folder, shard.idx)]
    yield from damage
    if damage:
        return
    path = folder / shard.tar.name
    with path.open("rb") as handle:
        size = shard.tar.size_bytes
        members = list(scan_tar(handle.fileno(), 0, size))
        samples = _samples(members)
        if any(member.kind != "file" for member in members):
            yield Problem(str(path), f"is not a sound tar: {members[-1].name}")
        if dali_index(samples) != (folder / shard.idx.name).read_bytes():
            yield Problem(str(folder / shard.idx.name), "does not describe its tar")
        if len(samples) != shard.samples_images:
            yield Problem(str(path), f"holds {len(samples)} samples, the manifest says {shard.samples_images}")
        for components in samples:
            yield from _check_sample(path, handle.fileno(), components, manifest, deep=deep)


def _samples(members: list[Member]) -> list[Components]:
    samples: list[Components] = []
    key = None
    for member in members:
        if member.kind == "file":
            stem, _, extension = member.name.partition(".")
            if stem != key:
                samples.append([])
                key = stem
            samples[-1].append((extension, member.offset, member.size_bytes, member.name))
    return samples


def _check_sample(
    path: Path, descriptor: int, components: Components, manifest: Manifest, *, deep: bool
) -> Iterator[Problem]:
    picture = codec.EXTENSIONS[manifest.options.encoding]
    parts = {extension: (offset, size) for extension, offset, size, _ in components}
    key = components[0][3].partition(".")[0]
    if set(parts) != {"cls", "json", picture} or len(components) != 3:
        yield Problem(str(path), f"sample {key} has the members {', '.join(sorted(parts))}")
        return
    label = os.pread(descriptor, parts["cls"][1], parts["cls"][0])
    if not label.isdigit() or int(label) >= len(manifest.classes):
        yield Problem(str(path), f"sample {key} has label {label!r}, expected 0..{len(manifest.classes) - 1}")
    if deep:
        data = os.pread(descriptor, parts[picture][1], parts[picture][0])
        yield from _check_picture(path, key, data, manifest)


def _check_picture(path: Path, key: str, data: bytes, manifest: Manifest) -> Iterator[Problem]:
    options = manifest.options
    try:
        shape = np.shape(codec.decode_sample(data, options.encoding))
    except RejectedImageError as error:
        yield Problem(str(path), f"sample {key} does not decode: {error}")
        return
    side = options.size_px
    fits = min(shape[:2]) == side if options.geometry == "shorter" else shape[:2] == (side, side)
    if not fits:
        yield Problem(str(path), f"sample {key} is {shape[0]}x{shape[1]}, expected {options.geometry} {side}")
