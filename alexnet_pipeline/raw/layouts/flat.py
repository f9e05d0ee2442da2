"""A flat folder of images of all classes, with a table of labels that the user names."""

from __future__ import annotations

from pathlib import Path

from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Answer, Claim, Near, Question, flat_form, split_folders, split_forms
from alexnet_pipeline.raw.forms import Flat
from alexnet_pipeline.raw.labels import Labels
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.text import counted

LOOKS_LIKE = "images in one folder, or in flat train/ and val/, and `--labels FILE` with (file, class)"
TREE = """\
photos/
  0001.jpg
  0002.jpg
labels.csv"""


def recognise(question: Question) -> Answer:
    """Claim a place with images of its own, or flat folders of them, if the user named labels for them."""
    folders = split_folders(question, question.root)
    if folders.by_class:
        return None
    here = _holds_files(question.root)
    labels = question.labels
    if labels is None:
        return _without_labels(question.root, list(folders.flat.values()), here=here)
    if folders.flat and not here:
        forms, unlabelled = split_forms(question, folders, {})
        return Claim(f"flat folders with labels of {Path(labels.source).name}", forms, unlabelled=unlabelled)
    holder = question.root if here else _only_folder(question.root)
    return _labelled(question, holder, labels) if holder else None


def _without_labels(root: Folder, flat: list[Folder], *, here: bool) -> Answer:
    if here and not root.names.folders:
        found = names.first_names(filter(names.looks_like_image, root.names.files), 1)
        return Near(f"images ({found}) lie in one folder; name a table of their labels with `labels`")
    if flat:
        which = " and ".join(folder.label() for folder in flat)
        verb = "hold" if len(flat) > 1 else "holds"
        return Near(f"{which} {verb} images without class folders; name a table of their labels with `labels`")
    return None


def _labelled(question: Question, folder: Folder, labels: Labels) -> Answer:
    form = flat_form(folder, labels)
    table = Path(labels.source).name
    if form is None:
        listed = names.first_names(folder.names.files)
        return Near(f"{labels.source} has none of the files of {folder.label()} ({listed})")
    return Claim(
        f"a flat folder with labels of {table}", {question.only_split(): form}, notes=_notes(form, labels, table)
    )


def _holds_files(folder: Folder) -> bool:
    return any(map(names.looks_like_image, folder.names.files))


def _only_folder(root: Folder) -> Folder | None:
    """The folder that alone holds images, such as `images/` beside the table."""
    holders = [root.folder(name) for name in root.names.folders if _holds_files(root.folder(name))]
    return holders[0] if len(holders) == 1 else None


def _notes(form: Flat, labels: Labels, table: str) -> tuple[str, ...]:
    present = {key for name in form.folder.names.files for key in (name, name.rpartition(".")[0])}
    missing = [path for path, _ in labels.pairs if path.rpartition("/")[2] not in present]
    if not missing:
        return ()
    return (f"{counted(len(missing), 'row')} of {table} without an image: {names.first_names(missing)}",)
