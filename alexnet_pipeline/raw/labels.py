"""Labels from tables of (file, class), and the order of classes from a list or a finished data set."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.names import in_order
from alexnet_pipeline.raw.tree import MAX_TEXT_BYTES

FORMS = ".csv, .tsv, .txt or .json"
# Headings by which a table with more than two columns is understood.
FILE_HEADINGS = ("file", "filename", "file_name", "image", "imageid", "image_id", "id", "name", "path", "img")
CLASS_HEADINGS = (
    "class",
    "label",
    "wnid",
    "synset",
    "category",
    "target",
    "class_name",
    "class_id",
    "predictionstring",
)
# Kaggle's LOC_val_solution.csv; the first word of its second column is the wnid, and boxes follow it.
KAGGLE_HEADINGS = ["ImageId", "PredictionString"]
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of files.

    Attributes:
        class_by_file: class name by base name, and by stem where that is not the name of another file.
        classes: the class names, in order.
        source: the table, for messages.
    """

    class_by_file: dict[str, str]
    classes: tuple[str, ...]
    source: str

    def class_of(self, file: str) -> str | None:
        """The class of a file; None if the table does not have it."""
        return self.class_by_file.get(file) or self.class_by_file.get(_stem(file))


def read_labels(path: Path) -> Labels:
    """Read a table of files and their classes.

    A table has two columns, or headings that tell which two of them count. Kaggle's `LOC_val_solution.csv` is known.

    Raises:
        RefusedError: the file cannot be read, or it is not clear which columns hold files and classes.
    """
    return parse_labels(_text_of(path), path.name, str(path))


def parse_labels(text: str, name: str, source: str) -> Labels:
    """Read a table of files and their classes from text, by the suffix of its name; see `read_labels`."""
    suffix = Path(name).suffix.lower()
    try:
        if suffix == ".json":
            pairs = _pairs_of_json(json.loads(text), source)
        elif suffix in {".csv", ".tsv"}:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter="," if suffix == ".csv" else "\t") if row]
            pairs = _pairs_of_rows(rows, source)
        elif suffix == ".txt":
            lines = [line for line in text.splitlines() if line.strip()]
            rows = [line.split("\t") if "\t" in line else line.rsplit(maxsplit=1) for line in lines]
            pairs = _pairs_of_rows(rows, source)
        else:
            raise RefusedError(f"{source} is no table of labels; expected a {FORMS} file")
    except (ValueError, csv.Error, RecursionError) as error:
        raise RefusedError(f"{source} cannot be read as a table of labels: {error}") from error
    return _labels(pairs, source)


def _labels(pairs: Iterable[tuple[str, str]], source: str) -> Labels:
    class_by_file: dict[str, str] = {}
    for file, name in pairs:
        base = file.replace("\\", "/").rpartition("/")[2]
        if class_by_file.setdefault(base, name) != name:
            raise RefusedError(f"{source} gives {base} two classes, {class_by_file[base]} and {name}")
    if not class_by_file:
        raise RefusedError(f"{source} holds no labels")
    unnamed = next((file for file, name in class_by_file.items() if not name), None)
    if unnamed is not None:
        raise RefusedError(f"{source}: the class of {unnamed} is empty")
    return Labels(class_by_file, in_order(class_by_file.values()), source)


def _pairs_of_json(content: Any, source: str) -> list[tuple[str, str]]:
    if isinstance(content, dict) and all(isinstance(each, (str, int)) for each in content.values()):
        return [(file, str(name)) for file, name in content.items()]
    if isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
        headings = list(content[0])
        rows = [headings, *([str(each.get(heading, "")) for heading in headings] for each in content)]
        return _pairs_of_rows(rows, source)
    if isinstance(content, list) and all(isinstance(each, list) and len(each) == 2 for each in content):
        return [(str(file), str(name)) for file, name in content]
    raise RefusedError(f"{source}: expected an object of file: class, or a list of pairs or of objects")


def _pairs_of_rows(rows: Sequence[Sequence[str]], source: str) -> list[tuple[str, str]]:
    if not rows:
        return []
    if list(rows[0]) == KAGGLE_HEADINGS:
        return [(row[0], row[1].split()[0]) for row in rows[1:] if len(row) == 2 and row[1].split()]
    heads = [heading.strip().lower() for heading in rows[0]]
    files = [number for number, heading in enumerate(heads) if heading in FILE_HEADINGS]
    classes = [number for number, heading in enumerate(heads) if heading in CLASS_HEADINGS]
    if len(files) == 1 and len(classes) == 1:
        rows, columns = rows[1:], (files[0], classes[0])
    elif len(rows[0]) == 2:
        columns = (0, 1)
    else:
        raise RefusedError(
            f"{source} has the columns {', '.join(rows[0])}; expected two, or headings of which one is like "
            f"{FILE_HEADINGS[0]} and one like {CLASS_HEADINGS[0]}"
        )
    short = next((number for number, row in enumerate(rows, 1) if len(row) <= max(columns)), None)
    if short is not None:
        raise RefusedError(f"{source}: row {short} has {len(rows[short - 1])} columns, expected {max(columns) + 1}")
    return [(row[columns[0]].strip(), row[columns[1]].strip()) for row in rows]


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the order of classes: of a finished data set, or of a list with one name per line.

    Words behind a name are left out, so that Kaggle's `LOC_synset_mapping.txt` and Tiny-ImageNet's `wnids.txt` serve.

    Raises:
        RefusedError: the file cannot be read, holds no names, or holds one twice.
    """
    where = path / MANIFEST if path.is_dir() else path
    if path.is_dir() and not where.is_file():
        raise RefusedError(f"{path} holds no {MANIFEST}; name a finished data set or a list of classes")
    text = _text_of(where)
    if where.suffix == ".json":
        classes = _classes_of_json(text, where)
    else:
        classes = [line.split("\t")[0].split()[0] for line in text.splitlines() if line.strip()]
    if not classes:
        raise RefusedError(f"{where} holds no classes")
    name, times = Counter(classes).most_common(1)[0]
    if times > 1:
        raise RefusedError(f"{where} lists the class {name} twice")
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


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise RefusedError(f"{path} has more than {MAX_TEXT_BYTES >> 20} MiB; expected a list")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is not text in UTF-8") from error


def _stem(file: str) -> str:
    return file.rpartition(".")[0] or file
