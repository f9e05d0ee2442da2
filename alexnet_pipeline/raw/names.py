"""What names say: which split a folder is, which class a file belongs to, and which files are never images."""

from __future__ import annotations

import re
from collections.abc import Iterable

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
# Files and folders that file managers, archivers and file systems leave behind.
CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx", "lost+found", "$recycle.bin", "@eadir"})
# Suffixes of files that describe images; every other file is taken for an image until its bytes say otherwise.
ANNOTATIONS = frozenset(
    {".csv", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md", ".tsv", ".txt", ".xml", ".yaml", ".yml"}
)
IMAGES = frozenset({".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".jfif", ".png", ".tif", ".tiff", ".webp"})
# Archives, which are no images either; a layout that reads them names them itself.
ARCHIVES = frozenset({".tar", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".parquet"})
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
_NUMBERED = re.compile(r"ILSVRC20\d\d_(?:val|test)_(\d{8})\.[A-Za-z]+")


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot; empty if there is none."""
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_clutter(name: str) -> bool:
    """Whether a name belongs to what a file manager or archiver leaves behind; hidden files belong to it."""
    return name.startswith(".") or name.lower() in CLUTTER


def looks_like_image(name: str) -> bool:
    """Whether a name has the suffix of an image format."""
    return suffix_of(name) in IMAGES


def may_be_image(name: str) -> bool:
    """Whether a file may be an image by its name: it has no suffix of an annotation or an archive."""
    return suffix_of(name) not in ANNOTATIONS | ARCHIVES


def split_of(name: str) -> str | None:
    """The split that a folder's name means."""
    return SPLITS.get(name.lower())


def class_at_end(name: str) -> tuple[str, str] | None:
    """Split `n01440764_10026_n01440764.JPEG` into (`n01440764_10026.JPEG`, `n01440764`); None for other names."""
    match = _CLASS_AT_END.fullmatch(name)
    return (match[1] + match[3], match[2]) if match else None


def number_of(name: str) -> int:
    """The number in the name of a validation or test image of ILSVRC, from 1; 0 for other names."""
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) if match else 0


def in_order(classes: Iterable[str]) -> tuple[str, ...]:
    """Class names sorted by name; as numbers where all are digits, because text order puts 10 before 2."""
    names = set(classes)
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


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
