"""The files that Hugging Face published before Parquet, unpacked: the class is the last part of every name."""

from __future__ import annotations

from itertools import islice

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Answer, Claim, Question
from alexnet_pipeline.raw.forms import Flat, Form, Several
from alexnet_pipeline.raw.tree import Folder

LOOKS_LIKE = "train_images_0.tar.gz and so on, unpacked; every name ends in its class"
TREE = """\
imagenet-1k/
  train_images/n01440764_10026_n01440764.JPEG
  val_images/ILSVRC2012_val_00000293_n01440764.JPEG"""
ENDING = "_images"
# Names that are looked at to recognise a folder.
LOOKED_AT = 100


def recognise(question: Question) -> Answer:
    """Claim a place whose images have their class at the end of their names, or whose folders hold such images."""
    root = question.root
    if _has_classes(root):
        _check_one_split(root)
        return Claim(f"names like {_first(root)}", {question.only_split(): _form(root)})
    found: dict[str, list[Folder]] = {}
    unlabelled: dict[str, str] = {}
    for name in root.names.folders:
        split = names.split_of(name.lower().rstrip("0123456789").rstrip("_").removesuffix(ENDING))
        folder = root.folder(name)
        if split and _has_classes(folder):
            found.setdefault(split, []).append(folder)
        elif split == "test":
            unlabelled[folder.path] = "no labels"
    if not found:
        return None
    first = next(iter(found.values()))[0]
    forms = {split: Several(tuple(map(_form, folders))) for split, folders in found.items()}
    return Claim(f"names like {first.join(_first(first))}", forms, unlabelled=unlabelled)


def _check_one_split(folder: Folder) -> None:
    """Refuse train and val in one folder, as archives leave them that were unpacked in the same place."""
    images = [ending[0] for name in folder.names.files if (ending := names.class_at_end(name))]
    of_val = [name for name in images if names.number_of(name)[0]]
    if of_val and len(of_val) < len(images):
        raise RefusedError(
            f"{folder.label()} mixes train with val, like {of_val[0]}; move the images of each split to a "
            "folder of its own, train_images/ and val_images/"
        )


def _has_classes(folder: Folder) -> bool:
    images = list(islice(filter(names.may_be_image, folder.names.files), LOOKED_AT))
    return bool(images) and all(map(names.class_at_end, images))


def _first(folder: Folder) -> str:
    return next(name for name in folder.names.files if names.may_be_image(name))


def _form(folder: Folder) -> Form:
    classes = {ending[1] for name in folder.names.files if (ending := names.class_at_end(name))}
    return Flat(folder, _class_of, tuple(sorted(classes)), "the ending of its name", class_at_end=True)


def _class_of(name: str) -> str | None:
    ending = names.class_at_end(name)
    return ending[1] if ending else None
