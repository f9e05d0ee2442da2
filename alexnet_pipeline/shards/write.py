"""Write the shards of a job, one per method; each image is read and decoded once."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.index import Components, dali_index
from alexnet_pipeline.dataset.manifest import FIRST_VERSION, FileRecord, ShardRecord
from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels import codec, resample
from alexnet_pipeline.pixels.convert import convert_each
from alexnet_pipeline.raw.read import Reader, reading_order
from alexnet_pipeline.records import EXTENSIONS, RawImage, Reject, Remark
from alexnet_pipeline.shards import statistics, ustar
from alexnet_pipeline.shards.journal import JournalEntry, SetState
from alexnet_pipeline.shards.names import shard_prefix
from alexnet_pipeline.shards.plan import ShardJob, Target
from alexnet_pipeline.shards.statistics import Sums
from alexnet_pipeline.storage.writing import part_of, sync_folder, write_whole

# Limit on the CPU seconds of an image, after which its worker is ended. A limit on CPU time rejects nothing on a busy
# machine. Images within the caps stay far below it; a decoder in an endless loop does not.
DECODE_LIMIT_S = 30.0
# Least number of digits in `.cls`, so that DALI decodes the labels of ImageNet and of the sample alike.
LABEL_DIGITS = 4
Noted = TypeVar("Noted", Reject, Remark)
RECORD_JSON = json.JSONEncoder(separators=(",", ":"))


def prepare() -> None:
    """Compile every kernel that a job needs, or load its machine code."""
    resample.prepare()
    statistics.prepare()


def write_job(job: ShardJob, progress: Callable[[int], None]) -> list[JournalEntry]:
    """Write and commit the job's shards.

    Args:
        job: what to write.
        progress: called with the position of each image before it is processed, and with their number at the end.

    Returns:
        One journal entry per target.

    Raises:
        PipelineError: a file cannot be written, or an input changed while it was read.
    """
    prepare()
    conversions = [target.options for target in job.targets]
    first = conversions[0]  # they differ only in method, so all decode alike
    digits = max(LABEL_DIGITS, len(str(job.classes - 1)))
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(job.images))
        limit = stack.enter_context(_TimeLimit())
        writers = [stack.enter_context(_ShardWriter(job, target)) for target in job.targets]
        rejects: dict[int, Reject] = {}
        remarks: dict[int, Remark] = {}
        for step, position in enumerate(reading_order(job.images)):
            image = job.images[position]
            progress(step)
            reader.prefetch(position)
            try:
                if position in job.doomed:
                    raise RejectedImageError(job.doomed[position], "the decoder did not survive this image")
                data = reader.read(position)
                limit.renew()
                decoded = codec.decode_remarked(data, max_pixels=first.max_pixels, orientation=first.orientation)
                # An image is written by all methods or by none, so that their shards have the same keys.
                converted = convert_each(decoded.pixels, conversions)
            except RejectedImageError as error:
                rejects[position] = Reject(image.name, error.reason, error.detail)
                for writer in writers:
                    writer.skip(position)
                continue
            if decoded.remark:
                remarks[position] = Remark(image.name, decoded.remark)
            members = _SharedMembers(image, data, decoded, digits)
            for writer, (pixels, placement) in zip(writers, converted, strict=True):
                writer.add(position, image, pixels, members, upsampled=placement.upsampled)
        progress(len(job.images))
        return [writer.finish(_in_order(rejects), _in_order(remarks), job.stamp) for writer in writers]


def _in_order(by_position: dict[int, Noted]) -> tuple[Noted, ...]:
    return tuple(by_position[position] for position in sorted(by_position))


class _Member(NamedTuple):
    """A member of a sample: its extension, name and size, and its packed bytes with header and padding."""

    extension: str
    name: str
    size_bytes: int
    packed: bytes

    @classmethod
    def of(cls, key: str, extension: str, data: bytes) -> _Member:
        name = f"{key}.{extension}"
        return cls(extension, name, len(data), ustar.member(name, data))


class _SharedMembers:
    """The label and record members of an image, which are made once because all methods share them."""

    def __init__(self, image: RawImage, data: bytes, decoded: codec.Decoded, digits: int) -> None:
        self._key, self._made = image.key, dict[tuple[bool, int], tuple[_Member, _Member]]()
        self._label = _Member.of(image.key, "cls", b"%0*d" % (digits, image.label))
        self._record = {
            "height": decoded.pixels.shape[0],
            "label": image.label,
            "name": image.name,
            **({"remark": decoded.remark} if decoded.remark else {}),
            "sha256": hashlib.sha256(data).hexdigest(),
            "upsampled": False,
            "width": decoded.pixels.shape[1],
            "wnid": image.wnid,
        }

    def members(self, format_version: int, *, upsampled: bool) -> tuple[_Member, _Member]:
        """The label and record members of a sample that was enlarged, or was not."""
        if (upsampled, format_version) not in self._made:
            record = {**self._record, "upsampled": upsampled}
            if format_version == FIRST_VERSION:
                record = {name: value for name, value in record.items() if name not in {"label", "remark"}}
            member = _Member.of(self._key, "json", RECORD_JSON.encode(record).encode("ascii"))
            self._made[upsampled, format_version] = self._label, member
        return self._made[upsampled, format_version]


class _TimeLimit:
    """Ends this worker by SIGPROF if an image exceeds the CPU time limit, or the rest of it, which is at least half.

    The timer is set anew only when half of it is spent, because setting it costs a tenth of encoding an image.
    """

    def __init__(self) -> None:
        self._set_s = -math.inf

    def __enter__(self) -> _TimeLimit:
        return self

    def __exit__(self, *details: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def renew(self) -> None:
        """Give the next image at least half the limit."""
        now = time.process_time()
        if now - self._set_s > DECODE_LIMIT_S / 2:
            signal.setitimer(signal.ITIMER_PROF, DECODE_LIMIT_S)
            self._set_s = now


class _ShardWriter:
    """Writes one method's shard, sample by sample; samples that come out of order wait in memory."""

    def __init__(self, job: ShardJob, target: Target) -> None:
        self._options = options = target.options
        self._version = target.format_version
        self._index = job.index
        self._state = SetState(target.folder)
        self._name = f"{shard_prefix(options, job.split, target.format_version)}-{job.index:06d}"
        self._part = part_of(target.folder / f"{self._name}.tar")
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._size_bytes, self._first_key = 0, ""
        self._samples: list[Components] = []
        self._waiting: dict[int, list[_Member]] = {}
        self._next = 0
        side = 0 if options.geometry == "shorter" else options.size_px
        self._sums = Sums.of_shard((side, side, 3), job.classes)

    def __enter__(self) -> _ShardWriter:
        self._part.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._part.__exit__(None, None, None)

    def add(
        self, position: int, image: RawImage, pixels: NDArray[np.uint8], shared: _SharedMembers, *, upsampled: bool
    ) -> None:
        """Add the sample of a position, its members sorted by name."""
        extension = EXTENSIONS[self._options.encoding]
        encoded = _Member.of(image.key, extension, codec.encode(pixels, self._options))
        self._waiting[position] = sorted((encoded, *shared.members(self._version, upsampled=upsampled)))
        self._sums.add(pixels, image.label, upsampled=upsampled)
        self._write_next()

    def skip(self, position: int) -> None:
        """Leave a position without a sample."""
        self._waiting[position] = []
        self._write_next()

    def _write_next(self) -> None:
        while self._next in self._waiting:
            members = self._waiting.pop(self._next)
            self._next += 1
            if members:
                self._write(members)

    def _write(self, members: list[_Member]) -> None:
        self._first_key = self._first_key or members[0].name.partition(".")[0]
        components: Components = []
        at = self._size_bytes + ustar.BLOCK_BYTES
        for member in members:
            components.append((member.extension, at, member.size_bytes, member.name))
            at += len(member.packed)
        self._append(b"".join([member.packed for member in members]))
        self._samples.append(components)

    def finish(self, rejects: tuple[Reject, ...], remarks: tuple[Remark, ...], stamp: str) -> JournalEntry:
        """Commit statistics, index, tar and record in this order, so that a shard with a record has all the others."""
        entry = JournalEntry(self._commit(rejects, remarks), stamp)
        self._state.commit(entry)
        return entry

    def _commit(self, rejects: tuple[Reject, ...], remarks: tuple[Remark, ...]) -> ShardRecord:
        folder = self._state.folder
        self._state.sums.put(self._index, self._sums)
        if not self._samples:  # DALI would read a sample from an empty tar
            return ShardRecord(self._index, None, None, "", 0, "", rejects, remarks)
        self._append(ustar.end_of_archive(self._size_bytes))
        index = dali_index(self._samples)
        idx = FileRecord.of(f"{self._name}.idx", index)
        write_whole(folder / idx.name, index)
        self._part.commit()
        sync_folder(folder)
        tar = FileRecord(f"{self._name}.tar", self._size_bytes, self._sha256.hexdigest())
        md5, images = self._md5.hexdigest(), len(self._samples)
        return ShardRecord(self._index, tar, idx, md5, images, self._first_key, rejects, remarks)

    def _append(self, data: bytes) -> None:
        self._part.write(data)
        self._sha256.update(data)
        self._md5.update(data)
        self._size_bytes += len(data)
