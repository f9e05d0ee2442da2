"""Hugging Face's Parquet: a row for each image, with its bytes, its path and its label."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Answer, Claim, Question, likely_folders
from alexnet_pipeline.raw.containers import Container, by_split
from alexnet_pipeline.raw.numbered import Rows, numbered_claim
from alexnet_pipeline.raw.tree import Place
from alexnet_pipeline.records import Reason
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import open_stream
from alexnet_pipeline.text import counted

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
    """Claim a place with Parquet files.

    Raises:
        RefusedError: files of a split are missing, or they are of several data sets.
    """
    root = question.root
    found = [
        Container.of(folder, name, name.removesuffix(SUFFIX))
        for folder in likely_folders(root)
        for name in folder.names.files
        if name.endswith(SUFFIX)
    ]
    if not found or root.location("") is None:
        return None
    wanted = by_split(question, found)
    evidence = f"{counted(len(found), '.parquet file')} like {found[0].path}"
    return Claim(evidence, {}, complete=lambda: _complete(question, wanted))


def read_columns(path: Location, wanted: str | None) -> Columns:
    """Find the columns of a file.

    Args:
        path: the file.
        wanted: `image=NAME,label=NAME`, or None to recognise them by name and type.

    Raises:
        RefusedError: the file is no Parquet, or has no such columns.
        PipelineError: it cannot be read.
    """
    parquet = _pyarrow()
    from pyarrow import types  # noqa: PLC0415 - an extra

    try:
        with open_stream(path) as (stream, _):
            schema = parquet.read_schema(stream)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    chosen = _parse_columns(wanted)
    fields = {field.name: field for field in schema}
    image = chosen.get("image") or next((name for name in IMAGE_COLUMNS if name in fields), "")
    label = chosen.get("label") or next((name for name in LABEL_COLUMNS if name in fields), "")
    if image not in fields or label not in fields:
        raise RefusedError(
            f"{path} has the columns {', '.join(fields)}; name those of image and label: "
            "`columns='image=NAME,label=NAME'`"
        )
    inner = _struct_fields(fields[image].type)
    kind = inner.get("bytes", fields[image].type)
    if not (types.is_binary(kind) or types.is_large_binary(kind)) or not types.is_integer(fields[label].type):
        raise RefusedError(
            f"{path}: {image} is {fields[image].type} and {label} is {fields[label].type}; expected bytes, or a struct "
            "with bytes, and whole numbers"
        )
    return Columns(
        image=f"{image}.bytes" if inner else image,
        path=f"{image}.path" if "path" in inner and types.is_string(inner["path"]) else "",
        label=label,
        names=_class_names(schema.metadata or {}, label),
    )


def _complete(question: Question, splits: dict[str, list[Container]]) -> Claim:
    """Read labels and file names of the wanted splits."""
    parquet = _pyarrow()
    rows: dict[str, Rows] = {}
    given: tuple[str, ...] = ()
    for split, files in splits.items():
        rows[split] = Rows()
        for container in files:
            path = container.file
            columns = read_columns(path, question.options.columns)
            if given and columns.names and columns.names != given:
                raise RefusedError(f"{path} names other classes than the files before it")
            given = given or columns.names
            _read_rows(parquet, path, columns, rows[split])
    paths = {split: tuple(container.path for container in files) for split, files in splits.items()}
    return numbered_claim(question, rows, paths, given, "the schema")


def _read_rows(parquet: Any, path: Location, columns: Columns, rows: Rows) -> None:
    """Read labels and names; the columns with the bytes are not touched."""
    wanted = [columns.label, *([columns.path] if columns.path else [])]
    row = 0
    try:
        with open_stream(path) as (stream, version), parquet.ParquetFile(stream) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            place = Place(str(path), "row", group_ends=tuple(accumulate(sizes)), column=columns.image)
            rows.add_place(place, version)
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                labels = batch.column(batch.schema.names.index(columns.label)).to_pylist()
                paths = _paths(batch, columns, len(labels))
                for label, name in zip(labels, paths, strict=True):
                    _add_row(rows, path.name.removesuffix(SUFFIX), row, label, name)
                    row += 1
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Location, error: Exception) -> PipelineError:
    """What the store or the disk says; or else pyarrow does not take the file for Parquet, also by an OSError."""
    if isinstance(error, OSError) and error.strerror:
        return PipelineError(f"cannot read {path}: {error.strerror}")
    return RefusedError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())}; fetch it again")


def _add_row(rows: Rows, stem: str, row: int, label: int | None, name: str | None) -> None:
    if label is None:
        rows.reject(name or f"{stem} row {row}", Reason.NO_LABEL, "a row without a label")
        return
    base = (name or "").replace("\\", "/").rpartition("/")[2] or f"{stem}_{row:06d}.jpg"
    ending = names.class_at_end(base)
    rows.add(label, ending[0] if ending else base, row, 0, wnid=ending[1] if ending else names.leading_wnid(base))


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


def _struct_fields(kind: Any) -> dict[str, Any]:
    """The fields of a struct by name, with their types; none of other types."""
    return {field.name: field.type for field in kind} if str(kind).startswith("struct<") else {}


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError(EXTRA) from error
    return parquet
