"""Shards in, what a reader sees of them out: by webdataset's own reader, so that it is what others will see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.records import Encoding
from alexnet_pipeline.files import naming, write_whole

# A thumbnail's side and the gap between two, in pixels.
THUMBNAIL_PX = 128
GAP_PX = 4
CAPTION_PX = 14
COLUMNS = 8
BACKGROUND = 255


@dataclass(frozen=True, slots=True)
class SampleView:
    """One sample as a reader gets it.

    Attributes:
        key: of the sample.
        label: as a number.
        record: the `.json` member.
        image: HWC uint8, RGB.
        size_bytes: of the encoded picture.
    """

    key: str
    label: int
    record: dict[str, Any]
    image: NDArray[np.uint8]
    size_bytes: int


def read_samples(path: Path, limit: int) -> Iterator[SampleView]:
    """The first samples of a tar, or of a folder's tars in order.

    Raises:
        RefusedError: there is no tar.
        PipelineError: a sample lacks a member or does not decode.
    """
    # Imported here: webdataset pulls torch where that is installed, which nothing else here needs.
    from webdataset.tariterators import group_by_keys, tar_file_iterator  # noqa: PLC0415

    tars = [path] if path.is_file() else sorted(path.glob("*.tar"))
    if not tars:
        raise RefusedError(f"{path} holds no tar; expected a split's folder, like shards/lanczos/train, or one tar")
    for tar in tars:
        with tar.open("rb") as stream:  # opened here, because webdataset leaves a file open when one stops early
            members = ({**member, "__url__": str(tar)} for member in tar_file_iterator(stream))
            for sample in group_by_keys(members):
                if not limit:
                    return
                limit -= 1
                yield _view(sample)


def write_contact_sheet(samples: list[SampleView], path: Path) -> None:
    """Write thumbnails with key and label as a PNG."""
    rows = -(-len(samples) // COLUMNS)
    cell = (THUMBNAIL_PX + CAPTION_PX + GAP_PX, THUMBNAIL_PX + GAP_PX)
    sheet = np.full((rows * cell[0] + GAP_PX, COLUMNS * cell[1] + GAP_PX, 3), BACKGROUND, np.uint8)
    for number, sample in enumerate(samples):
        top, left = GAP_PX + number // COLUMNS * cell[0], GAP_PX + number % COLUMNS * cell[1]
        small = _thumbnail(sample.image)
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
        caption = f"{sample.label} {sample.key}"[:22]
        at = (left, top + THUMBNAIL_PX + CAPTION_PX - 4)
        cv2.putText(sheet, caption, at, cv2.FONT_HERSHEY_SIMPLEX, 0.32, (40, 40, 40), 1, cv2.LINE_AA)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, codec.encode(sheet, encoding="png", quality=0, subsampling="444"))


def _view(sample: dict[str, Any]) -> SampleView:
    encodings: dict[str, Encoding] = {extension: name for name, extension in codec.EXTENSIONS.items()}
    found = next((extension for extension in encodings if extension in sample), None)
    if found is None or "cls" not in sample:
        raise PipelineError(f"sample {sample.get('__key__')} lacks a picture or a label; run `verify` on its shards")
    data = sample[found]
    return SampleView(
        key=sample["__key__"],
        label=int(sample["cls"]),
        record=json.loads(sample.get("json", b"{}")),
        image=codec.decode_sample(data, encodings[found]),
        size_bytes=len(data),
    )


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = THUMBNAIL_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
