"""Tars of classes: a tar for each class, named after its WordNet ID, as in ImageNet-21k and half-extracted sets."""

from __future__ import annotations

from alexnet_pipeline.raw.claim import Answer, Claim, Question, split_folders, split_forms
from alexnet_pipeline.raw.forms import ClassFolders, has_class_tars, is_class_tar

LOOKS_LIKE = "a tar for each class, at the top or in train/; some classes may be folders already"
TREE = """\
winter21_whole/
  n01440764.tar
  n01443537.tar"""


def recognise(question: Question) -> Answer:
    """Claim a place that holds tars named after classes, itself or in its split folders."""
    root = question.root
    tars = [name for name in root.names.files if is_class_tar(name)]
    if tars:
        form = ClassFolders(root, allow=question.options.allow)
        return Claim(f"{len(tars):,} tars like {tars[0]}", {question.only_split(): form})
    folders = split_folders(question, root)
    with_tars = [f for f in folders.by_class.values() if has_class_tars(f)]
    if not with_tars:
        return None
    forms, unlabelled = split_forms(question, folders, {})
    first = next(name for name in with_tars[0].names.files if is_class_tar(name))
    return Claim(f"tars of classes like {with_tars[0].join(first)}", forms, unlabelled=unlabelled)
