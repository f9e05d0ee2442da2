"""The two files in a method's folder that describe its splits: timm's `_info.json` and a Hugging Face dataset card.

timm takes one root for all splits. `datasets` needs the card: without it, it guesses the format from the numbers of
tars and of JSON files, and gets it wrong.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress

from alexnet_pipeline.dataset.index import TIMM, timm_index, timm_split
from alexnet_pipeline.dataset.manifest import Manifest, read_manifest
from alexnet_pipeline.dataset.open import SampleRecord
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import EXTENSIONS, Conversion, SetOptions
from alexnet_pipeline.shards.names import shard_prefix
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import exists, read_whole
from alexnet_pipeline.storage.writing import naming, write_whole
from alexnet_pipeline.text import printable

CARD = "README.md"
# The names that `datasets` expects, by ours, in the order of the card.
SPLITS = {"train": "train", "val": "validation", "test": "test"}
# A card without this line is the user's own.
MARK = "# alexnet-pipeline writes this file anew with every finished split; remove this line to keep your changes."
# Types of a record's fields in `datasets`, where a field that a sample lacks is None.
TYPES = {"int": "int32", "str": "string", "bool": "bool"}


def finished_splits(folder: Location) -> dict[str, Manifest]:
    """The manifests of the finished splits in a method's folder, without those that cannot be read."""
    found = {}
    for split in SPLITS:
        with suppress(PipelineError):
            manifest = read_manifest(folder / split)
            find_method(manifest.options.method)  # a later release may know more methods
            if manifest.split == split:
                found[split] = manifest
    return found


def describe(folder: Location, splits: Mapping[str, Manifest]) -> None:
    """Write both files of a method's folder, but leave a card alone that is the user's own.

    Raises:
        PipelineError: a file cannot be written.
    """
    write_whole(folder / TIMM, splits_index(splits))
    path = folder / CARD
    with naming(path):
        ours = not exists(path) or MARK.encode() in read_whole(path)
    if ours:
        write_whole(path, card(splits))


def splits_index(splits: Mapping[str, Manifest]) -> bytes:
    """Make the `_info.json` of timm for all splits of a method."""
    return timm_index(
        {
            split: timm_split(shard_prefix(each.options, split, each.format_version), each.shards, f"{split}/")
            for split, each in splits.items()
        }
    )


def card(splits: Mapping[str, Manifest]) -> bytes:
    """Make the dataset card: YAML that tells `datasets` how to read the splits, then Markdown for people.

    The first split decides what the card says; others that were converted in another way, or that have other classes,
    are left out of the YAML and named in the text.
    """
    ordered = {split: splits[split] for split in SPLITS if split in splits}
    first = next(iter(ordered.values()))
    alike = {split: each for split, each in ordered.items() if _nature(each) == _nature(first)}
    lines = ["---", MARK, *_front_matter(first, alike), "---", "", *_body(first, alike)]
    if len(alike) < len(ordered):
        others = ", ".join(f"`{split}/`" for split in ordered if split not in alike)
        lines += ["", f"Not described here, because its images or classes are of another kind: {others}."]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _nature(manifest: Manifest) -> tuple[object, ...]:
    """What the splits of one card must share."""
    conversion = [getattr(manifest.options, field.name) for field in dataclasses.fields(Conversion)]
    return manifest.classes, *conversion


def _front_matter(first: Manifest, splits: Mapping[str, Manifest]) -> Iterator[str]:
    with_images = [split for split, each in splits.items() if each.total_images]
    if with_images:  # a pattern that matches no file is an error
        yield from ("configs:", "- config_name: default", "  data_files:")
    for split in with_images:
        yield f"  - split: {SPLITS[split]}"
        yield f"    path: {split}/*.tar"
    yield from ("dataset_info:", "  features:", "  - name: cls", "    dtype:", "      class_label:", "        names:")
    for label, name in enumerate(first.classes):
        yield f'          "{label}": {json.dumps(printable(name), ensure_ascii=False)}'
    yield from _image_feature(first.options)
    yield from ("  - name: json", "    struct:")
    for field in dataclasses.fields(SampleRecord):
        yield from (f"    - name: {field.name}", f"      dtype: {TYPES[str(field.type)]}")
    for name in ("__key__", "__url__"):
        yield from (f"  - name: {name}", "    dtype: string")


def _image_feature(options: SetOptions) -> tuple[str, ...]:
    name = f"  - name: {EXTENSIONS[options.encoding]}"
    if options.encoding != "raw":
        return (name, "    dtype: image")
    if options.geometry == "shorter":  # their sizes differ
        return (name, "    list:", "      list:", "        list: uint8")
    shape = f"[{options.size_px}, {options.size_px}, 3]"
    return (name, "    dtype:", "      array3_d:", "        dtype: uint8", f"        shape: {shape}")


def _body(first: Manifest, splits: Mapping[str, Manifest]) -> Iterator[str]:
    options = first.options
    yield from (f"# {options.name}, downsampled by {options.method}", "")
    yield f"- Method: `{options.method}`, {first.definition}"
    yield f"- Geometry: `{options.geometry}`, {first.geometry_definition}; the size is {options.size_px} px"
    yield f"- Encoding: {_encoding(options)}"
    if options.linear_light:
        yield "- Resampled in linear light"
    yield from ("", "| split | images | shards | bytes of the tars |", "|---|--:|--:|--:|")
    for split, each in splits.items():
        tars = [shard.tar for shard in each.shards if shard.tar]
        size_bytes = sum(tar.size_bytes for tar in tars)
        yield f"| {split} | {each.total_images:,} | {len(tars):,} | {size_bytes:,} |"
    yield from ("", "`manifest.json` in a split's folder says how it was made, to the byte. To read the images:", "")
    yield from ("```python", "from datasets import load_dataset", "", 'load_dataset("path/of/this/folder")', "```")
    yield from ("", "## Classes", "", "| label | class | words |", "|--:|---|---|")
    for label, name in enumerate(first.classes):
        yield f"| {label} | {_cell(name)} | {_cell(first.words(label))} |"


def _encoding(options: SetOptions) -> str:
    if options.encoding == "jpg":
        return f"JPEG, quality {options.quality}, chroma subsampling {':'.join(options.subsampling)}"
    return "PNG" if options.encoding == "png" else "uncompressed, `.npy` of uint8"


def _cell(text: str) -> str:
    """Text of a table's cell, as Markdown shows it."""
    return "".join(f"\\{letter}" if letter in "\\|`*_[]<>" else letter for letter in printable(text))
