"""Hugging Face's Parquet: a row for each image, with its bytes, its path and its label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Answer, Claim, Question, likely_folders
from alexnet_pipeline.raw.numbered import Numbered, Rows, name_classes
from alexnet_pipeline.raw.tree import Folder, Place

LOOKS_LIKE = "a row for each image with bytes and label; `--columns image=NAME,label=NAME` names other columns"
TREE = """\
imagenet-1k/
  data/train-00000-of-00294.parquet
  data/validation-00000-of-00014.parquet
  data/test-00000-of-00028.parquet"""
SUFFIX = ".parquet"
EXTRA = "reading Parquet needs pyarrow; pip install 'alexnet-pipeline[parquet]'"
IMAGE_COLUMNS = ("image", "img", "jpeg", "jpg", "png", "webp", "picture")
LABEL_COLUMNS = ("label", "labels", "target", "class", "cls", "fine_label", "class_id")
NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})")
# Rows whose labels are read at a time.
BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file that hold the images and the labels.

    Attributes:
        image: dotted path of the column with the bytes.
        path: dotted path of the column with the file names; empty if there is none.
        label: the column with the labels.
        names: class names in label order; empty if the file has none.
    """

    image: str
    path: str
    label: str
    names: tuple[str, ...]


def recognise(question: Question) -> Answer:
    """Claim a place with Parquet files whose names say their split.

    Raises:
        RefusedError: pyarrow is missing, or files of a split are.
    """
    root = question.root
    holders = [folder for folder in likely_folders(root) if _files(folder)]
    if not holders or root.file_path("") is None:
        return None
    splits: dict[str, list[tuple[Folder, str]]] = {}
    for folder in holders:
        for name in _files(folder):
            split = _split(name) or names.split_of(folder.path.rpartition("/")[2]) or question.only_split()
            splits.setdefault(split, []).append((folder, name))
    wanted = {split: files for split, files in splits.items() if question.wants(split)}
    if "missing-files" not in question.options.allow:
        for files in wanted.values():
            _check_complete([name for _, name in files])
    count = sum(map(len, splits.values()))
    return Claim(
        f"{count:,} .parquet files like {holders[0].join(_files(holders[0])[0])}",
        {},
        complete=lambda: _complete(question, wanted),
    )


def read_columns(path: Path, wanted: str | None) -> Columns:
    """Find the columns of a file.

    Args:
        path: the file.
        wanted: `image=NAME,label=NAME`, or None to recognise them by name and type.

    Raises:
        RefusedError: the file cannot be read, or has no such columns.
    """
    parquet = _pyarrow()
    try:
        schema = parquet.read_schema(path)
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path} cannot be read as Parquet: {error}") from error
    chosen = _parse_columns(wanted)
    fields = {field.name: field for field in schema}
    image = chosen.get("image") or next((name for name in IMAGE_COLUMNS if name in fields), "")
    label = chosen.get("label") or next((name for name in LABEL_COLUMNS if name in fields), "")
    if image not in fields or label not in fields:
        raise RefusedError(
            f"{path} has the columns {', '.join(fields)}; name those of image and label: "
            "`columns='image=NAME,label=NAME'`"
        )
    inner = [part.name for part in fields[image].type] if str(fields[image].type).startswith("struct") else []
    holds_bytes = "bytes" in inner if inner else "binary" in str(fields[image].type)
    if not holds_bytes or "int" not in str(fields[label].type):
        raise RefusedError(
            f"{path}: {image} is {fields[image].type} and {label} is {fields[label].type}; expected bytes, or a struct "
            "with bytes, and whole numbers"
        )
    return Columns(
        image=f"{image}.bytes" if inner else image,
        path=f"{image}.path" if "path" in inner else "",
        label=label,
        names=_class_names(schema.metadata or {}, label),
    )


