"""Data sets in numbered container files: which split each file belongs to, and whether files are missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Question
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.text import counted

# `train-00000-of-00294`, which Hugging Face followed by a hash, `imagenet1k-train-0000` and `0000`, without suffix.
_NUMBERED = re.compile(r"(?P<prefix>.*?)[-_.]?(?P<number>\d+)(?:-of-(?P<count>\d+)(?:-[0-9a-f]{16})?)?")
# The index of a data set of this program.
MANIFEST = "manifest.json"
_BETWEEN_WORDS = re.compile(r"[-_.]")


@dataclass(frozen=True, slots=True)
class Container:
    """A container file.

    Attributes:
        folder: the folder that holds it.
        name: its name.
        prefix: its name without number and suffix.
        number: its number among its split's files; None without one.
        count: how many such files there are, if its name says so.
    """

    folder: Folder
    name: str
    prefix: str
    number: int | None
    count: int | None

    @classmethod
    def of(cls, folder: Folder, name: str, stem: str) -> Container:
        """The container of a file; `stem` is its name without the suffix."""
        match = _NUMBERED.fullmatch(stem)
        if match is None:
            return cls(folder, name, stem, None, None)
        count = match["count"]
        return cls(folder, name, match["prefix"], int(match["number"]), int(count) if count else None)

    @property
    def path(self) -> str:
        """Its path from the source."""
        return self.folder.join(self.name)

    @property
    def file(self) -> Location:
        """The file."""
        location = self.folder.location(self.name)
        assert location is not None, "containers are not read in archives"
        return location

    def split(self) -> str | None:
        """The split that its name says, or else that of its folder."""
        words = [names.split_of(word) for word in _BETWEEN_WORDS.split(self.prefix)]
        named = [split for split in words if split]
        return named[-1] if named else names.split_of(self.folder.path.rpartition("/")[2])

    def data_set(self) -> str:
        """What is left of its name without its split: files of one data set agree in it."""
        kept = [word for word in _BETWEEN_WORDS.split(self.prefix) if word and not names.split_of(word)]
        above = self.folder.path if names.split_of(self.folder.path.rpartition("/")[2]) is None else ""
        return "-".join([*([above] if above else []), *kept])


def by_split(question: Question, containers: Sequence[Container]) -> dict[str, list[Container]]:
    """Sort the files of one data set into splits, and drop the splits that are not wanted.

    Raises:
        RefusedError: the files are of several data sets, only some say their split, or some are missing.
    """
    sets = {container.data_set() for container in containers}
    if len(sets) > 1:
        listed = names.first_names(next(c.path for c in containers if c.data_set() == each) for each in sorted(sets))
        raise RefusedError(
            f"the files are of {len(sets)} data sets, like {listed}; keep one of them, or link it to a folder"
        )
    silent = [container for container in containers if container.split() is None]
    if silent and len(silent) < len(containers):
        raise RefusedError(f"{silent[0].path} does not say its split, unlike others; rename it or move it away")
    splits: dict[str, list[Container]] = {}
    for container in containers:
        splits.setdefault(container.split() or question.only_split(), []).append(container)
    wanted = {split: files for split, files in splits.items() if question.wants(split)}
    for split, files in wanted.items():
        _check_once(split, files)
        if "missing-files" not in question.options.allow:
            _check_complete(split, files)
    return wanted


def _check_once(split: str, files: Sequence[Container]) -> None:
    """Refuse a split that is there twice, under two names or in two numberings."""
    kinds = {(container.folder.path, container.prefix, container.count): container for container in files}
    if len(kinds) > 1:
        listed = names.first_names(container.path for container in kinds.values())
        raise RefusedError(f"{split} is there {len(kinds)} times, or in two numberings ({listed}); keep one of them")
    for container in files:
        above = names.split_of(container.folder.path.rpartition("/")[2])
        if above not in {None, split}:
            raise RefusedError(f"{container.path} is {split} by its name, but lies in {above}/; move it")


def check_listed(question: Question, folder: Folder, listed: Iterable[str], table: str) -> None:
    """Make sure that every file that an index lists is there.

    Raises:
        RefusedError: some are missing.
    """
    missing = sorted(file for file in set(listed) if not _is_there(folder, file))
    if missing and "missing-files" not in question.options.allow:
        raise RefusedError(
            f"{folder.join(table)} lists {counted(len(missing), 'file')} that {'is' if len(missing) == 1 else 'are'} "
            f"missing ({names.first_names(missing)}); fetch what is missing, or choose `allow='missing-files'`"
        )


def _is_there(folder: Folder, file: str) -> bool:
    inner = folder.at(file.rpartition("/")[0]) if "/" in file else folder
    return inner is not None and file.rpartition("/")[2] in inner.names.files


def _check_complete(split: str, files: Sequence[Container]) -> None:
    """Refuse a split of which numbered files are missing; without a count, numbers run from 0 or 1 without gaps."""
    present = {container.number for container in files if container.number is not None}
    count = files[0].count
    if count is None and (len(present) < 2 or MANIFEST in files[0].folder.names.files):
        return  # a single file; or a data set of this program, whose index says which shards have no samples
    first = 0 if count or 0 in present else 1
    last = count if count else max(present) + 1
    lacking = last - first - sum(first <= number < last for number in present)
    if lacking > 0:
        missing = next(number for number in range(first, last) if number not in present)
        raise RefusedError(
            f"{split} lacks {lacking:,} of its {last - first:,} files, the first is number {missing:05d}; fetch them, "
            "or choose `allow='missing-files'`"
        )
