"""Read the first samples of a data set or of any WebDataset tar, and draw a contact sheet of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.dataset.open import SampleRecord, open_shards
from alexnet_pipeline.errors import PipelineError, RejectedImageError
from alexnet_pipeline.files import make_folder, write_whole
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.raw.tarscan import scan_tar
from alexnet_pipeline.records import EXTENSIONS, Encoding, from_json
from alexnet_pipeline.shards.options import InspectOptions
from alexnet_pipeline.storage.place import Location, StrPath, locate
from alexnet_pipeline.storage.reading import OpenFile, opened
from alexnet_pipeline.text import html_table

# A thumbnail's side, its caption's height and the gap between two, in pixels.
THUMBNAIL_PX = 128
CAPTION_PX = 14
GAP_PX = 4
COLUMNS = 8
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.32
BACKGROUND = 255
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
    """Decoded samples, shown as a table in a notebook."""

    __slots__ = ()

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
        path: folder of a data set, or a tar, on this machine or in an object store.
        **options: see below.

    Raises:
        RefusedError: the path is neither.
        PipelineError: a sample lacks a member or does not decode.
    """
    chosen, where = make(InspectOptions, options), locate(path)
    is_tar = where.is_file() if isinstance(where, Path) else where.name.endswith(".tar")
    samples = _of_tar(where) if is_tar else _of_set(where)
    try:
        views = SampleViews(islice(samples, chosen.limit))
    except RejectedImageError as error:
        raise PipelineError(f"{where}: a sample does not decode: {error}; run `verify`") from error
    finally:
        samples.close()  # type: ignore[attr-defined] # both are generators; closing one closes its tar
    if chosen.contact_sheet:
        make_folder(chosen.contact_sheet.parent)
        write_whole(chosen.contact_sheet, codec.encode_png(contact_sheet(views)))
    return views


def contact_sheet(samples: SampleViews) -> NDArray[np.uint8]:
    """Draw thumbnails with label and the first of the class's words, or the key; HWC uint8, RGB."""
    rows = -(-len(samples) // COLUMNS)
    cell = (THUMBNAIL_PX + CAPTION_PX + GAP_PX, THUMBNAIL_PX + GAP_PX)
    sheet = np.full((rows * cell[0] + GAP_PX, COLUMNS * cell[1] + GAP_PX, 3), BACKGROUND, np.uint8)
    for number, sample in enumerate(samples):
        top, left = GAP_PX + number // COLUMNS * cell[0], GAP_PX + number % COLUMNS * cell[1]
        small = _thumbnail(sample.image)
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
        at = (left, top + THUMBNAIL_PX + CAPTION_PX - 4)
        cv2.putText(sheet, _caption(sample), at, FONT, FONT_SCALE, (40, 40, 40), 1, cv2.LINE_AA)
    return sheet


def _of_set(folder: Location) -> Iterator[SampleView]:
    shards = open_shards(folder)
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


def _caption(sample: SampleView) -> str:
    """Label and first words, or the key, cut off to the width of a thumbnail."""
    text = f"{sample.label} {sample.words.partition(',')[0] or sample.key}"
    while cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0] > THUMBNAIL_PX:
        text = text[:-1]
    return text


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = THUMBNAIL_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
