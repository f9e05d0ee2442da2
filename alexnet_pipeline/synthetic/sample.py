"""Write the embedded sample: a generated image set like ImageNet, for users who do not have ImageNet.

Sizes and aspect ratios vary as ImageNet's do. One file is a PNG named .JPEG, one is rotated by its EXIF tag, and one
is truncated, so that users see how the pipeline treats them.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.options import MAX_SEED, make, option, takes_options
from alexnet_pipeline.records import Conversion

Layout = Literal["folders", "ilsvrc"]

# Fabricated ids: WordNet has no n9000000x.
CLASSES = (
    ("n90000001", "disc"),
    ("n90000002", "ring"),
    ("n90000003", "horizontal stripes"),
    ("n90000004", "vertical stripes"),
    ("n90000005", "diagonal stripes"),
    ("n90000006", "checker"),
    ("n90000007", "zone plate"),
    ("n90000008", "triangle"),
    ("n90000009", "cross"),
    ("n90000010", "dots"),
)
QUALITY = 90
# Indexes in train of the three special files.
PNG_INDEX, TURNED_INDEX, BROKEN_INDEX = 3, 5, 7
# EXIF orientation of the rotated image, which a turn to the right by 90 degrees sets upright.
ORIENTATION = 6
# MAT 5 files begin with 116 bytes of text, in which SciPy writes the date.
MAT_TEXT = b"MATLAB 5.0 MAT-file, alexnet-pipeline sample".ljust(116)


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """The options that determine the bytes of the sample."""

    layout: Layout = option("folders", "Layout of the files: class folders, or the three original files of ILSVRC2012.")
    train_images: int = option(
        600, "Number of training images, one of them truncated.", least=10, most=1_000_000, name="train_images"
    )
    val_images: int = option(100, "Number of validation images.", least=10, most=1_000_000, name="val_images")
    seed: int = option(0, "Seed for the generated images.", least=0, most=MAX_SEED)


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """The sample that was written.

    Attributes:
        directory: its folder.
        layout: `folders` or `ilsvrc`.
        train_images: number of files of the train split, including the truncated one.
        val_images: number of files of the val split.
        size_bytes: size of all images.
    """

    directory: str
    layout: str
    train_images: int
    val_images: int
    size_bytes: int


@takes_options(SampleOptions)
def sample(directory: str | os.PathLike[str], **options: object) -> SampleSummary:
    """Write the raw images of the embedded sample; the same options give the same bytes.

    Args:
        directory: folder for the images, new or empty.
        **options: see below.

    Raises:
        RefusedError: the directory is not empty.
        PipelineError: the sample cannot be written.
    """
    chosen, root = make(SampleOptions, options), Path(directory)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise RefusedError(f"{root} is not an empty folder; choose a new one")
    splits = {
        "train": list(_images("train", chosen.train_images, chosen.seed)),
        "val": list(_images("val", chosen.val_images, chosen.seed)),
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        (_write_folders if chosen.layout == "folders" else _write_ilsvrc)(root, splits)
    except OSError as error:
        raise PipelineError(f"cannot write {root}: {error.strerror}; choose another folder") from error
    size = sum(len(data) for images in splits.values() for _, _, data in images)
    return SampleSummary(str(root), chosen.layout, chosen.train_images, chosen.val_images, size)


# (label, file name, bytes)
Image = tuple[int, str, bytes]


def _images(split: str, count: int, seed: int) -> Iterator[Image]:
    for index in range(count):
        label = index % len(CLASSES)
        name = f"{CLASSES[label][0]}_{index}.JPEG" if split == "train" else f"ILSVRC2012_val_{index + 1:08d}.JPEG"
        yield label, name, _encode(label, index, split, seed)


def _encode(label: int, index: int, split: str, seed: int) -> bytes:
    # Imported here, because the options above are also needed where nothing is drawn.
    import numpy as np  # noqa: PLC0415
    import simplejpeg  # noqa: PLC0415

    from alexnet_pipeline.pixels.codec import encode, encode_png  # noqa: PLC0415
    from alexnet_pipeline.synthetic.patterns import render  # noqa: PLC0415

    image, conversion = render(label, index, split, seed), Conversion(quality=QUALITY)
    if image.shape[2] == 1:
        return bytes(simplejpeg.encode_jpeg(image, QUALITY, "GRAY", "Gray"))
    if split == "train" and index == PNG_INDEX:
        return encode_png(image)
    if split == "train" and index == TURNED_INDEX:
        data = encode(np.ascontiguousarray(np.rot90(image)), conversion)
        return data[:2] + _exif(ORIENTATION) + data[2:]
    data = encode(image, conversion)
    return data[: len(data) // 2] if split == "train" and index == BROKEN_INDEX else data


def _exif(orientation: int) -> bytes:
    """An APP1 segment with a big-endian TIFF structure of one entry: the orientation, a SHORT."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _write_folders(root: Path, splits: dict[str, list[Image]]) -> None:
    for split, images in splits.items():
        for wnid, _ in CLASSES:
            (root / split / wnid).mkdir(parents=True, exist_ok=True)
        for label, name, data in images:
            (root / split / CLASSES[label][0] / name).write_bytes(data)


def _write_ilsvrc(root: Path, splits: dict[str, list[Image]]) -> None:
    inner = []
    for label, (wnid, _) in enumerate(CLASSES):
        members = [(name, data) for number, name, data in splits["train"] if number == label]
        inner.append((f"{wnid}.tar", _tar(members)))
    (root / "ILSVRC2012_img_train.tar").write_bytes(_tar(inner))
    val = [(name, data) for _, name, data in splits["val"]]
    (root / "ILSVRC2012_img_val.tar").write_bytes(_tar(val))
    devkit = "ILSVRC2012_devkit_t12/data/"
    truth = "".join(f"{_devkit_id(label)}\n" for label, _, _ in splits["val"]).encode("ascii")
    files = [
        (f"{devkit}meta.mat", _meta()),
        (f"{devkit}ILSVRC2012_validation_ground_truth.txt", truth),
    ]
    (root / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(gzip.compress(_tar(files), mtime=0))


def _devkit_id(label: int) -> int:
    """ILSVRC2012_ID of a label; the IDs run against the sorted order, so that the two label orders differ."""
    return len(CLASSES) - label


def _tar(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _meta() -> bytes:
    """Make `meta.mat` like the devkit's: a struct array `synsets`, the leaves first, then one inner node."""
    import numpy as np  # noqa: PLC0415
    from scipy.io import savemat  # noqa: PLC0415

    names = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height")
    synsets = np.zeros((len(CLASSES) + 1, 1), dtype=[(name, object) for name in (*names, "num_train_images")])
    ordered = sorted(range(len(CLASSES)), key=_devkit_id)
    for row, label in enumerate(ordered):
        wnid, words = CLASSES[label]
        synsets[row, 0] = (float(row + 1), wnid, words, words, 0.0, np.zeros((1, 0)), 0.0, 0.0)
    children = np.arange(1.0, len(CLASSES) + 1)[None]
    root = len(CLASSES) + 1.0
    synsets[-1, 0] = (root, "n90000000", "pattern", "pattern", float(len(CLASSES)), children, 1.0, 0.0)
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": synsets})
    return MAT_TEXT + buffer.getvalue()[len(MAT_TEXT) :]
