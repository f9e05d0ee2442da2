"""ILSVRC2010, the data set of the AlexNet paper: three tars, a tar of corrected images, and the devkit."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.claim import Answer, Question
from alexnet_pipeline.raw.devkit import Challenge, Devkit, parse_ids
from alexnet_pipeline.raw.forms import ClassFolders, Form, every_file, open_member
from alexnet_pipeline.raw.layouts.ilsvrc2012 import devkit_claim, devkit_form, find_devkit
from alexnet_pipeline.raw.listing import ListingBuilder
from alexnet_pipeline.raw.tree import Folder

LOOKS_LIKE = "the original tars; patch_images.tar replaces images by name, and the truth file labels test"
TREE = """\
ILSVRC2010/
  ILSVRC2010_images_train.tar
  ILSVRC2010_images_val.tar
  ILSVRC2010_images_test.tar
  ILSVRC2010_devkit-1.0.tar.gz  or devkit-1.0/
  ILSVRC2010_test_ground_truth.txt
  patch_images.tar"""
TARS = {split: f"ILSVRC2010_images_{split}.tar" for split in ("train", "val", "test")}
DEVKITS = ("ILSVRC2010_devkit-1.0", "devkit-1.0")
TEST_TRUTH = "ILSVRC2010_test_ground_truth.txt"
PATCH = "patch_images.tar"
CHALLENGE = Challenge(2010)


@dataclass(frozen=True)
class Patched:
    """A form some of whose images are replaced, by name, by those of another folder."""

    form: Form
    patches: Folder

    def classes(self) -> tuple[str, ...]:
        """The class names of the form."""
        return self.form.classes()

    def taken(self) -> tuple[str, ...]:
        """What the form takes."""
        return self.form.taken()

    def fill(self, builder: ListingBuilder) -> None:
        """Add the images of the form, with replacements."""
        place = builder.add_place(self.patches.place)
        for entry in every_file(self.patches):
            if entry.fault is None:
                builder.patch(entry.name, place, entry)
        self.form.fill(builder)


def recognise(question: Question) -> Answer:
    """Claim a place with one of the original tars.

    Raises:
        RefusedError: a wanted split has no labels.
    """
    root = question.root
    tars = {split: name for split, name in TARS.items() if name in root.names.files}
    if not tars:
        return None
    found = [find_devkit(root, name, CHALLENGE) for name in DEVKITS]
    devkit, devkit_name = next(((kit, name) for kit, name in found if kit), (None, ""))
    patches = open_member(root, PATCH) if PATCH in root.names.files else None
    used = {name for name in (devkit_name, PATCH, TEST_TRUTH) if name in (*root.names.files, *root.names.folders)}
    forms: dict[str, Form] = {}
    unlabelled: dict[str, str] = {}
    for split, name in tars.items():
        if not question.wants(split):
            unlabelled[name] = "a split that is not wanted"
            continue
        if split == "test" and TEST_TRUTH not in root.names.files and "test" not in question.splits:
            unlabelled[name] = f"no {TEST_TRUTH}"
            continue
        form = _form(question, split, name, devkit)
        forms[split] = Patched(form, patches) if patches else form
    return dataclasses.replace(
        devkit_claim([*tars.values(), *sorted(used)], forms, devkit),
        used=frozenset(used | {name for name in tars.values() if name not in unlabelled}),
        unlabelled=unlabelled,
        notes=()
        if patches
        else (f"{PATCH} is not there, so images that it corrects are taken as they were published",),
    )


def _form(question: Question, split: str, name: str, devkit: Devkit | None) -> Form:
    root = question.root
    if split == "train":
        return ClassFolders(open_member(root, name), allow=question.options.allow)
    if devkit is None:
        raise RefusedError(f"{name} needs {DEVKITS[0]}.tar.gz beside it for its labels; add that, or name other splits")
    if split == "test":
        if TEST_TRUTH not in root.names.files:
            raise RefusedError(f"{name} needs {TEST_TRUTH} beside it for its labels")
        ids = parse_truth(root.read(TEST_TRUTH), len(devkit.wnids))
        devkit = dataclasses.replace(devkit, split="test", image_ids=ids, path=TEST_TRUTH)
    return devkit_form(open_member(root, name), devkit)


def parse_truth(text: bytes, classes: int) -> tuple[int, ...]:
    """Read the IDs of the test images.

    Raises:
        RefusedError: a line is not the ID of a class.
    """
    try:
        ids = parse_ids(text)
    except ValueError as error:
        raise RefusedError(f"{TEST_TRUTH} cannot be read: {error}") from error
    if any(not 1 <= number <= classes for number in ids):
        raise RefusedError(f"{TEST_TRUTH}: labels are outside 1..{classes}")
    return ids
