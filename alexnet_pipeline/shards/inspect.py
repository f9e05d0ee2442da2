"""Read the first samples of a data set or of any WebDataset tar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.choose import choose_set
from alexnet_pipeline.dataset.open import SampleRecord, ShardSet, open_shards
from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.files import make_folder, write_whole
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.raw.tarscan import scan_tar
from alexnet_pipeline.records import EXTENSIONS, Encoding, from_json
from alexnet_pipeline.shards.contact_sheet import Picture, contact_sheet
from alexnet_pipeline.shards.options import InspectOptions
from alexnet_pipeline.storage.place import Location, StrPath, locate
from alexnet_pipeline.storage.reading import OpenFile, opened
from alexnet_pipeline.text import counted, first_words, html_table

# Largest member of a tar, and longest label, that are read.
MAX_MEMBER_BYTES = 256 << 20
MAX_LABEL_DIGITS = 9


@dataclass(frozen=True, slots=True, repr=False)
class SampleView:
    """One decoded sample.

    Attributes:
        key: key of the sample.
        label: label as a number.
        words: words of its class, like `tench, Tinca tinca`; empty if they are unknown, as they are in a lone tar.
        record: the `.json` member; None if it is missing or not of this format.
        image: HWC uint8, RGB.
        size_bytes: size of the encoded image.
    """

    key: str
    label: int
    words: str
    record: SampleRecord | None
    image: NDArray[np.uint8]
    size_bytes: int

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"<{self.key}: label {self.label}, {width}x{height}, {self.size_bytes:,} bytes>"


class SampleViews(tuple[SampleView, ...]):
    """Decoded samples, shown as a table in a notebook.

    Attributes:
        title: what they are, in words.
    """

    title: str = ""

    def _repr_html_(self) -> str:
        rows = [
            (each.key, each.label, each.words, each.record.name if each.record else "", f"{each.size_bytes:,}")
            for each in self
        ]
        return html_table(("key", "label", "words", "source", "bytes"), rows)


@takes_options(InspectOptions)
def inspect(path: StrPath, **options: object) -> SampleViews:
    """Read the first samples of a data set, or of any WebDataset tar.

    Args:
        path: folder of a data set, or one above it that `shard` wrote, of which the training set is taken; or a tar.
            On this machine or in an object store.
        **options: see below.

    Raises:
        RefusedError: the path is neither.
        PipelineError: a sample lacks a member or does not decode.
    """
    chosen, where = make(InspectOptions, options), locate(path)
    is_tar = where.is_file() if isinstance(where, Path) else where.name.endswith(".tar")
    shards = None if is_tar else open_shards(choose_set(where, "train", "val"))
    samples = _of_set(shards) if shards else _of_tar(where)
    try:
        views = SampleViews(islice(samples, chosen.limit))
    except RejectedImageError as error:
        raise PipelineError(f"{where}: a sample does not decode: {error}; run `verify`") from error
    finally:
        samples.close()  # type: ignore[attr-defined] # both are generators; closing one closes its tar
    views.title = _title(shards, where, len(views))
    if chosen.contact_sheet:
        make_folder(chosen.contact_sheet.parent)
        write_whole(chosen.contact_sheet, codec.encode_png(_sheet(views)))
    return views


def _title(shards: ShardSet | None, where: Location, count: int) -> str:
    """What so many samples of a set, or of a tar, are."""
    if shards is None:
        return f"{where.name}: {counted(count, 'sample')}"
    options, total = shards.manifest.options, counted(len(shards), "sample")
    part = total if count == len(shards) else f"the first {count:,} of {total}"
    return f"{options.name} {shards.manifest.split}, {options.method}, {options.size_px} px: {part}"


def _sheet(views: SampleViews) -> NDArray[np.uint8]:
    pictures = [Picture(view.image, f"{view.label} {first_words(view.words)}", view.key) for view in views]
    return contact_sheet(pictures, views.title)


def _of_set(shards: ShardSet) -> Iterator[SampleView]:
    for position, key in enumerate(shards.keys()):
        data = shards.read_image(position)
        image, label = codec.decode_sample(data, shards.manifest.options.encoding), shards.read_label(position)
        yield SampleView(key, label, shards.manifest.words(label), shards.read_record(position), image, len(data))


def _of_tar(tar: Location) -> Iterator[SampleView]:
    # Imported here: webdataset imports torch where that is installed, which nothing else here needs.
    from webdataset.tariterators import group_by_keys  # noqa: PLC0415

    try:
        with opened(tar) as file:
            for sample in group_by_keys(_members(tar, file)):
                yield _view(tar, sample)
    except OSError as error:
        raise PipelineError(f"cannot read {tar}: {error.strerror}") from error
    except ValueError as error:  # two members of one name
        raise PipelineError(f"{tar}: {' '.join(str(error).split())}") from error


def _members(tar: Location, file: OpenFile) -> Iterator[dict[str, Any]]:
    """The files of a tar, as webdataset groups them into samples."""
    for member in scan_tar(file.pread, 0, file.size_bytes):
        if member.kind == "damage":
            raise PipelineError(f"{tar} is not a sound, uncompressed tar: {member.name}")
        if member.kind == "file":
            if member.size_bytes > MAX_MEMBER_BYTES:
                raise PipelineError(f"{tar}: {member.name} has {member.size_bytes:,} bytes, more than any sample")
            data = file.pread(member.size_bytes, member.offset)
            yield {"fname": member.name, "data": data, "__url__": str(tar)}


def _view(tar: Location, sample: dict[str, Any]) -> SampleView:
    encodings: dict[str, Encoding] = {extension: name for name, extension in EXTENSIONS.items()}
    extension = next((extension for extension in encodings if extension in sample), None)
    label = sample.get("cls", b"")
    if extension is None or not label.isdigit() or len(label) > MAX_LABEL_DIGITS:
        raise PipelineError(f"{tar}: sample {sample.get('__key__')} lacks an image or a label")
    try:
        record = from_json(sample.get("json", b""), SampleRecord)
    except ValueError:
        record = None
    image = codec.decode_sample(sample[extension], encodings[extension])
    return SampleView(sample["__key__"], int(label), "", record, image, len(sample[extension]))
