"""Count the files of a source that are neither images nor rejects, so that every file is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.claim import Claim
from alexnet_pipeline.raw.forms import count_files, ignored_as
from alexnet_pipeline.raw.listing import ListingBuilder
from alexnet_pipeline.raw.tree import Folder
from alexnet_pipeline.records import Ignored
from alexnet_pipeline.text import recorded


class Account:
    """Counts the files of a source that are neither images nor rejects."""

    def __init__(self, claim: Claim) -> None:
        self._used_paths = claim.used
        self._ignored = Counter(claim.ignored)
        self.used = 0

    def add(self, builder: ListingBuilder) -> None:
        """Add what a form found."""
        self._ignored += builder.ignored
        self.used += builder.used

    def add_rest(self, folder: Folder, taken: frozenset[str], why: Mapping[str, str]) -> None:
        """Add every file at or below a folder that no form has taken."""
        if folder.path in taken:
            return
        for entry in folder.entries():
            path = folder.join(entry.name)
            if path in self._used_paths:
                self.used += 1
            elif path not in taken:
                self._ignored[(path, why[path]) if path in why else _kind(folder, entry.name)] += 1
        for name in folder.every_folder():
            inner = folder.folder(name)
            if inner.path in self._used_paths:
                self.used += count_files(inner)
            elif inner.path in why:
                self._ignored[f"{inner.path}/", why[inner.path]] += count_files(inner)
            elif names.is_clutter(name):
                self._ignored[ignored_as(name)] += count_files(inner)
            else:
                self.add_rest(inner, taken, why)

    def ignored(self) -> tuple[Ignored, ...]:
        """The counts, the largest first."""
        found = [Ignored(recorded(what), recorded(why), files) for (what, why), files in self._ignored.items() if files]
        return tuple(sorted(found, key=lambda each: (-each.files, each.what)))


def _kind(folder: Folder, name: str) -> tuple[str, str]:
    """How a file outside the splits is counted: (what, why)."""
    image = names.may_be_image(name) and not names.is_clutter(name)
    return (folder.label(), "in no split") if image else ignored_as(name)
