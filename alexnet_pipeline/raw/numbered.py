"""Sources whose images have numeric labels: their rows, and the names of the classes that the numbers mean."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.claim import Claim, Question
from alexnet_pipeline.raw.listing import ListingBuilder, TextColumn
from alexnet_pipeline.raw.names import WNID
from alexnet_pipeline.raw.tree import Place
from alexnet_pipeline.raw.words import known_words
from alexnet_pipeline.records import Reason, Reject
from alexnet_pipeline.text import counted

# The label that Hugging Face and TensorFlow give images without one.
UNLABELLED = -1
# Largest label; ImageNet-21k has 21,843 classes.
MAX_LABEL = 65_535


@dataclass
class Rows:
    """The images of one split, in columns.

    Attributes:
        places: the files that hold them.
        files: file name of each image.
        keys: key that the source gives each image; empty for none.
        labels: label of each image.
        place_of: index into `places` of each image.
        offsets: offset or row of each image in its place.
        sizes: size of each image in bytes.
        version: modification time of each place.
        wnids: for each label the wnids that its images' names say.
        rejects: inputs that cannot be images.
        ignored: files that are not images, by (what, why).
    """

    places: list[Place] = field(default_factory=list)
    files: TextColumn = field(default_factory=TextColumn)
    keys: TextColumn = field(default_factory=TextColumn)
    labels: array[int] = field(default_factory=lambda: array("i"))
    place_of: array[int] = field(default_factory=lambda: array("i"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    version: list[int] = field(default_factory=list)
    wnids: dict[int, set[str]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add_place(self, place: Place, version: int) -> None:
        """Begin a file; the images that are added next lie in it."""
        self.places.append(place)
        self.version.append(version)

    def add(self, label: int, file: str, offset: int, size_bytes: int, *, key: str = "", wnid: str = "") -> None:
        """Add an image of the last place."""
        if label == UNLABELLED:
            self.ignored["images", f"label {label}, which is no class"] += 1
            return
        if not 0 <= label <= MAX_LABEL:
            self.reject(key or file, Reason.NO_LABEL, f"label {label}, expected 0 to {MAX_LABEL:,}")
            return
        self.files.append(file)
        self.keys.append(key)
        self.labels.append(label)
        self.place_of.append(len(self.places) - 1)
        self.offsets.append(offset)
        self.sizes.append(size_bytes)
        known = self.wnids.setdefault(label, set())
        if wnid and len(known) < 2:  # two contradict each other already
            known.add(wnid)

    def reject(self, name: str, reason: Reason, detail: str) -> None:
        """Record an input that cannot be an image."""
        self.rejects.append(Reject(name, reason, detail))


@dataclass(frozen=True)
class Numbered:
    """The form of a split whose rows are known.

    Attributes:
        rows: its images.
        names: class names in label order.
        paths: the files that hold them, from the source.
    """

    rows: Rows
    names: tuple[str, ...]
    paths: tuple[str, ...]

    def classes(self) -> tuple[str, ...]:
        """The class names in label order."""
        return self.names

    def taken(self) -> tuple[str, ...]:
        """The files."""
        return self.paths

    def fill(self, builder: ListingBuilder) -> None:
        """Add every row."""
        rows = self.rows
        places = [builder.add_place(place) for place in rows.places]
        for position in range(len(rows.labels)):
            at = rows.place_of[position]
            builder.add(
                self.names[rows.labels[position]],
                rows.files[position],
                places[at],
                rows.sizes[position],
                rows.version[at],
                rows.offsets[position],
                rows.keys[position] or None,
            )
        for reject in rows.rejects:
            builder.reject(reject.name, Reason(reject.reason), reject.detail)
        builder.ignored += rows.ignored
        builder.used += len(self.paths)


def numbered_claim(
    question: Question,
    rows: Mapping[str, Rows],
    paths: Mapping[str, tuple[str, ...]],
    given: tuple[str, ...],
    source: str,
) -> Claim:
    """The claim of a source with numeric labels, without its evidence.

    Args:
        question: what is asked.
        rows: the images of each split.
        paths: the files that hold them.
        given: names or words of the classes in label order; empty if the source gives none.
        source: where these come from, for messages.

    Raises:
        RefusedError: a label is beyond the given names, or the images' names contradict it.
    """
    classes, words = name_classes(rows, given, source)
    # Only test is published without labels; another split without any is a fault.
    unlabelled = [
        split
        for split, each in rows.items()
        if split == "test" and each.ignored and not each.labels and not each.rejects and split not in question.splits
    ]
    return Claim(
        "",
        {split: Numbered(each, classes, paths[split]) for split, each in rows.items() if split not in unlabelled},
        words,
        class_list=classes if given else None,
        order=classes,
        used=frozenset(path for split in unlabelled for path in paths[split]),
        ignored={(f"images of {split}", "no labels"): sum(rows[split].ignored.values()) for split in unlabelled},
    )


def name_classes(
    splits: Mapping[str, Rows], given: Sequence[str], source: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Name the classes that the numbers mean: by the wnids in the images' names, else by the names that are given.

    Args:
        splits: the rows of each split.
        given: names or words of the classes in label order; empty if the source gives none.
        source: where these come from, for messages.

    Returns:
        The class names in label order, and the words of classes where the given names are words.

    Raises:
        RefusedError: a label is beyond the given names, or the wnids of two splits, or the given ones, contradict it.
    """
    said: dict[int, str] = {}
    plain = True  # whether every wnid belongs to one label and every label to one wnid
    for split, rows in splits.items():
        own = {label: next(iter(wnids)) for label, wnids in rows.wnids.items() if len(wnids) == 1}
        if len(set(own.values())) < len(own) or any(len(wnids) > 1 for wnids in rows.wnids.values()):
            plain = False
            continue
        for label, wnid in own.items():
            if said.setdefault(label, wnid) != wnid:
                raise RefusedError(
                    f"the label {label} is {wnid} by the names of {split}'s images, but {said[label]} by those of "
                    "another split; convert one split at a time"
                )
    labels = {label for rows in splits.values() for label in rows.wnids}
    count = max([len(given), *(label + 1 for label in labels)])
    if given and count > len(given):
        raise RefusedError(f"{source} names {counted(len(given), 'class')}, but an image has the label {count - 1}")
    if plain:
        _check_given(said, given, source)
    known = known_words()
    order = tuple(known)
    if given and len(set(given)) == len(given) and all(given[label] == name for label, name in said.items()):
        return tuple(given), {}
    if list(given) == list(known.values()) and all(order[label] == name for label, name in said.items()):
        return order, {}
    if plain and said and labels == said.keys() and len(set(said.values())) == len(said):
        named = tuple(said.get(label, str(label)) for label in range(count))
    elif given and len(set(given)) == len(given):
        return tuple(given), {}
    else:
        named = tuple(str(label) for label in range(count))
    return named, {name: text for name, text in zip(named, given, strict=False) if name != text}


def _check_given(said: Mapping[int, str], given: Sequence[str], source: str) -> None:
    """Refuse class names that are wnids, but others than those of the images' names."""
    for label, wnid in said.items():
        if given and WNID.fullmatch(given[label]) and given[label] != wnid:
            raise RefusedError(
                f"the label {label} is {given[label]} by {source}, but its images are named after {wnid}"
            )