def _complete(question: Question, splits: dict[str, list[tuple[Folder, str]]]) -> Claim:
    """Read labels and file names of the wanted splits."""
    parquet = _pyarrow()
    rows: dict[str, Rows] = {}
    given: tuple[str, ...] = ()
    for split, files in splits.items():
        rows[split] = Rows()
        for folder, name in files:
            path = folder.file_path(name)
            assert path is not None
            columns = read_columns(path, question.options.columns)
            if given and columns.names and columns.names != given:
                raise RefusedError(f"{path} names other classes than the files before it")
            given = given or columns.names
            _read_rows(parquet, path, columns, rows[split])
    paths = {split: tuple(folder.join(name) for folder, name in files) for split, files in splits.items()}
    classes, words = name_classes(rows, given, "the schema")
    kept = {split: each for split, each in rows.items() if len(each.labels) or split in question.splits}
    left = [split for split in rows if split not in kept]
    forms = {split: Numbered(each, classes, paths[split]) for split, each in kept.items()}
    used = frozenset(path for split in left for path in paths[split])
    ignored = {(f"images of {split}", "no labels"): sum(rows[split].ignored.values()) for split in left}
    return Claim("", forms, words, listed=bool(given), order=classes, used=used, ignored=ignored)


def _read_rows(parquet: Any, path: Path, columns: Columns, rows: Rows) -> None:
    """Read labels and names; the columns with the bytes are not touched."""
    wanted = [columns.label, *([columns.path] if columns.path else [])]
    row = 0
    try:
        with parquet.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            place = Place(str(path), "row", group_ends=tuple(accumulate(sizes)), column=columns.image)
            rows.add_place(place, path.stat().st_mtime_ns)
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                labels = batch.column(0 if batch.schema.names[0] == columns.label else 1).to_pylist()
                paths = _paths(batch, columns, len(labels))
                for label, name in zip(labels, paths, strict=True):
                    _add_row(rows, path.stem, row, -1 if label is None else label, name)
                    row += 1
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path} cannot be read: {error}; fetch it again") from error


def _add_row(rows: Rows, stem: str, row: int, label: int, name: str | None) -> None:
    base = (name or "").replace("\\", "/").rpartition("/")[2] or f"{stem}_{row:06d}.jpg"
    ending = names.class_at_end(base)
    rows.add(label, ending[0] if ending else base, row, 0, wnid=ending[1] if ending else _leading_wnid(base))


def _leading_wnid(name: str) -> str:
    """The class at the start of a name of ImageNet's train split; empty for other names."""
    start = name.partition("_")[0]
    return start if names.WNID.fullmatch(start) else ""


def _paths(batch: Any, columns: Columns, count: int) -> Iterable[str | None]:
    if not columns.path:
        return [None] * count
    top = columns.path.partition(".")[0]
    return batch.column(batch.schema.names.index(top)).field("path").to_pylist()  # type: ignore[no-any-return]


def _class_names(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    """The class names in the key `huggingface` of a schema's metadata."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        found = features.get(label, {}).get("names", ())
    except (ValueError, AttributeError, RecursionError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _parse_columns(text: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(key.strip() not in {"image", "label"} or not value.strip() for key, _, value in pairs):
        raise RefusedError(f"`columns`: {text!r} is not like image=NAME,label=NAME")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _check_complete(files: list[str]) -> None:
    """Refuse a split of which numbered files are missing."""
    matches = [match for name in files if (match := NUMBERED.fullmatch(name.removesuffix(SUFFIX)))]
    for prefix, count in {(match[1], int(match[3])) for match in matches}:
        present = {int(match[2]) for match in matches if match[1] == prefix}
        missing = [number for number in range(count) if number not in present]
        if missing:
            first = f"{prefix}-{missing[0]:05d}-of-{count:05d}{SUFFIX}"
            raise RefusedError(
                f"{len(missing):,} of {count:,} files are missing, the first is {first}; fetch them, or choose "
                "`allow='missing-files'`"
            )


def _files(folder: Folder) -> list[str]:
    return [name for name in folder.names.files if name.endswith(SUFFIX)]


def _split(name: str) -> str | None:
    return names.split_of(re.split(r"[-_.]", name)[0])


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError(EXTRA) from error
    return parquet
