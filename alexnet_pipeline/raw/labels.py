"""Labels from tables of (file, class), and the order of classes from a list or a finished data set."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import read_whole
from alexnet_pipeline.raw.names import WNID, in_order, looks_like_image, oddities, split_of, stem_of
from alexnet_pipeline.raw.tree import MAX_TEXT_BYTES, Folder
from alexnet_pipeline.text import counted

FORMS = ".csv, .tsv, .txt or .json"
# Headings by which a table with more than two columns is understood.
FILE_HEADINGS = frozenset(
    {
        "file",
        "filename",
        "file_name",
        "file name",
        "filepath",
        "file_path",
        "filepaths",
        "files",
        "fname",
        "id",
        "image",
    }
    | {"image_id", "image_name", "image_path", "imageid", "images", "img", "name", "path"}
)
CLASS_HEADINGS = frozenset(
    {"category", "class", "class label", "class_id", "class_label", "class_name", "classes", "label", "label_name"}
    | {"labels", "predictionstring", "species", "synset", "target", "wnid"}
)
# Whole numbers as pandas writes them where a column has gaps.
_FLOAT = re.compile(r"(\d+)\.0")
# Texts that spreadsheets and libraries write for a missing value.
NO_CLASS = frozenset({"", "nan", "none", "null", "na", "n/a"})
# Kaggle's LOC_val_solution.csv; the first word of its second column is the wnid, and boxes follow it.
KAGGLE_HEADINGS = ["ImageId", "PredictionString"]
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Labels:
    """A table of files and their classes.

    Attributes:
        pairs: (path, class) of each row, the path with slashes.
        source: the table, for messages.
        headed: whether its heading was recognised and taken off.
    """

    pairs: tuple[tuple[str, str], ...]
    source: str
    headed: bool = False

    def of_folder(self, folder: Folder) -> FolderLabels | None:
        """The labels of the files of a folder; None if the table has none of them.

        A row counts if its path and that of the file agree as far as both go, so that `train/0.jpg` is not `val/0.jpg`.
        A row that names no file, where others do, may be a heading: its class counts only if it looks like a row.

        Raises:
            RefusedError: two rows give a file different classes, or a row has no class.
        """
        files = folder.names.files
        paths = {key: folder.join(name) for name in files for key in (name, stem_of(name))}
        matched = [self._matches(path, paths, folder) for path, _ in self.pairs]
        if not any(matched):
            return None
        found: dict[str, tuple[int, str]] = {}
        for (path, name), agree in zip(self.pairs, matched, strict=True):
            base = path.rpartition("/")[2]
            if not agree:
                continue
            if name.lower() in NO_CLASS:
                raise RefusedError(f"{self.source}: the class of {path} is {name!r}; remove that row or name its class")
            before = found.get(base)
            if before is not None and before[1] != name and before[0] == agree:
                raise RefusedError(f"{self.source} gives {path} two classes, {before[1]} and {name}")
            if before is None or agree > before[0]:
                found[base] = agree, name
        by_file = {file: found.get(file) or found.get(stem_of(file)) for file in files}
        self._check_stems(found, by_file)
        rows = [pair for pair, agree in zip(self.pairs, matched, strict=True) if agree or self._is_row(pair[0], found)]
        classes = in_order(name for _, name in rows if name.lower() not in NO_CLASS)
        return FolderLabels({file: hit[1] for file, hit in by_file.items() if hit}, classes)

    def _is_row(self, path: str, found: Mapping[str, object]) -> bool:
        """Whether a row that names no file here is about an image elsewhere, and is no heading or total."""
        with_suffix = any(map(looks_like_image, found))
        return looks_like_image(path) if with_suffix else self.headed

    def _check_stems(self, found: Mapping[str, object], by_file: Mapping[str, object]) -> None:
        """Refuse a name without suffix that two images have, of which one is often a mask."""
        stems = Counter(stem_of(file) for file, hit in by_file.items() if hit and file not in found)
        double = next((stem for stem, times in stems.items() if times > 1), None)
        if double is not None:
            raise RefusedError(f"{self.source} names {double}, which is the name of several files; add their suffixes")

    def check_ambiguous(self, folders: Sequence[Folder]) -> None:
        """Make sure that no row without folder names means files of two folders.

        Raises:
            RefusedError: one does.
        """
        if len(folders) < 2 or any(map(self.lies_in, folders)):
            return
        bare = {path for path, _ in self.pairs if "/" not in path}
        seen: dict[str, Folder] = {}
        for folder in folders:
            for name in folder.names.files:
                if (name in bare or stem_of(name) in bare) and name in seen:
                    raise RefusedError(
                        f"{self.source} does not say whether {name} is that of {seen[name].label()} or of "
                        f"{folder.label()}; write {folder.join(name)} in the table, or convert one split at a time"
                    )
                seen[name] = folder

    def lies_in(self, folder: Folder) -> bool:
        """Whether the table lies in a folder on disk, whose files it then means."""
        here = folder.file_path("")
        return here is not None and Path(self.source).resolve().is_relative_to(here.resolve())

    def _matches(self, path: str, paths: dict[str, str], folder: Folder) -> int:
        """How many parts of a row's path agree with those of the file that it names; 0 if it names none.

        Paths agree as far as both go. If the table lies in the folder, its paths may begin anywhere; if it lies in the
        folder of another split, or names one, it means other files.
        """
        wanted = paths.get(path.rpartition("/")[2])
        if wanted is None:
            return 0
        ours, theirs = wanted.split("/")[:-1][::-1], path.split("/")[:-1][::-1]
        here = folder.file_path("")
        own = split_of(here.resolve().name) if here is not None else None
        said = split_of(theirs[0]) if theirs else split_of(Path(self.source).resolve().parent.name)
        if own and said and own != said:
            return 0
        shorter = min(len(ours), len(theirs))
        agree = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), shorter)
        return 1 + agree if agree == shorter or self.lies_in(folder) else 0


@dataclass(frozen=True, slots=True)
class FolderLabels:
    """The labels of the files of one folder.

    Attributes:
        class_by_file: class name by file name.
        classes: every class name of the table, in order.
    """

    class_by_file: dict[str, str]
    classes: tuple[str, ...]


def read_labels(path: Path) -> Labels:
    """Read a table of files and their classes.

    A table has two columns, or headings that tell which two of them count. Kaggle's `LOC_val_solution.csv` is known.

    Raises:
        RefusedError: the file cannot be read, or it is not clear which columns hold files and classes.
    """
    return parse_labels(read_text(path), path.name, str(path))


def parse_labels(text: str, name: str, source: str) -> Labels:
    """Read a table of files and their classes from text, by the suffix of its name; see `read_labels`."""
    suffix = Path(name).suffix.lower()
    try:
        if suffix == ".json":
            pairs, headed = _pairs_of_json(json.loads(text), source)
        elif suffix in {".csv", ".tsv"}:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter="," if suffix == ".csv" else "\t") if row]
            pairs, headed = _pairs_of_rows(rows, source)
        elif suffix == ".txt":
            lines = [line for line in text.splitlines() if line.strip()]
            rows = [line.split("\t") if "\t" in line else line.rsplit(maxsplit=1) for line in lines]
            pairs, headed = _pairs_of_rows(rows, source)
        else:
            raise RefusedError(f"{source} is no table of labels; expected a {FORMS} file")
    except (ValueError, csv.Error, RecursionError) as error:
        raise RefusedError(f"{source} cannot be read as a table of labels: {error}") from error
    if not pairs:
        raise RefusedError(f"{source} holds no labels")
    listed = tuple((path.replace("\\", "/"), _FLOAT.sub(r"\1", name)) for path, name in pairs)
    return Labels(listed, source, headed)


def _pairs_of_json(content: Any, source: str) -> tuple[list[tuple[str, str]], bool]:
    """(path, class) of each row, and whether there is no heading among them."""
    if isinstance(content, dict) and all(map(_is_class, content.values())):
        return [(file, str(name)) for file, name in content.items()], True
    if isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
        headings = list(content[0])
        values = [[each.get(heading) for heading in headings] for each in content]
        rows = [headings, *([str(each) if _is_class(each) else "" for each in row] for row in values)]
        return _pairs_of_rows(rows, source)
    if isinstance(content, list) and all(
        isinstance(each, list) and len(each) == 2 and all(map(_is_class, each)) for each in content
    ):
        return [(str(file), str(name)) for file, name in content], True
    raise RefusedError(f"{source}: expected an object of file: class, or a list of pairs or of objects")


def _is_class(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _pairs_of_rows(rows: Sequence[Sequence[str]], source: str) -> tuple[list[tuple[str, str]], bool]:
    """(path, class) of each row, and whether a heading was recognised and left out."""
    rows = [row for row in rows if not row[0].lstrip().startswith("#")]
    if not rows:
        return [], False
    if list(rows[0]) == KAGGLE_HEADINGS:
        return [(row[0], row[1].split()[0]) for row in rows[1:] if len(row) == 2 and row[1].split()], True
    heads = [heading.strip().lower() for heading in rows[0]]
    files = [number for number, heading in enumerate(heads) if heading in FILE_HEADINGS]
    classes = [number for number, heading in enumerate(heads) if heading in CLASS_HEADINGS]
    headed = len(files) == 1 and len(classes) == 1
    if headed:
        rows, columns = rows[1:], (files[0], classes[0])
    elif len(rows[0]) == 2:
        columns = (0, 1)
    else:
        raise RefusedError(
            f"{source} has the columns {', '.join(rows[0])}; expected two, or headings of which one is like "
            "file and one like class"
        )
    short = next((row for row in rows if len(row) <= max(columns)), None)
    if short is not None:
        raise RefusedError(
            f"{source}: the row {','.join(short)!r} has {counted(len(short), 'column')}, expected at least "
            f"{max(columns) + 1}"
        )
    return [(row[columns[0]].strip(), row[columns[1]].strip()) for row in rows], headed


def read_classes(path: Path, found: Set[str]) -> tuple[str, ...]:
    """Read the order of classes: of a finished data set, or of a list with one name per line.

    Words behind a name are left out, so that Kaggle's `LOC_synset_mapping.txt` and Tiny-ImageNet's `wnids.txt` serve,
    unless the whole line is a class that was found. Lines that begin with # are comments.

    Raises:
        RefusedError: the file cannot be read, holds no names, holds one twice, or one of another kind, like a heading.
    """
    where = path / MANIFEST if path.is_dir() else path
    if path.is_dir() and not where.is_file():
        raise RefusedError(f"{path} holds no {MANIFEST}; name a finished data set or a list of classes")
    text = read_text(where)
    if where.suffix == ".json":
        classes = _classes_of_json(text, where)
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        first_words = [line.split("\t")[0].split()[0] for line in lines]
        whole = not found.isdisjoint(lines) or found.isdisjoint(first_words)
        classes = lines if whole and not all(map(WNID.fullmatch, first_words)) else first_words
    if not classes:
        raise RefusedError(f"{where} holds no classes")
    name, times = Counter(classes).most_common(1)[0]
    if times > 1:
        raise RefusedError(f"{where} lists the class {name} twice")
    if classes[0] not in found and (classes[0].lower() in CLASS_HEADINGS or "most" in oddities(classes)):
        raise RefusedError(f"{where}: the first line, {classes[0]}, looks like a heading; remove it")
    return tuple(classes)


def _classes_of_json(text: str, where: Path) -> list[str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{where} cannot be read: {error}") from error
    classes = content.get("classes") if isinstance(content, dict) else content
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise RefusedError(f"{where} holds no list of classes; expected a data set's {MANIFEST} or a list of names")
    return classes


def read_text(path: Path) -> str:
    """Read a small text file.

    Raises:
        RefusedError: it cannot be read, is too large or is not text.
    """
    try:
        return read_whole(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is not text in UTF-8") from error
