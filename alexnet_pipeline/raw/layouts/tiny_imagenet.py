"""Tiny-ImageNet: the images of a class lie in a folder `images`, and val has a table of labels."""

from __future__ import annotations

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.claim import Answer, Claim, Near, Question, flat_form
from alexnet_pipeline.raw.forms import ClassFolders, Form
from alexnet_pipeline.raw.labels import Labels
from alexnet_pipeline.raw.names import first_names
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.raw.words import parse_words
from alexnet_pipeline.text import counted

LOOKS_LIKE = "class folders with a folder images/ in each, val/images/ with val_annotations.txt"
TREE = """\
tiny-imagenet-200/
  wnids.txt
  words.txt
  train/n01443537/images/n01443537_0.JPEG
  val/images/val_0.JPEG
  val/val_annotations.txt
  test/images/"""
WNIDS, WORDS, ANNOTATIONS, IMAGES = "wnids.txt", "words.txt", "val_annotations.txt", "images"


def recognise(question: Question) -> Answer:
    """Claim a place with wnids.txt beside train/ or val/.

    Raises:
        RefusedError: a wanted split is not as the layout has it.
    """
    root = question.root
    listed = root.names
    if WNIDS not in listed.files or not {"train", "val"} & set(listed.folders):
        return _near(root)
    lines = root.read(WNIDS).decode("utf-8", "replace").splitlines()
    classes = tuple(line.split()[0] for line in lines if line.strip())
    forms: dict[str, Form] = {}
    used = {name for name in (WNIDS, WORDS) if name in listed.files}
    if "train" in listed.folders and question.wants("train"):
        forms["train"] = ClassFolders(root.folder("train"), inside=IMAGES, allow=question.options.allow)
    if "val" in listed.folders and question.wants("val"):
        forms["val"], table = _val(question, root.folder("val"))
        used |= table
    unknown = sorted({name for form in forms.values() for name in form.classes()} - set(classes))
    if unknown:
        found = counted(len(unknown), "class")
        raise RefusedError(
            f"{WNIDS} lacks {found} of {' and '.join(forms)} ({first_names(unknown)}); fetch the archive again"
        )
    words = parse_words(root.read(WORDS).decode("utf-8", "replace")) if WORDS in listed.files else {}
    unlabelled = {"test": "no labels"} if "test" in listed.folders else {}
    evidence = f"{WNIDS}, {IMAGES}/ in class folders"
    return Claim(evidence, forms, words, class_list=classes, used=frozenset(used), unlabelled=unlabelled)


def _near(root: Folder) -> Answer:
    train = root.at("train") or root
    first = next(iter(train.names.folders), None)
    if first is None or IMAGES not in train.folder(first).names.folders:
        return None
    return Near(f"{train.join(first)} holds {IMAGES}/, but {WNIDS} is not there")


def _val(question: Question, val: Folder) -> tuple[Form, set[str]]:
    """The form of val: flat with its table as published, or sorted into class folders since."""
    if IMAGES in val.names.folders and not val.folder(IMAGES).glance().files:
        raise RefusedError(f"{val.join(IMAGES)}/ is empty; remove it if its images were sorted into class folders")
    if ANNOTATIONS in val.names.files and IMAGES in val.names.folders:
        labels = parse_annotations(val.read(ANNOTATIONS), val.join(ANNOTATIONS))
        form = flat_form(val.folder(IMAGES), labels)
        if form is None:
            raise RefusedError(f"{labels.source} has none of the files of {val.join(IMAGES)}/; fetch the archive again")
        return form, {labels.source}
    if IMAGES in val.names.folders:
        raise RefusedError(
            f"{val.join(IMAGES)} needs {val.join(ANNOTATIONS)} for its labels; add it, or choose `split='train'`"
        )
    return ClassFolders(val, inside=IMAGES, allow=question.options.allow), set()


def parse_annotations(text: bytes, source: str) -> Labels:
    """Read lines of `FILE<tab>WNID<tab>box`.

    Raises:
        RefusedError: a line has no class.
    """
    rows = [line.split("\t") for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    if not rows or any(len(row) < 2 for row in rows):
        raise RefusedError(f"{source} is damaged; expected lines of file, class and box with tabs between")
    return Labels(tuple((row[0], row[1]) for row in rows), source)
