"""The layouts of ImageNet, one module each; `LAYOUTS` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alexnet_pipeline.raw.claim import Answer, Question
from alexnet_pipeline.raw.layouts import (
    class_folders,
    flat,
    hf_files,
    ilsvrc2010,
    ilsvrc2012,
    kaggle,
    parquet,
    tfrecord,
    tiny_imagenet,
    webdataset,
    wnid_tars,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout.

    Attributes:
        name: its name, as `layout` takes it.
        title: what it is called in messages.
        looks_like: what it looks like, and where its labels come from.
        tree: an example.
        recognise: asks it about a source.
        shape: whether it is only a shape of folders; such layouts are asked after those that have files of their own.
    """

    name: str
    title: str
    looks_like: str
    tree: str
    recognise: Callable[[Question], Answer]
    shape: bool = False


LAYOUTS = (
    Layout("ilsvrc2012", "ILSVRC2012", ilsvrc2012.LOOKS_LIKE, ilsvrc2012.TREE, ilsvrc2012.recognise),
    Layout("ilsvrc2010", "ILSVRC2010", ilsvrc2010.LOOKS_LIKE, ilsvrc2010.TREE, ilsvrc2010.recognise),
    Layout("kaggle", "Kaggle CLS-LOC", kaggle.LOOKS_LIKE, kaggle.TREE, kaggle.recognise),
    Layout("parquet", "Hugging Face Parquet", parquet.LOOKS_LIKE, parquet.TREE, parquet.recognise),
    Layout("webdataset", "WebDataset", webdataset.LOOKS_LIKE, webdataset.TREE, webdataset.recognise),
    Layout("tfrecord", "TensorFlow Datasets", tfrecord.LOOKS_LIKE, tfrecord.TREE, tfrecord.recognise),
    Layout("tiny-imagenet", "Tiny-ImageNet", tiny_imagenet.LOOKS_LIKE, tiny_imagenet.TREE, tiny_imagenet.recognise),
    Layout("hf-files", "Hugging Face files", hf_files.LOOKS_LIKE, hf_files.TREE, hf_files.recognise),
    Layout("wnid-tars", "tars of classes", wnid_tars.LOOKS_LIKE, wnid_tars.TREE, wnid_tars.recognise, shape=True),
    Layout(
        "class-folders",
        "class folders",
        class_folders.LOOKS_LIKE,
        class_folders.TREE,
        class_folders.recognise,
        shape=True,
    ),
    Layout("flat", "flat folder with labels", flat.LOOKS_LIKE, flat.TREE, flat.recognise, shape=True),
)
