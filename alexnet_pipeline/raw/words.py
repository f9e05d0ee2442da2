"""The words of ILSVRC2012's 1,000 classes: `n01440764` is tench. Facts of WordNet 3.0, in `synsets.txt`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources


@functools.cache
def known_words() -> dict[str, str]:
    """The words of each class of ILSVRC2012 by wnid, in the sorted order of the wnids."""
    lines = resources.files(__package__).joinpath("synsets.txt").read_text("utf-8").splitlines()
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}


def words_of(classes: tuple[str, ...], own: Mapping[str, str]) -> tuple[str, ...]:
    """The words of classes: those of the source first, else the known ones, else nothing."""
    return tuple(own.get(name) or known_words().get(name, "") for name in classes)


def parse_words(text: str) -> dict[str, str]:
    """Read words by class from lines of `CLASS words` or `CLASS<tab>words`; other lines are left out."""
    pairs = (line.split("\t", 1) if "\t" in line else line.split(" ", 1) for line in text.splitlines())
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
