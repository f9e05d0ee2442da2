"""One job in, one committed shard per method out: each picture is read and decoded once."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert_each, needed
from alexnet_pipeline.records import (
    FileRecord,
    JournalEntry,
    MethodOptions,
    RawImage,
    Reason,
    Reject,
    ShardRecord,
)
from alexnet_pipeline.shards import ustar
from alexnet_pipeline.shards.journal import DatasetState
from alexnet_pipeline.dataset.index import Components, dali_index
from alexnet_pipeline.shards.plan import source_stamp
from alexnet_pipeline.shards.statistics import Sums
from alexnet_pipeline.files import PartFile, sync_folder, write_whole

# CPU seconds after which a worker ends that has not come to its next picture; CPU, so that a loaded machine rejects
# nothing. The caps admit nothing near it, a decoder that loops does.
DECODE_LIMIT_S = 30.0
# `.cls` has at least so many digits, so that DALI decodes ImageNet's and the sample's labels alike.
LABEL_DIGITS = 4
RECORD_JSON = json.JSONEncoder(separators=(",", ":"))
# Pictures whose bytes the system is asked for ahead of time.
READ_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Target:
    """Where one method's shard of a job goes.

    Attributes:
        folder: the data set's.
        options: that decide its bytes.
    """

    folder: Path
    options: MethodOptions


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard of one split, for every method that lacks it.

    Attributes:
        split: `train`, `val` or `test`.
        index: the shard's number.
        images: planned, in order.
        targets: one per method.
        classes: number of classes of the set.
        doomed: position of a picture that killed workers -> the reason to reject it with.
    """

    split: str
    index: int
    images: tuple[RawImage, ...]
    targets: tuple[Target, ...]
    classes: int
    doomed: dict[int, Reason] = field(default_factory=dict)


def write_job(job: ShardJob, progress: Callable[[int], None]) -> list[JournalEntry]:
    """Write and commit the job's shards.

    Args:
        job: what to write.
        progress: told the position of each picture before it is worked on, and their number at the end.

    Returns:
        One journal entry per target.

    Raises:
        PipelineError: a file cannot be written, or an input changed while it was read.
    """
    codec.prepare()
    wanted = [target.options for target in job.targets]
    needed(1, 1, wanted)  # compiles, too, what decoding will ask
    stamp = source_stamp(job.images)
    digits = max(LABEL_DIGITS, len(str(job.classes - 1)))
    with ExitStack() as stack:
        sources = stack.enter_context(_Sources(job.images))
        watch = stack.enter_context(_Watch())
        writers = [stack.enter_context(_ShardWriter(job, target)) for target in job.targets]
        rejects: list[Reject] = []
        for position, image in enumerate(job.images):
            progress(position)
            sources.ask(position + READ_AHEAD)
            try:
                if position in job.doomed:
                    raise RejectedImageError(job.doomed[position], "the decoder did not survive this picture")
                data = sources.read(position)
                watch.begin()
                decoded = codec.decode(data, max_pixels=wanted[0].max_pixels, needed=partial(needed, wanted=wanted))
                watch.decoded()
                # All or none, so that methods keep the same keys in the same shards.
                converted = convert_each(decoded, wanted)
            except RejectedImageError as error:
                rejects.append(Reject(image.name, error.reason, error.detail))
                continue
            described = _Described(image, data, decoded.shape, digits)
            for writer, (pixels, placement) in zip(writers, converted, strict=True):
                writer.add(image, pixels, described, upsampled=placement.upsampled)
            watch.finished()
        progress(len(job.images))
        return [JournalEntry(writer.finish(tuple(rejects)), stamp) for writer in writers]


class _Member(NamedTuple):
    """A file of a sample: its extension and name, how long it is, and its bytes as they stand in the tar."""

    extension: str
    name: str
    size_bytes: int
    packed: bytes

    @classmethod
    def of(cls, key: str, extension: str, data: bytes) -> _Member:
        name = f"{key}.{extension}"
        return cls(extension, name, len(data), ustar.member(name, data))


class _Described:
    """The members that every method's sample has of one picture, made once."""

    def __init__(self, image: RawImage, data: bytes, shape: tuple[int, ...], digits: int) -> None:
        self._key, self._made = image.key, dict[bool, tuple[_Member, _Member]]()
        self._label = _Member.of(image.key, "cls", b"%0*d" % (digits, image.label))
        self._record = {
            "height": shape[0],
            "name": image.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "upsampled": False,
            "width": shape[1],
            "wnid": image.wnid,
        }

    def members(self, *, upsampled: bool) -> tuple[_Member, _Member]:
        """Label and record of a sample that was enlarged or not."""
        if upsampled not in self._made:
            record = RECORD_JSON.encode({**self._record, "upsampled": upsampled}).encode("ascii")
            self._made[upsampled] = self._label, _Member.of(self._key, "json", record)
        return self._made[upsampled]


