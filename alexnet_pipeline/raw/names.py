"""What names say: which split a folder is, which class a file belongs to, and which files are never images."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

# Names of split folders, in any case. Those of Hugging Face, fastai and TensorFlow Datasets are among them.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# Words that hold a split's name together with another word.
_COMPOUND = re.compile(r"(train|training|val|valid|validation|test|testing)(?:set|data|ing)?")
# Words of folder names that say what a folder holds rather than which class.
PARTS = frozenset(
    [
        "annotations",
        "data",
        "dataset",
        "depth",
        "files",
        "frames",
        "full",
        "groundtruth",
        "gt",
        "ilsvrc",
        "image",
        "imagenet",
        "images",
        "img",
        "imgs",
        "input",
        "inputs",
        "jpeg",
        "jpegs",
        "jpg",
        "labels",
        "mask",
        "masks",
        "photos",
        "pictures",
        "png",
        "raw",
        "segmentation",
        "set",
        "target",
        "targets",
        "unlabeled",
        "unlabelled",
    ]
)
# Files and folders that file managers, archivers, file systems and Python leave behind.
CLUTTER = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx", "lost+found", "$recycle.bin", "@eadir", "@recycle", "#recycle"}
    | {"system volume information", "__pycache__"}
)
# Suffixes of files that describe images or go with them; every other file is taken for an image until its bytes say
# otherwise.
ANNOTATIONS = frozenset(
    [
        ".csv",
        ".html",
        ".idx",
        ".ini",
        ".json",
        ".jsonl",
        ".log",
        ".mat",
        ".md",
        ".npy",
        ".npz",
        ".pkl",
        ".pt",
        ".pth",
        ".py",
        ".sh",
        ".sqlite",
        ".tsv",
        ".txt",
        ".xml",
        ".yaml",
        ".yml",
    ]
)
IMAGES = frozenset({".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".jfif", ".png", ".tif", ".tiff", ".webp"})
# Archives, which are no images either; a layout that reads them names them itself.
ARCHIVES = frozenset({".tar", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".parquet", ".tfrecord"})
# Endings of downloads that have not ended.
PARTIAL = frozenset({".aria2", ".crdownload", ".download", ".incomplete", ".part", ".partial", ".tmp"})
NOT_IMAGES = ANNOTATIONS | ARCHIVES
# Archives without random access, with the command that unpacks each.
PACKED = {
    (".tar.gz", ".tgz"): "tar -xzf",
    (".tar.bz2", ".tbz2"): "tar -xjf",
    (".tar.xz", ".txz"): "tar -xJf",
    (".tar.zst",): "tar --zstd -xf",
    (".7z",): "7z x",
    (".rar",): "unrar x",
}
WNID = re.compile(r"n\d{8}")
# Hugging Face appends the class to the names of ImageNet: n01440764_10026_n01440764.JPEG.
_CLASS_AT_END = re.compile(r"(.+)_(n\d{8})(\.[A-Za-z]+)")
_NUMBERED = re.compile(r"ILSVRC(20\d\d)_(val|test)_(\d{8})\.[A-Za-z]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Letters that number the parts of a split, as in train.X1 or trainA.
_LETTERS = frozenset("abxy")


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot; empty if there is none."""
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def stem_of(name: str) -> str:
    """A file name without its suffix; all of it if there is nothing before the dot."""
    return name.rpartition(".")[0] or name


def leading_wnid(name: str) -> str:
    """The class at the start of a name of ImageNet's train split, like `n01440764_10026.JPEG`; empty for others."""
    start = name.partition("_")[0]
    return start if WNID.fullmatch(start) else ""


def is_clutter(name: str) -> bool:
    """Whether a name belongs to what a file manager or archiver leaves behind; hidden files belong to it."""
    return name.startswith(".") or name.lower() in CLUTTER


def looks_like_image(name: str) -> bool:
    """Whether a name has the suffix of an image format."""
    return suffix_of(name) in IMAGES


def may_be_image(name: str) -> bool:
    """Whether a file may be an image by its name: it has no suffix of an annotation or an archive."""
    return suffix_of(name) not in NOT_IMAGES


def split_of(name: str) -> str | None:
    """The split that a folder's name means."""
    return SPLITS.get(name.lower())


