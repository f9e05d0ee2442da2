"""Write pictures as the data sets of other libraries: Hugging Face, WebDataset and TensorFlow Datasets."""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.raw.layouts_pictures import (
    Member,
    Picture,
    of_split,
    put,
    put_all,
    size_px,
    stem,
    tar_gz_of,
    tar_of,
    wnids_of,
    words,
)

# Files of a split: two for train, so that the number in the name counts.
FILES = {"train": 2, "val": 1, "test": 1}
# The other libraries' name for val.
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
ROWS_PER_GROUP = 7
# What TensorFlow adds to a rotated CRC-32C; source: tensorflow/core/lib/hash/crc32c.h
CRC_MASK = 0xA282EAD8
LABEL_UNKNOWN = -1
# The options of `FieldDescriptorProto`.
OPTIONAL, REPEATED = 1, 3
FLOAT, INT64, MESSAGE, BYTES, STRING = 2, 3, 11, 12, 9

ParquetForm = Literal["imagenet", "columns", "nameless"]


def parquet(root: Path, pictures: Sequence[Picture], form: ParquetForm = "imagenet") -> Path:
    """Write a Hugging Face repository of parquet files, several row groups each.

    `imagenet` is ILSVRC/imagenet-1k's form. `columns` has CIFAR-100's columns `img`, `fine_label` and `coarse_label`,
    without paths. `nameless` has no class names. Test pictures without a class have label -1.
    """
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    image, label = ("img", "fine_label") if form == "columns" else ("image", "label")
    fields = [(image, pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]))]
    fields += [(name, pyarrow.int64()) for name in (label, *(["coarse_label"] if form == "columns" else []))]
    metadata = json.dumps({"info": {"features": _features(wnids_of(pictures), form)}})
    schema = pyarrow.schema(fields, metadata={"huggingface": metadata})
    for name, chosen in _files(pictures, "data/{split}-{number:05d}-of-{count:05d}.parquet"):
        paths = [None if form == "columns" else hf_name(picture) for picture in chosen]
        labels = [_label(pictures, picture) for picture in chosen]
        columns = {image: [{"bytes": p.data, "path": path} for p, path in zip(chosen, paths, strict=True)]}
        columns |= {label: labels, "coarse_label": [number // 2 for number in labels]}
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        table = pyarrow.Table.from_pydict({key: columns[key] for key in schema.names}, schema)
        pq.write_table(table, root / name, row_group_size=ROWS_PER_GROUP, compression="snappy")
    _put_repository_files(root)
    return root


def _features(wnids: Sequence[str], form: ParquetForm) -> dict[str, Any]:
    named = {"names": [words(wnid) for wnid in wnids], "_type": "ClassLabel"}
    if form == "nameless":
        return {"image": {"_type": "Image"}, "label": {"dtype": "int64", "_type": "Value"}}
    if form == "imagenet":
        return {"image": {"_type": "Image"}, "label": named}
    coarse = {"names": [f"group {number}" for number in range((len(wnids) + 1) // 2)], "_type": "ClassLabel"}
    return {"img": {"_type": "Image"}, "fine_label": named, "coarse_label": coarse}


def hf_name(picture: Picture) -> str:
    """The name of a picture in the Hugging Face repository, which ends in its class where that is known."""
    return f"{stem(picture)}_{picture.wnid}.JPEG" if picture.wnid else picture.file


def _put_repository_files(root: Path) -> None:
    """What a download from the Hugging Face hub has beside the data."""
    put(root / "README.md", "---\nlicense: other\npretty_name: ImageNet\n---\n")
    put(root / ".gitattributes", "*.parquet filter=lfs diff=lfs merge=lfs -text\n")
    put(root / ".cache" / "huggingface" / ".gitignore", "*")


def _label(pictures: Sequence[Picture], picture: Picture) -> int:
    return wnids_of(pictures).index(picture.wnid) if picture.wnid else LABEL_UNKNOWN


def _files(
    pictures: Sequence[Picture], pattern: str, splits: Sequence[str] = ("train", "val", "test")
) -> list[tuple[str, list[Picture]]]:
    """Name the files of each split by a pattern, and divide its pictures among them."""
    files = []
    for split in splits:
        chosen = of_split(pictures, split)
        count = min(FILES[split], len(chosen))
        for number in range(count):
            begin, end = (len(chosen) * edge // count for edge in (number, number + 1))
            files.append((pattern.format(split=SPLIT_NAMES[split], number=number, count=count), chosen[begin:end]))
    return files


def hf_files(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write the extracted archives that the Hugging Face repository had before parquet: a flat folder a split."""
    for picture in pictures:
        put(root / f"{picture.split}_images" / hf_name(picture), picture.data)
    return root


def hf_archives(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write the archives themselves (to be refused)."""
    for number in range(2):
        chosen = of_split(pictures, "train")[number::2]
        put(root / f"train_images_{number}.tar.gz", tar_gz_of((hf_name(p), p.data) for p in chosen))
    for split in ("val", "test"):
        put(root / f"{split}_images.tar.gz", tar_gz_of((hf_name(p), p.data) for p in of_split(pictures, split)))
    return root


def webdataset(root: Path, pictures: Sequence[Picture], with_json: bool = True) -> Path:
    """Write train and val as the shards of timm/imagenet-1k-wds."""
    info: dict[str, Any] = {}
    # The real names have four digits for train and two for validation.
    for split, digits in (("train", 4), ("val", 2)):
        name = SPLIT_NAMES[split]
        info[name] = {"name": name, "num_samples": 0, "filenames": [], "shard_lengths": []}
        for shard, chosen in _files(pictures, f"imagenet1k-{{split}}-{{number:0{digits}d}}.tar", [split]):
            put(root / shard, tar_of(m for p in chosen for m in _sample(p, _label(pictures, p), with_json)))
            info[name]["num_samples"] += len(chosen)
            info[name]["filenames"].append(shard)
            info[name]["shard_lengths"].append(len(chosen))
    put(root / "_info.json", json.dumps({"splits": info}))
    put(root / "README.md", "---\nlicense: other\ntags:\n- webdataset\n---\n")
    put(root / ".gitattributes", "*.tar filter=lfs diff=lfs merge=lfs -text\n")
    return root


def _sample(picture: Picture, label: int, with_json: bool) -> list[Member]:
    height, width = size_px(picture.data)
    about = {"filename": f"{picture.wnid}/{picture.file}", "height": height, "label": label, "width": width}
    members: list[Member] = [(f"{stem(picture)}.cls", str(label).encode()), (f"{stem(picture)}.jpg", picture.data)]
    return [*members, (f"{stem(picture)}.json", json.dumps(about).encode())] if with_json else members


def tfrecord(root: Path, pictures: Sequence[Picture]) -> Path:
    """Write the files of TensorFlow Datasets' imagenet2012; test pictures without a class have label -1."""
    top, wnids = root / "imagenet2012" / "5.1.0", wnids_of(pictures)
    lengths: dict[str, list[int]] = {}
    for name, chosen in _files(pictures, "imagenet2012-{split}.tfrecord-{number:05d}-of-{count:05d}"):
        put(top / name, b"".join(_framed(_example(picture, _label(pictures, picture))) for picture in chosen))
        lengths.setdefault(SPLIT_NAMES[chosen[0].split], []).append(len(chosen))
    put(top / "label.labels.txt", "".join(f"{wnid}\n" for wnid in wnids))
    put_all(top, [(name, json.dumps(about, indent=4).encode()) for name, about in _tfds_files(lengths, len(wnids))])
    return top


def _framed(data: bytes) -> bytes:
    """A TFRecord: length and its checksum, then the data and theirs."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    crc32c = pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    crc = crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + CRC_MASK) & 0xFFFFFFFF)


def _example(picture: Picture, label: int) -> bytes:
    example = _example_class()()
    features = example.features.feature
    features["image"].bytes_list.value.append(picture.data)
    features["label"].int64_list.value.append(label)
    features["file_name"].bytes_list.value.append(picture.file.encode())
    return example.SerializeToString(deterministic=True)


@functools.cache
def _example_class() -> Any:
    """`tf.train.Example`, from a description of its own; source: tensorflow/core/example/{example,feature}.proto."""
    descriptors = pytest.importorskip("google.protobuf.descriptor_pb2", reason="protobuf is not installed")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptors.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    for name, kind in (("BytesList", BYTES), ("FloatList", FLOAT), ("Int64List", INT64)):
        file.message_type.add(name=name).field.add(name="value", number=1, label=REPEATED, type=kind)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes", "float", "int64"), 1):
        kind = f".tensorflow.{name.capitalize()}List"
        feature.field.add(
            name=f"{name}_list", number=number, label=OPTIONAL, type=MESSAGE, type_name=kind, oneof_index=0
        )
    features = file.message_type.add(name="Features")
    pair = features.nested_type.add(name="FeatureEntry")
    pair.options.map_entry = True
    pair.field.add(name="key", number=1, label=OPTIONAL, type=STRING)
    pair.field.add(name="value", number=2, label=OPTIONAL, type=MESSAGE, type_name=".tensorflow.Feature")
    entry = ".tensorflow.Features.FeatureEntry"
    features.field.add(name="feature", number=1, label=REPEATED, type=MESSAGE, type_name=entry)
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, label=OPTIONAL, type=MESSAGE, type_name=".tensorflow.Features")
    # A pool of its own, because TensorBoard registers the same names in the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _tfds_files(lengths: dict[str, list[int]], classes: int) -> list[tuple[str, dict[str, Any]]]:
    core = "tensorflow_datasets.core.features"
    image = {"shape": {"dimensions": ["-1", "-1", "3"]}, "dtype": "uint8", "encodingFormat": "jpeg"}
    features = {
        "file_name": {"pythonClassName": f"{core}.text_feature.Text", "text": {}},
        "image": {"pythonClassName": f"{core}.image_feature.Image", "image": image},
        "label": {
            "pythonClassName": f"{core}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(classes)},
        },
    }
    named = f"{core}.features_dict.FeaturesDict"
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = [
        {"name": split, "filepathTemplate": template, "shardLengths": [str(length) for length in shards]}
        for split, shards in lengths.items()
    ]
    about = {"name": "imagenet2012", "version": "5.1.0", "fileFormat": "tfrecord", "splits": splits}
    return [
        ("features.json", {"pythonClassName": named, "featuresDict": {"features": features}}),
        ("dataset_info.json", about),
    ]
