"""The pictures that the layout tests share, and what the writers of the layouts have in common."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Words as in Kaggle's LOC_synset_mapping.txt. Two synsets are both called "crane", one "maillot" begins the other.
WORDS = {
    "n01440764": "tench, Tinca tinca",
    "n01664065": "loggerhead, loggerhead turtle, Caretta caretta",
    "n01751748": "sea snake",
    "n01768244": "trilobite",
    "n01877812": "wallaby, brush kangaroo",
    "n02012849": "crane",
    "n02102040": "English springer, English springer spaniel",
    "n02128385": "leopard, Panthera pardus",
    "n02279972": "monarch, monarch butterfly, milkweed butterfly, Danaus plexippus",
    "n02317335": "starfish, sea star",
    "n02690373": "airliner",
    "n02979186": "cassette player",
    "n03000684": "chain saw, chainsaw",
    "n03126707": "crane",
    "n03394916": "French horn, horn",
    "n03445777": "golf ball",
    "n03452741": "grand piano, grand",
    "n03710637": "maillot",
    "n03710721": "maillot, tank suit",
    "n03888257": "parachute, chute",
    "n04285008": "sports car, sport car",
    "n04612504": "yawl",
}
# Twelve classes, because folders 0..11 sorted as text are in another order than sorted as numbers.
GENERATED = (
    "n01440764",
    "n01751748",
    "n02012849",
    "n02102040",
    "n02979186",
    "n03000684",
    "n03126707",
    "n03394916",
    "n03445777",
    "n03710637",
    "n03710721",
    "n03888257",
)
# Classes of Caltech-101 and the ImageNet synset nearest to each.
CALTECH = {
    "n01664065": "hawksbill",
    "n01768244": "trilobite",
    "n01877812": "kangaroo",
    "n02128385": "Leopards",
    "n02279972": "butterfly",
    "n02317335": "starfish",
    "n02690373": "airplanes",
    "n03452741": "grand_piano",
    "n04285008": "car_side",
    "n04612504": "ketch",
}
VAL_PER_CLASS, TEST_IMAGES = 2, 4
REAL_TRAIN_PER_CLASS, REAL_VAL_PER_CLASS, REAL_TEST_IMAGES = 16, 5, 30
# The first bytes of the files that macOS and Windows leave behind.
DS_STORE = b"\0\0\0\1Bud1".ljust(64, b"\0")
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        ".ljust(82, b"\0")
THUMBS_DB = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(64, b"\0")
ZIP_DATE = (2019, 12, 11, 0, 0, 0)

# (path inside an archive, bytes); a directory has none.
Member = tuple[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of the set.

    Attributes:
        split: `train`, `val` or `test`.
        wnid: its class, or an empty string where that is unknown.
        file: its file name in ImageNet.
        data: its bytes.
    """

    split: str
    wnid: str
    file: str
    data: bytes


def pictures(count: int = 64, year: int = 2012) -> tuple[Picture, ...]:
    """Generate JPEGs of twelve classes: 24 for val, 4 for test, the rest (at least 3 a class) for train.

    The test pictures have a class only in 2010, whose test labels were published.
    """
    classes = len(GENERATED)
    train_count = count - VAL_PER_CLASS * classes - TEST_IMAGES
    assert train_count >= 3 * classes, "at least three train pictures in each class"
    train = [(GENERATED[k % classes], (7919 * k + 18) % 20000) for k in range(train_count)]
    val = [GENERATED[(5 * k + 3) % classes] for k in range(VAL_PER_CLASS * classes)]
    test = [GENERATED[(7 * k + 2) % classes] if year == 2010 else "" for k in range(TEST_IMAGES)]
    return _named(train, val, test, map(_draw, range(count)), year)


