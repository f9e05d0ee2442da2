"""Kaggle's ImageNet Object Localization Challenge: class folders for train, and a table of labels for a flat val."""

from __future__ import annotations

from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Answer, Claim, Near, Question, find_beside, flat_form, split_folders, split_forms
from alexnet_pipeline.raw.forms import ClassFolders, Flat
from alexnet_pipeline.raw.labels import parse_labels
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.raw.words import parse_words

LOOKS_LIKE = "Kaggle's tree, its zip, or one of its inner folders; LOC_val_solution.csv labels val"
TREE = """\
imagenet-object-localization-challenge/   or the .zip
  LOC_synset_mapping.txt
  LOC_val_solution.csv
  ILSVRC/Data/CLS-LOC/
    train/n01440764/n01440764_10026.JPEG
    val/ILSVRC2012_val_00000001.JPEG
    test/"""
MAPPING, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
INNER = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC")


def recognise(question: Question) -> Answer:
    """Claim a place that is Kaggle's tree, or an inner folder of it with Kaggle's tables in a parent.

    Raises:
        RefusedError: a wanted split has no labels.
    """
    root = question.root
    inner = next((folder for path in INNER if (folder := root.at(path)) is not None), None)
    place = inner or root
    places = [root] if inner is None else [root, place]
    if inner is None and not _is_inner(root) and not {SOLUTION, MAPPING} & set(root.names.files):
        return None
    solution, mapping = find_beside(question, places, SOLUTION), find_beside(question, places, MAPPING)
    if inner is None and not (solution or mapping):
        return None
    folders = split_folders(question, place)
    if not (folders.by_class or folders.flat):
        return _split_alone(question, place, solution, mapping)
    truth: dict[str, Flat] = {}
    if solution and "val" in folders.flat and question.labels is None:
        form = flat_form(folders.flat["val"], parse_labels(solution[1], SOLUTION, SOLUTION))
        truth |= {"val": form} if form else {}
    tests = {folders.flat.pop("test").path: "no labels"} if "test" in folders.flat else {}
    forms, unlabelled = split_forms(question, folders, truth)
    words = parse_words(mapping[1]) if mapping else {}
    found = [name for name, each in ((MAPPING, mapping), (SOLUTION, solution)) if each]
    return Claim(
        evidence=", ".join([*found, place.label()]),
        splits=forms,
        words=words,
        class_list=tuple(words) or None,
        used=frozenset(each[0] for each in (solution, mapping) if each and each[0]),
        unlabelled=unlabelled | tests,
    )


def _is_inner(folder: Folder) -> bool:
    """Whether a folder is an inner one of Kaggle's tree, whose tables lie in its parents."""
    path = folder.file_path("")
    return path is not None and bool({"ILSVRC", "CLS-LOC"} & set(path.resolve().parts))


def _split_alone(
    question: Question, place: Folder, solution: tuple[str, str] | None, mapping: tuple[str, str] | None
) -> Answer:
    """The folder train or val itself, with the tables in one of its parents."""
    words = parse_words(mapping[1]) if mapping else {}
    listed = tuple(words) or None
    if any(map(names.WNID.fullmatch, place.names.folders)):
        folders = ClassFolders(place, allow=question.options.allow)
        return Claim(f"{MAPPING} in a parent", {question.only_split(): folders}, words, class_list=listed)
    if place.names.folders or not any(names.number_of(name)[0] for name in place.names.files[:1]):
        return None
    if solution is None:
        return Near(f"{SOLUTION} is in none of its parents")
    form = flat_form(place, question.labels or parse_labels(solution[1], SOLUTION, SOLUTION))
    if form is None:
        return Near(f"{SOLUTION} has none of its files")
    used = frozenset({solution[0]} - {""})
    return Claim(f"{SOLUTION} in a parent", {"val": form}, words, class_list=listed, used=used)
