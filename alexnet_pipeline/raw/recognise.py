"""Ask every layout whether it recognises a source: exactly one, or a refusal that says what was seen."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.archive import ArchiveFolder
from alexnet_pipeline.raw.claim import Claim, Near, Question
from alexnet_pipeline.raw.layouts import LAYOUTS, Layout
from alexnet_pipeline.raw.tree import Names
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.text import counted


def recognise(question: Question, path: Location) -> tuple[Layout, Claim]:
    """The only layout that claims a source, and its claim.

    An archive may hold all of a data set in a folder, or in a folder of that.

    Raises:
        RefusedError: no layout claims it, or several do; the message says what was seen and what was lacking.
    """
    claims, nears = _ask(question)
    root = question.root
    while not claims and isinstance(root, ArchiveFolder) and len(root.names.folders) == 1:
        root = root.folder(root.names.folders[0])
        claims, nears = _ask(dataclasses.replace(question, root=root))
    if len(claims) == 1:
        return claims[0]
    if claims:
        readings = "; ".join(f"{layout.title} ({claim.evidence})" for layout, claim in claims)
        choices = " or ".join(f"`layout={layout.name!r}`" for layout, _ in claims)
        raise RefusedError(f"{path} can be read in several ways: {readings}; choose {choices}")
    raise RefusedError(_unrecognised(question, path, nears))


def _ask(question: Question) -> tuple[list[tuple[Layout, Claim]], list[tuple[Layout, Near]]]:
    wanted = question.options.layout
    claims: list[tuple[Layout, Claim]] = []
    nears: list[tuple[Layout, Near]] = []
    for shape in (False, True):
        for layout in LAYOUTS:
            if layout.shape is not shape or (wanted and layout.name != wanted):
                continue
            answer = layout.recognise(question)
            if isinstance(answer, Claim):
                claims.append((layout, answer))
            elif isinstance(answer, Near):
                nears.append((layout, answer))
        if claims:
            break
    return claims, nears


def _unrecognised(question: Question, path: Location, nears: Sequence[tuple[Layout, Near]]) -> str:
    """What was seen, which layouts came near and what they lack, and what to do."""
    seen = question.root.names
    packed = [name for name in seen.files if names.unpacking(name)]
    if packed and not seen.folders and not nears:
        listed = names.first_names(packed)
        first = f"{names.unpacking(packed[0])} {packed[0]}"
        return f"{path} holds {listed}, without random access; unpack what you need, like {first}"
    wanted = question.options.layout
    title = next((layout.title for layout in LAYOUTS if layout.name == wanted), "any layout of ImageNet")
    near = "".join(f"; not {layout.title}: {near.lacks}" for layout, near in nears)
    more = "" if nears else "; see `alexnet-pipeline layouts` for what is, and name the folder that holds it"
    return f"{path} is not recognised as {title}: it holds {_seen(seen)}{near}{more}"


def _seen(listed: Names) -> str:
    """The folders and files of a place in a few words."""
    parts = []
    if listed.folders:
        parts.append(f"{counted(len(listed.folders), 'folder')} ({names.first_names(listed.folders)})")
    if listed.files:
        suffixes = Counter(names.suffix_of(name) or "no suffix" for name in listed.files)
        counts = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(4))
        parts.append(f"{counted(len(listed.files), 'file')} ({counts}: {names.first_names(listed.files)})")
    return " and ".join(parts) or "nothing"