def real_pictures(folder: Path, year: int = 2012) -> tuple[Picture, ...]:
    """Take 210 photographs of ten Caltech-101 classes, and 30 of ImageNet for test, out of the folder of real data."""
    train, val, files = [], [], []
    for k in range(REAL_TRAIN_PER_CLASS * len(CALTECH)):
        train.append((sorted(CALTECH)[k % len(CALTECH)], (7919 * k + 18) % 20000))
        files.append(_caltech(folder, "train", train[-1][0])[k // len(CALTECH)])
    for k in range(REAL_VAL_PER_CLASS * len(CALTECH)):
        val.append(sorted(CALTECH)[(3 * k + 4) % len(CALTECH)])
        files.append(_caltech(folder, "val", val[-1])[k // len(CALTECH)])
    files += sorted((folder / "imagenet-sample").glob("n*/*.JPEG"))[:REAL_TEST_IMAGES]
    test = [sorted(CALTECH)[k % len(CALTECH)] if year == 2010 else "" for k in range(REAL_TEST_IMAGES)]
    return _named(train, val, test, (path.read_bytes() for path in files), year)


def _caltech(folder: Path, split: str, wnid: str) -> list[Path]:
    return sorted((folder / "caltech-20" / split / CALTECH[wnid]).glob("*.jpg"))


def _named(
    train: Sequence[tuple[str, int]], val: Sequence[str], test: Sequence[str], data: Iterator[bytes], year: int
) -> tuple[Picture, ...]:
    made = [Picture("train", wnid, f"{wnid}_{number}.JPEG", next(data)) for wnid, number in train]
    for split, wnids in (("val", val), ("test", test)):
        for number, wnid in enumerate(wnids, 1):
            made.append(Picture(split, wnid, f"ILSVRC{year}_{split}_{number:08d}.JPEG", next(data)))
    return tuple(made)


def _draw(seed: int) -> bytes:
    """A JPEG of coloured blocks and noise, 64 to 200 pixels a side; each seventh is greyscale."""
    import numpy as np
    import simplejpeg

    random = np.random.default_rng(seed)
    height, width = random.integers(64, 201, 2)
    blocks = np.kron(random.integers(16, 240, (5, 5, 3)), np.ones((40, 40, 1), int))[:height, :width]
    image = (blocks + random.integers(-12, 13, blocks.shape)).astype(np.uint8)
    if seed % 7 == 6:
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image[..., :1]), 90, "GRAY", "Gray"))
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), 90))


def banner() -> bytes:
    """A wrong picture: plain grey, as the "image not available" banners that ILSVRC2010's patch replaces."""
    import numpy as np
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg(np.full((48, 64, 3), 128, np.uint8), 90))


def size_px(data: bytes) -> tuple[int, int]:
    """Height and width of a JPEG."""
    import simplejpeg

    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    return height, width


def of_split(chosen: Sequence[Picture], split: str) -> list[Picture]:
    """The pictures of a split, in their order."""
    return [picture for picture in chosen if picture.split == split]


def wnids_of(chosen: Sequence[Picture]) -> list[str]:
    """The classes of the pictures, sorted."""
    return sorted({picture.wnid for picture in chosen if picture.wnid})


def unsorted(wnids: Sequence[str]) -> list[str]:
    """The classes in an order that is not the sorted one: every second, then the others."""
    return [*wnids[1::2], *wnids[::2]]


def words(wnid: str) -> str:
    """The words of a synset."""
    return WORDS.get(wnid, f"words of {wnid}")


def stem(picture: Picture) -> str:
    """The file name without its suffix."""
    return picture.file.rpartition(".")[0]


def put(path: Path, data: bytes | str | None) -> None:
    """Write a file, or make a directory, with the directories that it needs."""
    if data is None:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def put_all(root: Path, members: Iterable[Member]) -> None:
    """Write the members as files below a folder."""
    for name, data in members:
        put(root / name, data)


def put_classes(root: Path, chosen: Iterable[Picture]) -> None:
    """Write each picture into the folder of its class."""
    for picture in chosen:
        put(root / picture.wnid / picture.file, picture.data)


def put_flat(root: Path, chosen: Iterable[Picture]) -> None:
    """Write the pictures into one folder."""
    for picture in chosen:
        put(root / picture.file, picture.data)


def put_clutter(root: Path, chosen: Sequence[Picture]) -> None:
    """Leave beside class folders what macOS, Windows and ext4 leave there."""
    first = chosen[0]
    put(root / ".DS_Store", DS_STORE)
    put(root / first.wnid / ".DS_Store", DS_STORE)
    put(root / first.wnid / f"._{first.file}", APPLE_DOUBLE)
    put(root / first.wnid / "Thumbs.db", THUMBS_DB)
    put(root / "lost+found", None)


def tar_of(members: Iterable[Member]) -> bytes:
    """A USTAR archive of the members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            if data is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data or b""))
    return buffer.getvalue()


def tar_gz_of(members: Iterable[Member]) -> bytes:
    """The same, compressed with gzip."""
    return gzip.compress(tar_of(members), mtime=0)


def tar_of_class(chosen: Sequence[Picture], wnid: str) -> bytes:
    """A tar of the pictures of one class."""
    return tar_of((picture.file, picture.data) for picture in chosen if picture.wnid == wnid)


def zip_of(members: Iterable[Member], deflated: bool) -> bytes:
    """A zip archive of the members, stored or deflated."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            entry = zipfile.ZipInfo(name if data is not None else f"{name}/", ZIP_DATE)
            entry.external_attr = (0o100644 if data is not None else 0o40755) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if deflated and data is not None else zipfile.ZIP_STORED
            archive.writestr(entry, data or b"")
    return buffer.getvalue()


def members_below(root: Path, top: str) -> list[Member]:
    """What lies below a folder, sorted, as members below a top-level folder."""
    found: list[Member] = [(top, None)]
    for path in sorted(root.rglob("*")):
        name = f"{top}/{path.relative_to(root).as_posix()}"
        found.append((name, None if path.is_dir() else path.read_bytes()))
    return found
