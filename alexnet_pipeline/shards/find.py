"""Find the data sets at or below a folder, and name what lies beside them, so that nothing is passed over."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_pipeline.dataset.index import TIMM
from alexnet_pipeline.dataset.manifest import MANIFEST
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw.names import is_clutter
from alexnet_pipeline.shards.card import CARD
from alexnet_pipeline.shards.check import Problem
from alexnet_pipeline.storage.place import Location, resolved
from alexnet_pipeline.storage.reading import names_in

# Deepest folder that is looked into, below the one that is named.
MAX_DEPTH = 64


@dataclass(slots=True)
class Found:
    """The data sets below a folder.

    Attributes:
        sets: the folders that hold shards, finished or not.
        problems: what cannot be looked at, and what belongs to no data set.
        seen: the real paths of the folders that were looked into, because a link may lead to one again.
    """

    sets: list[Location] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


def find_sets(path: Location) -> Found:
    """Find the data sets at or below a path; links are followed.

    Raises:
        RefusedError: there are none, and everything could be looked at.
    """
    if isinstance(path, Path) and path.is_file():
        raise RefusedError(f"{path} is a file; name its folder, {path.parent}")
    if isinstance(path, Path) and not os.path.lexists(path):
        raise RefusedError(f"{path}: no such file or directory")
    found = Found()
    _look(path, found, 0)
    if not found.sets and not found.problems:
        raise RefusedError(f"{path} holds no shards; expected a folder that `shard` wrote")
    return found


def _look(folder: Location, found: Found, depth: int) -> bool:
    """Whether a data set lies at or below a folder, or it cannot be told; hidden folders belong to other tools."""
    try:
        folders, files = names_in(folder)
        real = str(resolved(folder))
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        text = getattr(error, "strerror", None) or str(error)
        found.problems.append(Problem(str(folder), f"cannot be listed ({text}), so what is in it was not checked"))
        return True
    if real in found.seen:
        return True
    found.seen.add(real)
    if depth > MAX_DEPTH:
        found.problems.append(Problem(str(folder), f"lies {depth} folders deep; what is in it was not checked"))
        return True
    finished = MANIFEST in {*folders, *files}
    is_set = finished or any(name.endswith(".tar") for name in (*folders, *files))
    if is_set:
        found.sets.append(folder)
    if finished:  # what else is in it is checked against the manifest
        return True
    holds, strays = is_set, []
    for name in sorted((*folders, *files)):
        if is_clutter(name) or name in {TIMM, CARD}:
            continue
        if name in folders and _look(folder / name, found, depth + 1):
            holds = True
        elif not is_set:  # a set without a manifest is a problem as a whole
            strays.append(name)
    if holds:
        found.problems += [
            Problem(str(folder / name), "belongs to no data set, so it was not checked") for name in strays
        ]
    return holds
