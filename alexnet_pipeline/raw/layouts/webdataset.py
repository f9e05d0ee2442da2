"""WebDataset: tars whose samples are an image and a label under one key."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.raw.archive import FAULTS, opened
from alexnet_pipeline.raw.claim import Answer, Claim, Question, likely_folders
from alexnet_pipeline.raw.containers import Container, by_split, check_listed
from alexnet_pipeline.raw.forms import TAR, is_class_tar
from alexnet_pipeline.raw.numbered import Rows, numbered_claim
from alexnet_pipeline.raw.tarscan import Member, scan_tar
from alexnet_pipeline.raw.tree import Folder, Place
from alexnet_pipeline.records import Reason
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import Pread
from alexnet_pipeline.text import counted

LOOKS_LIKE = "tars of samples KEY.jpg, KEY.cls and KEY.json, as timm and this program write them; keys are kept"
TREE = """\
imagenet-1k-wds/
  _info.json
  imagenet1k-train-0000.tar
  imagenet1k-validation-00.tar"""
# Files with the class names or the splits of a data set: timm's, and that of this program.
INFO, MANIFEST, STATE, PLAN = "_info.json", "manifest.json", ".state", "plan.json"
CLASS, RECORD = "cls", "json"
# Largest label and record of a sample that are read.
MAX_LABEL_BYTES, MAX_RECORD_BYTES = 32, 1 << 20
# Members that are looked at to recognise a tar.
LOOKED_AT = 12


def recognise(question: Question) -> Answer:
    """Claim a place with tars whose first members are a sample.

    Raises:
        RefusedError: the tars are of several data sets, or some are missing.
    """
    root = question.root
    if root.location("") is None:
        return None
    holders = [folder for folder in likely_folders(root) if _tars(folder)]
    if not holders or not _is_sample(holders[0], _tars(holders[0])[0]):
        return None
    found = []
    for folder in [root, *(folder for folder in holders if folder is not root)]:
        _check_finished(question, folder)
        found += [Container.of(folder, name, name.removesuffix(TAR)) for name in _tars(folder)]
    wanted = by_split(question, found)
    evidence = f"{counted(len(found), 'tar')} of samples like {found[0].path}"
    return Claim(evidence, {}, complete=lambda: _complete(question, wanted))


def _complete(question: Question, splits: dict[str, list[Container]]) -> Claim:
    """List the samples of the wanted splits."""
    rows: dict[str, Rows] = {}
    tables = {INFO} & set(question.root.names.files)
    given: tuple[str, ...] = ()
    for split, containers in splits.items():
        rows[split] = Rows()
        for container in containers:
            _read_tar(rows[split], container.file, container.path)
        folder = containers[0].folder
        tables |= {folder.join(each) for each in (MANIFEST, INFO) if each in folder.names.files}
        given = given or _given_classes(folder)
    paths = {split: tuple(container.path for container in containers) for split, containers in splits.items()}
    claim = numbered_claim(question, rows, paths, given, MANIFEST)
    return dataclasses.replace(claim, used=claim.used | tables)


def _read_tar(rows: Rows, path: Location, name: str) -> None:
    """Add the samples of a tar; a damaged tar gives those before the damage."""
    with opened(path) as file:
        rows.add_place(Place(str(path), "plain"), file.version)
        for key, members in _samples(scan_tar(file.pread, 0, file.size_bytes)):
            for member in members:
                if member.kind == "damage":
                    rows.reject(name, Reason.TRUNCATED_ARCHIVE, member.name)
                elif member.kind != "file":
                    rows.reject(member.name, *FAULTS[member.kind])
            files = [member for member in members if member.kind == "file"]
            by_extension = {_extension(member.name): member for member in files}
            if len(by_extension) < len(files):
                rows.reject(key, Reason.DUPLICATE_KEY, "two samples of this key lie side by side")
            elif by_extension:
                _add_sample(rows, file.pread, key, by_extension)


def _add_sample(rows: Rows, pread: Pread, key: str, members: dict[str, Member]) -> None:
    images = [extension for extension in members if f".{extension}" in names.IMAGES]
    if len(images) != 1:
        what = f"{len(images)} images" if images else "no image"
        rows.reject(key, Reason.NOT_AN_IMAGE, f"a sample of {', '.join(sorted(members))}, with {what}")
        return
    image = members[images[0]]
    record = _record(pread, members.get(RECORD))
    text = _read(pread, members.get(CLASS), MAX_LABEL_BYTES).strip()
    label = int(text) if text.isdigit() else record.get("label")
    if not isinstance(label, int) or isinstance(label, bool):
        rows.reject(key, Reason.NO_LABEL, "a sample without a whole number in .cls, or as label in .json")
        return
    base = key.rpartition("/")[2]
    file = next((str(record[name]) for name in ("name", "filename") if isinstance(record.get(name), str)), "")
    folder, _, file = file.replace("\\", "/").rpartition("/")
    wnid = record.get("wnid") if isinstance(record.get("wnid"), str) else ""
    rows.add(
        label,
        file or f"{base}.{_extension(image.name)}",
        image.offset,
        image.size_bytes,
        key=base,
        wnid=wnid or names.leading_wnid(base) or (folder if names.WNID.fullmatch(folder) else ""),
    )


def _samples(members: Iterator[Member]) -> Iterator[tuple[str, list[Member]]]:
    """Group adjacent members with one key, which ends at the first dot of the base name."""
    key = ""
    group: list[Member] = []
    for member in members:
        folder, slash, base = member.name.rpartition("/")
        own = folder + slash + base.partition(".")[0]
        if group and own != key:
            yield key, group
            group = []
        key = own
        group.append(member)
    if group:
        yield key, group


def _extension(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()


def _record(pread: Pread, member: Member | None) -> dict[str, Any]:
    try:
        record = json.loads(_read(pread, member, MAX_RECORD_BYTES) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _read(pread: Pread, member: Member | None, most_bytes: int) -> bytes:
    if member is None or member.size_bytes > most_bytes:
        return b""
    return pread(member.size_bytes, member.offset)


def _is_sample(folder: Folder, tar: str) -> bool:
    location = folder.location(tar)
    assert location is not None
    with opened(location) as file:
        scanned = scan_tar(file.pread, 0, file.size_bytes)
        members = [member for member, _ in zip(scanned, range(LOOKED_AT), strict=False) if member.kind == "file"]
    extensions = {_extension(member.name) for member in members}
    has_image = any(f".{extension}" in names.IMAGES for extension in extensions)
    return has_image and bool(extensions & {CLASS, RECORD})


def _tars(folder: Folder) -> list[str]:
    return [name for name in folder.names.files if name.endswith(TAR) and not is_class_tar(name)]


def _check_finished(question: Question, folder: Folder) -> None:
    """Refuse an unfinished data set of this program, and one whose index lists tars that are not there."""
    begun = STATE in folder.every_folder() and PLAN in folder.folder(STATE).names.files
    if begun and MANIFEST not in folder.names.files:
        raise RefusedError(f"{folder.label()} is an unfinished data set; run its `shard` command again first")
    if INFO not in folder.names.files:
        return
    try:
        splits = json.loads(folder.read(INFO))["splits"]
        listed = [str(file) for about in splits.values() for file in about["filenames"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(
            f"{folder.join(INFO)} cannot be read: {error!r}; remove it to go by the tars' names"
        ) from error
    check_listed(question, folder, listed, INFO)


def _given_classes(folder: Folder) -> tuple[str, ...]:
    """The class names in the manifest of a data set of this program; nothing in others."""
    if MANIFEST not in folder.names.files:
        return ()
    try:
        classes = json.loads(folder.read(MANIFEST)).get("classes", [])
    except (ValueError, AttributeError, RecursionError):
        return ()
    return tuple(map(str, classes)) if isinstance(classes, list) else ()