def words_in(name: str) -> list[str]:
    """The words of a name in lower case: `train_images2` holds train and images."""
    return [word.lower() for word in _WORD.findall(name)]


def split_in(name: str) -> str | None:
    """The split that a word of a name means, the last one if there are several."""
    words = (_COMPOUND.fullmatch(word) for word in reversed(words_in(name)))
    return next((SPLITS[word[1]] for word in words if word), None)


def is_part(name: str) -> bool:
    """Whether a folder's name says that it is a part of a data set, like `train2017` or `images`, and no class."""
    words = [word for word in words_in(name) if word not in _LETTERS]
    return bool(words) and all(word in PARTS or _COMPOUND.fullmatch(word) for word in words)


def parts_among(folders: Collection[str]) -> list[str]:
    """The folders that may be parts of a data set rather than classes.

    That is every folder if all are named after splits, or differ only by a number and hold `images`, and otherwise
    those whose whole name says so: alone, or with a split.
    """
    bases = {tuple(word for word in words_in(name) if word not in _LETTERS) for name in folders}
    numbered = len(bases) == 1 and bool(set(next(iter(bases))) & PARTS)
    if all(map(split_in, folders)) or numbered:
        return sorted(folders)
    parts = [name for name in folders if is_part(name)]
    return sorted(parts) if len(parts) == len(folders) or any(map(split_in, parts)) else []


def may_be_class(name: str, classes: Collection[str]) -> bool:
    """Whether a file beside class folders may be a class that was not unpacked: an archive, or part of a download."""
    stem = name.partition(".")[0]
    if stem in classes or stem.startswith("ILSVRC"):  # unpacked already, or a devkit
        return False
    return suffix_of(name) in ARCHIVES | PARTIAL or (stem != name and WNID.fullmatch(stem) is not None)


def class_at_end(name: str) -> tuple[str, str] | None:
    """Split `n01440764_10026_n01440764.JPEG` into (`n01440764_10026.JPEG`, `n01440764`); None for other names."""
    match = _CLASS_AT_END.fullmatch(name)
    return (match[1] + match[3], match[2]) if match else None


def number_of(name: str) -> tuple[int, str, int]:
    """(year, split, number from 1) of the name of a validation or test image of ILSVRC; (0, "", 0) for other names."""
    match = _NUMBERED.fullmatch(name)
    return (int(match[1]), match[2], int(match[3])) if match else (0, "", 0)


def in_order(classes: Iterable[str]) -> tuple[str, ...]:
    """Class names sorted by name; as numbers where all are digits, because text order puts 10 before 2."""
    names = set(classes)
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def oddities(classes: Iterable[str]) -> str:
    """What is odd about class names, so that labels may not be what they seem; empty if nothing is.

    Numbers with gaps get other labels than themselves, and a name of another kind shifts the labels behind it.
    """
    every = set(classes)
    numbers = {name for name in every if name.isascii() and name.isdigit()}
    wnids = {name for name in every if WNID.fullmatch(name)}
    if numbers == every and every:
        known = set(map(int, numbers))
        values = sorted(known)
        gap = next((number for number in range(values[0], values[-1]) if number not in known), None)
        if gap is not None:
            return f"the classes are numbers from {values[0]} to {values[-1]}, but {gap} is missing"
        if len(known) < len(numbers):
            return "the classes are numbers of which some are written in two ways"
        if values[0] > 1:
            return f"the classes are numbers that begin at {values[0]}"
    for kind, which in (("numbers", numbers), ("WordNet IDs", wnids)):
        if which and every - which and len(which) > len(every - which):
            verb = "is" if len(every - which) == 1 else "are"
            return f"most classes are {kind}, but {first_names(every - which)} {verb} not"
    return ""


def unpacking(name: str) -> str | None:
    """The command that unpacks an archive without random access; None for other names."""
    for suffixes, command in PACKED.items():
        if name.lower().endswith(suffixes):
            return command
    return None


def first_names(names: Iterable[str], shown: int = 4) -> str:
    """The first names of a list in words: `a, b, c, d and 96 more`."""
    every = sorted(names)
    more = f" and {len(every) - shown:,} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more