class _Watch:
    """Lets SIGPROF end this worker where decoding takes no end: after the limit at most, half of it at least.

    The timer runs on over many pictures, because setting it costs as much as a tenth of encoding one; but not over the
    first, behind whose decoding code may be compiled.
    """

    def __init__(self) -> None:
        self._set_s = -math.inf
        self._compiled = False

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *details: object) -> None:
        self._stop()

    def begin(self) -> None:
        """A picture is about to be decoded."""
        now = time.process_time()
        if now - self._set_s > DECODE_LIMIT_S / 2:
            signal.setitimer(signal.ITIMER_PROF, DECODE_LIMIT_S)
            self._set_s = now

    def decoded(self) -> None:
        """It was."""
        if not self._compiled:
            self._stop()

    def finished(self) -> None:
        """All that a picture needs has been done once."""
        self._compiled = True

    def _stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._set_s = -math.inf


class _Sources:
    """The job's inputs, each opened once: when the system is asked for its bytes ahead of time."""

    def __init__(self, images: tuple[RawImage, ...]) -> None:
        self._images = images
        self._opened: dict[int, int] = {}

    def __enter__(self) -> _Sources:
        return self

    def __exit__(self, *details: object) -> None:
        for descriptor in self._opened.values():
            os.close(descriptor)

    def ask(self, position: int) -> None:
        """Ask for a picture's bytes; what goes wrong here goes wrong again in `read`."""
        if position >= len(self._images):
            return
        image = self._images[position]
        try:
            descriptor = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        self._opened[position] = descriptor
        os.posix_fadvise(descriptor, image.offset, image.size_bytes, os.POSIX_FADV_WILLNEED)

    def read(self, position: int) -> bytes:
        """A picture's bytes.

        Raises:
            RejectedImageError: they cannot be read.
            PipelineError: the file has changed.
        """
        image = self._images[position]
        try:
            descriptor = self._opened.pop(position, -1)
            if descriptor < 0:
                descriptor = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, image.size_bytes, image.offset)
                changed = os.fstat(descriptor).st_mtime_ns != image.modified_ns
            finally:
                os.close(descriptor)
        except OSError as error:
            raise RejectedImageError(Reason.UNREADABLE, error.strerror or str(error)) from error
        if changed or len(data) != image.size_bytes:
            raise PipelineError(f"{image.path} changed while it was read; run the same command again to resume")
        return data


class _ShardWriter:
    """One method's shard while it grows."""

    def __init__(self, job: ShardJob, target: Target) -> None:
        self._options = options = target.options
        self._index = job.index
        self._state = DatasetState(target.folder)
        self._name = f"{options.name}-{job.split}-{job.index:06d}"
        self._part = PartFile(target.folder / f"{self._name}.tar")
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._size_bytes, self._first_key = 0, ""
        self._samples: list[Components] = []
        side = 0 if options.geometry == "shorter" else options.size_px
        self._sums = Sums.of_shard((side, side, 3), job.classes)

    def __enter__(self) -> _ShardWriter:
        self._part.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._part.__exit__(None, None, None)

    def add(self, image: RawImage, pixels: NDArray[np.uint8], described: _Described, *, upsampled: bool) -> None:
        """Append one sample, its members sorted by name."""
        options = self._options
        encoded = codec.encode(
            pixels, encoding=options.encoding, quality=options.quality, subsampling=options.subsampling
        )
        picture = _Member.of(image.key, codec.EXTENSIONS[options.encoding], encoded)
        members = sorted((picture, *described.members(upsampled=upsampled)))
        self._first_key = self._first_key or image.key
        components: Components = []
        at = self._size_bytes + ustar.BLOCK_BYTES
        for extension, name, size_bytes, packed in members:
            components.append((extension, at, size_bytes, name))
            at += len(packed)
        self._append(b"".join([member.packed for member in members]))
        self._samples.append(components)
        self._sums.add(pixels, image.label, upsampled=upsampled)

    def finish(self, rejects: tuple[Reject, ...]) -> ShardRecord:
        """Commit statistics, index and tar, in this order: a tar that has its name has all that belongs to it."""
        folder = self._state.folder
        write_whole(self._state.sums_path(self._index), self._sums.to_bytes())
        if not self._samples:  # an empty tar would give DALI a phantom sample
            return ShardRecord(self._index, None, None, "", 0, "", rejects)
        self._append(ustar.end_of_archive(self._size_bytes))
        index = dali_index(self._samples)
        idx = FileRecord(f"{self._name}.idx", len(index), hashlib.sha256(index).hexdigest())
        write_whole(folder / idx.name, index)
        self._part.commit()
        sync_folder(folder)
        tar = FileRecord(f"{self._name}.tar", self._size_bytes, self._sha256.hexdigest())
        return ShardRecord(self._index, tar, idx, self._md5.hexdigest(), len(self._samples), self._first_key, rejects)

    def _append(self, data: bytes) -> None:
        self._part.write(data)
        self._sha256.update(data)
        self._md5.update(data)
        self._size_bytes += len(data)
