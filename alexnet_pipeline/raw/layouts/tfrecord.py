"""TFRecord as TensorFlow Datasets writes ImageNet: a `tf.train.Example` for each image."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Answer, Claim, Question
from alexnet_pipeline.raw.containers import Container, by_split
from alexnet_pipeline.raw.numbered import Rows, numbered_claim
from alexnet_pipeline.raw.tree import Place
from alexnet_pipeline.records import Reason
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import open_stream
from alexnet_pipeline.text import counted

LOOKS_LIKE = "records with image, label and file_name; label.labels.txt names the classes"
TREE = """\
imagenet2012/5.1.0/
  imagenet2012-train.tfrecord-00000-of-01024
  imagenet2012-validation.tfrecord-00000-of-00064
  label.labels.txt"""
EXTRA = "reading TFRecord needs protobuf and google-crc32c; pip install 'alexnet-pipeline[tfrecord]'"
FILE = re.compile(r"(.*)\.tfrecords?(-\d+-of-\d+)?")
CLASS_NAMES = "label.labels.txt"
BESIDE = ("features.json", "dataset_info.json")
# A record is its length, the checksum of that, the data and their checksum; a length beyond the cap is damage.
LENGTH_BYTES, CHECKSUM_BYTES = 8, 4
MAX_RECORD_BYTES = 1 << 30
# Names of the features that hold the bytes, the label and the file name, here and in TensorFlow's older scripts.
IMAGE_FEATURES = ("image", "image/encoded")
LABEL_FEATURES = ("label", "image/class/label")
NAME_FEATURES = ("file_name", "image/filename")


def recognise(question: Question) -> Answer:
    """Claim a place with files of that name.

    Raises:
        RefusedError: files of a split are missing, or they are of several data sets.
    """
    root = question.root
    found = [
        Container.of(root, name, match[1] + (match[2] or "")) for name in root.names.files if (match := _match(name))
    ]
    if not found or root.location("") is None:
        return None
    wanted = by_split(question, found)
    evidence = f"{counted(len(found), 'TFRecord file')} like {found[0].path}"
    return Claim(evidence, {}, complete=lambda: _complete(question, wanted))


def _complete(question: Question, splits: dict[str, list[Container]]) -> Claim:
    """Read the records of the wanted splits."""
    root = question.root
    rows: dict[str, Rows] = {}
    for split, files in splits.items():
        rows[split] = Rows()
        for container in files:
            _read_file(rows[split], container.file, container.name)
    listed = root.names.files
    text = root.read(CLASS_NAMES).decode("utf-8", "replace") if CLASS_NAMES in listed else ""
    paths = {split: tuple(container.path for container in files) for split, files in splits.items()}
    given = tuple(name.strip() for name in text.split("\n") if name.strip())
    claim = numbered_claim(question, rows, paths, given, CLASS_NAMES)
    return dataclasses.replace(claim, used=claim.used | {CLASS_NAMES, *BESIDE} & set(listed))


def _read_file(rows: Rows, location: Location, name: str) -> None:
    """Add the images of a file; a damaged file gives those before the damage."""
    example, checksum = _example(), _checksum()
    try:
        with open_stream(location) as (stream, version):
            rows.add_place(Place(str(location), "plain"), version)
            for number, (at, data) in enumerate(_records(stream, checksum)):
                _add(rows, example.FromString(data), data, at, f"{name} record {number}")
    except OSError as error:
        raise RefusedError(f"cannot read {location}: {error.strerror}") from error
    except Exception as error:  # noqa: BLE001 - protobuf's DecodeError and our own: the file is damaged from here on
        rows.reject(name, Reason.TRUNCATED_ARCHIVE, " ".join(str(error).split()))


def _add(rows: Rows, example: Any, data: bytes, at: int, where: str) -> None:
    features = example.features.feature
    image = next(
        (features[name].bytes_list.value[0] for name in IMAGE_FEATURES if features[name].bytes_list.value), b""
    )
    labels = next((list(v) for name in LABEL_FEATURES if (v := features[name].int64_list.value)), [])
    texts = (features[name].bytes_list.value for name in NAME_FEATURES)
    file = next((text[0].decode("utf-8", "replace") for text in texts if text), "").rpartition("/")[2]
    if not image:
        rows.reject(where, Reason.EMPTY, "a record without image")
        return
    if len(labels) != 1:
        rows.reject(where, Reason.NO_LABEL, f"a record with {len(labels)} labels")
        return
    # protobuf copies the bytes and does not say where they were; so long a text occurs once.
    offset = at + data.index(image)
    rows.add(
        labels[0],
        file or f"{where.replace(' record ', '_')}.jpg",
        offset,
        len(image),
        wnid=names.leading_wnid(file),
    )


def _records(stream: BinaryIO, checksum: Callable[[bytes], bytes]) -> Iterator[tuple[int, bytes]]:
    """(offset, data) of each record.

    Raises:
        ValueError: a checksum fails or the file ends within a record.
    """
    at = 0
    while head := stream.read(LENGTH_BYTES + CHECKSUM_BYTES):
        length = int.from_bytes(head[:LENGTH_BYTES], "little")
        if head[LENGTH_BYTES:] != checksum(head[:LENGTH_BYTES]) or length > MAX_RECORD_BYTES:
            raise ValueError(f"the length of a record fails its checksum at byte {at}")
        data, end = stream.read(length), stream.read(CHECKSUM_BYTES)
        if end != checksum(data):
            raise ValueError(f"a record fails its checksum, or the file ends within it, at byte {at}")
        at += len(head)
        yield at, data
        at += length + CHECKSUM_BYTES


def _checksum() -> Callable[[bytes], bytes]:
    """TensorFlow's masked CRC-32C, as four bytes."""
    try:
        import google_crc32c  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError(EXTRA) from error

    def masked(data: bytes) -> bytes:
        crc = google_crc32c.value(data)
        return bytes((((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little"))

    return masked


@functools.cache
def _example() -> Any:
    """The message `tf.train.Example`; TensorFlow's `example.proto` and `feature.proto`."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError(EXTRA) from error
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="alexnet_pipeline/example.proto", package="alexnet", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        added = file.message_type.add(name=name)
        for label, number, repeated, kind, of in fields:
            kind_name = {"type_name": f".alexnet.{of}"} if of else {}
            added.field.add(name=label, number=number, label=repeated, type=kind, **kind_name)
        return added

    message("BytesList", ("value", 1, field.LABEL_REPEATED, field.TYPE_BYTES, ""))
    message("FloatList", ("value", 1, field.LABEL_REPEATED, field.TYPE_FLOAT, ""))
    message("Int64List", ("value", 1, field.LABEL_REPEATED, field.TYPE_INT64, ""))
    lists = [
        (f"{kind}_list", number, f"{kind.capitalize()}List")
        for number, kind in enumerate(("bytes", "float", "int64"), 1)
    ]
    message("Feature", *((name, number, field.LABEL_OPTIONAL, field.TYPE_MESSAGE, of) for name, number, of in lists))
    features = message("Features", ("feature", 1, field.LABEL_REPEATED, field.TYPE_MESSAGE, "Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    entry.field.add(
        name="value", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_MESSAGE, type_name=".alexnet.Feature"
    )
    message("Example", ("features", 1, field.LABEL_OPTIONAL, field.TYPE_MESSAGE, "Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("alexnet.Example"))


def _match(name: str) -> re.Match[str] | None:
    return FILE.fullmatch(name)
