"""What readers must find in shards: keys, labels, bytes and pixels, read with Python's `tarfile`."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from readers.readings import hash_bytes, hash_pixels

from alexnet_pipeline.pixels.codec import decode_sample
from alexnet_pipeline.records import EXTENSIONS, Encoding


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as it lies in its tar; the hashes are those of `readers.readings.Reading`.

    Attributes:
        key: its key.
        label: its label.
        wnid: its class.
        name: its file in the source, `CLASS/FILE`.
        source: SHA-256 of that file.
        record: SHA-256 of the `.json` member.
        image: SHA-256 of the encoded image.
        pixels: hash of the image, decoded by our decoder.
    """

    key: str
    label: int
    wnid: str
    name: str
    source: str
    record: str
    image: str
    pixels: str


# The samples of every set, by the names of its method's folder and of its split.
Truth = dict[tuple[str, str], list[Sample]]


def read_truth(shards: Path, encoding: Encoding) -> Truth:
    """Read all sets in a folder of METHOD/SPLIT.

    Raises:
        ValueError: a set does not hold as many samples as its manifest says, or two labels of a sample differ.
    """
    truth = {}
    for manifest in sorted(shards.glob("*/*/manifest.json")):
        folder = manifest.parent
        samples = [sample for tar in sorted(folder.glob("*.tar")) for sample in _read_tar(tar, encoding)]
        promised = sum(shard["samples_images"] for shard in json.loads(manifest.read_bytes())["shards"])
        if len(samples) != promised:
            raise ValueError(f"{folder} holds {len(samples)} samples, its manifest says {promised}")
        truth[folder.parent.name, folder.name] = samples
    return truth


def _read_tar(path: Path, encoding: Encoding) -> list[Sample]:
    members: dict[str, dict[str, bytes]] = defaultdict(dict)
    with tarfile.open(path) as archive:
        for member in archive:
            key, _, extension = member.name.partition(".")
            file = archive.extractfile(member)
            assert file
            members[key][extension] = file.read()
    return [_sample(key, found, encoding) for key, found in members.items()]


def _sample(key: str, members: dict[str, bytes], encoding: Encoding) -> Sample:
    image, label, record = members[EXTENSIONS[encoding]], int(members["cls"]), json.loads(members["json"])
    if record["label"] != label:
        raise ValueError(f"sample {key} has the label {label} in .cls and {record['label']} in .json")
    return Sample(
        key=key,
        label=label,
        wnid=record["wnid"],
        name=record["name"],
        source=record["sha256"],
        record=hash_bytes(members["json"]),
        image=hash_bytes(image),
        pixels=hash_pixels(decode_sample(image, encoding)),
    )


def check_labels(source: Path, truth: Truth) -> int:
    """Check the truth itself against a source of class folders: each label is the position of the folder's name.

    Returns:
        The number of samples that were checked: those whose file lies in `SOURCE/SPLIT/CLASS/` or `SOURCE/CLASS/`.

    Raises:
        ValueError: a sample has another label or comes from other bytes.
    """
    checked = 0
    for (_, split), samples in truth.items():
        root = source / split if (source / split).is_dir() else source
        classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []
        for sample in samples:
            path = root / sample.name
            if path.is_file():
                checked += 1
                data_hash = hashlib.sha256(path.read_bytes()).hexdigest()
                if (sample.source, sample.label) != (data_hash, classes.index(path.parent.name)):
                    raise ValueError(f"sample {sample.key} has another label or source than {path}")
    return checked


def count_distinct(truth: Truth) -> int:
    """The number of samples whose image is not the same in any two methods, so that a mix-up of methods shows."""
    images = defaultdict(list)
    for (_, split), samples in truth.items():
        for sample in samples:
            images[split, sample.key].append(sample.image)
    return sum(len(set(found)) == len(found) for found in images.values())
