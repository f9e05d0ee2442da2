"""Keep what a source holds, and the order of its images, beside the output, so that later runs need not list it again.

`OUT/.state/listing-0123456789ab.npz` holds the listings of a request in columns; the digits tell requests apart.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.raw.listing import Listing, TextColumn
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.source import Contents
from alexnet_pipeline.raw.tree import Place
from alexnet_pipeline.records import (
    Packing,
    RawImage,
    Reject,
    SetOptions,
    SourceAccount,
    fingerprint,
    from_json,
    to_json,
)
from alexnet_pipeline.shards.names import STATE
from alexnet_pipeline.shards.plan import Plan
from alexnet_pipeline.storage.place import Location, locate, resolved
from alexnet_pipeline.storage.reading import read_whole, status_of
from alexnet_pipeline.storage.remote import is_url
from alexnet_pipeline.storage.writing import make_folder, write_whole

# Largest listing; one of 100 million images has about 8 GB.
MAX_LISTING_BYTES = 16 << 30
# Changes with the form of the file, and with what a listing of the same source may hold.
FORM = 1
# Versions that are asked for at the same time.
ASKED_AT_ONCE = 32
# Files that a thread asks for, one after the other.
ASKED_TOGETHER = 500
COLUMNS: tuple[tuple[str, type], ...] = (
    ("labels", np.int32),
    ("place_of", np.int32),
    ("offsets", np.int64),
    ("sizes", np.int64),
    ("versions", np.int64),
)


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """What a source holds, and the plan of each of its splits.

    Attributes:
        contents: its listings, and an account of its other files.
        plans: the plan of each listing.
        words: the words of each class.
        watched: what has changed if the source has: path or URL, and version.
        listed: when it was listed, like `2026-11-26 23:50 UTC`; empty if that was now.
    """

    contents: Contents
    plans: tuple[Plan, ...]
    words: tuple[str, ...]
    watched: tuple[tuple[str, int], ...]
    listed: str = ""


@dataclass(frozen=True, slots=True)
class _PlaceRecord:
    """A `Place` without its path, which may not be UTF-8."""

    packing: Packing
    folder: bool
    class_at_end: bool
    group_ends: tuple[int, ...]
    column: str


@dataclass(frozen=True, slots=True)
class _SplitRecord:
    """What a listing and its plan hold beside columns."""

    split: str
    classes: tuple[str, ...]
    rejects: tuple[Reject, ...]
    places: tuple[_PlaceRecord, ...]
    shard_size_images: int
    digest: str
    stamps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _SourceRecord:
    """What a planned source holds beside columns."""

    listed: str
    account: SourceAccount
    words: tuple[str, ...]
    splits: tuple[_SplitRecord, ...]


def place_of(
    out: Location, source: Location, reading: SourceOptions, splits: Sequence[str], options: SetOptions
) -> Location:
    """Where the listing of a request is kept: one for each source, way to read it, and order of its images."""
    read = {name: str(value) for name, value in asdict(reading).items()}
    order = (options.label_order, options.shuffle, options.seed, options.limit_images, options.shard_size_images)
    digest = fingerprint(FORM, str(resolved(source)).encode("utf-8", "surrogateescape").hex(), read, splits, order)
    return out / STATE / f"listing-{digest[:12]}.npz"


def load(place: Location) -> PlannedSource | None:
    """The listing that was kept; None if there is none, it is damaged, or the source has changed since."""
    try:
        with np.load(io.BytesIO(read_whole(place, MAX_LISTING_BYTES)), allow_pickle=False) as arrays:
            found = _decoded(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if _is_unchanged(found.watched) else None


def save(place: Location, planned: PlannedSource) -> None:
    """Keep a listing.

    Raises:
        PipelineError: it cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **_encoded(planned))
    make_folder(place.parent)
    write_whole(place, buffer.getvalue())


def images_unchanged(plan: Plan, span: tuple[int, int]) -> bool:
    """Whether the files of the images of shards [first, last) are as they were listed.

    Only files on disk that hold one image each are asked for: archives are watched, and each read from a store says the
    version of what it read.
    """
    listing, size = plan.listing, plan.shard_size_images
    in_folders = np.array([place.folder and not is_url(place.path) for place in listing.places])
    positions = plan.order[span[0] * size : span[1] * size]
    positions = positions[in_folders[listing.place_of[positions]]]

    def same(part: NDArray[np.int64]) -> bool:
        return all(_is_as_listed(listing.image(position)) for position in part.tolist())

    parts = [positions[start : start + ASKED_TOGETHER] for start in range(0, len(positions), ASKED_TOGETHER)]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return all(pool.map(same, parts))


def _is_as_listed(image: RawImage) -> bool:
    try:
        status = os.stat(image.path)  # noqa: PTH116 - of a million files
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (image.size_bytes, image.version)


def _is_unchanged(watched: Sequence[tuple[str, int]]) -> bool:
    def differs(item: tuple[str, int]) -> bool:
        try:
            return status_of(locate(item[0])).version != item[1]
        except OSError:
            return True

    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return not any(pool.map(differs, watched))


def _encoded(planned: PlannedSource) -> dict[str, NDArray[Any]]:
    splits: list[_SplitRecord] = []
    arrays: dict[str, NDArray[Any]] = {}
    for number, plan in enumerate(planned.plans):
        listing = plan.listing
        places = tuple(_PlaceRecord(*place[1:]) for place in listing.places)
        splits.append(
            _SplitRecord(
                listing.split,
                listing.classes,
                listing.rejects,
                places,
                plan.shard_size_images,
                plan.digest,
                plan.stamps,
            )
        )
        texts = {"keys": listing.keys, "files": listing.files, "paths": _column(place.path for place in listing.places)}
        arrays |= _text_arrays(f"{number}.", texts)
        arrays |= {f"{number}.{name}": _narrow(getattr(listing, name)) for name, _ in COLUMNS}
        arrays[f"{number}.order"] = _narrow(plan.order)
    listed = planned.listed or datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    about = to_json(_SourceRecord(listed, planned.contents.account, planned.words, tuple(splits)))
    arrays |= _text_arrays("", {"watched": _column(path for path, _ in planned.watched)})
    arrays["watched_versions"] = np.array([version for _, version in planned.watched], np.int64)
    return {"about": np.frombuffer(about, np.uint8), **arrays}


def _decoded(arrays: Mapping[str, NDArray[Any]]) -> PlannedSource:
    about = from_json(arrays["about"].tobytes(), _SourceRecord)
    plans = tuple(_plan(arrays, f"{number}.", record) for number, record in enumerate(about.splits))
    watched = zip(_texts(arrays, "watched"), arrays["watched_versions"].tolist(), strict=True)
    contents = Contents(tuple(plan.listing for plan in plans), about.account)
    return PlannedSource(contents, plans, about.words, tuple(watched), about.listed)


def _plan(arrays: Mapping[str, NDArray[Any]], prefix: str, record: _SplitRecord) -> Plan:
    paths = _texts(arrays, f"{prefix}paths")
    places = zip(paths, record.places, strict=True)
    columns: dict[str, Any] = {name: arrays[prefix + name].astype(kind) for name, kind in COLUMNS}
    listing = Listing(
        split=record.split,
        classes=record.classes,
        keys=_texts(arrays, f"{prefix}keys"),
        files=_texts(arrays, f"{prefix}files"),
        places=tuple(
            Place(path, place.packing, place.folder, place.class_at_end, place.group_ends, place.column)
            for path, place in places
        ),
        rejects=record.rejects,
        **columns,
    )
    plan = Plan(
        listing, arrays[f"{prefix}order"].astype(np.int64), record.shard_size_images, record.digest, record.stamps
    )
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    """Raise ValueError if the columns do not fit each other."""
    listing, images = plan.listing, len(plan.listing)
    lengths = {len(listing.files), *(len(getattr(listing, name)) for name, _ in COLUMNS)}
    limits = ((plan.order, images), (listing.labels, len(listing.classes)), (listing.place_of, len(listing.places)))
    fits = all(not len(values) or (values.min() >= 0 and values.max() < limit) for values, limit in limits)
    if lengths != {images} or not fits or len(plan.stamps) != plan.shards:
        raise ValueError("its columns do not fit each other")


def _column(texts: Any) -> TextColumn:
    column = TextColumn()
    for text in texts:
        column.append(text)
    return column


def _text_arrays(prefix: str, columns: Mapping[str, TextColumn]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        arrays[prefix + name], ends = column.arrays()
        arrays[f"{prefix}{name}_sizes"] = _narrow(np.diff(ends, prepend=0))
    return arrays


def _texts(arrays: Mapping[str, NDArray[Any]], name: str) -> TextColumn:
    return TextColumn.of_arrays(arrays[name], np.cumsum(arrays[f"{name}_sizes"], dtype=np.int64))


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the smallest integers that hold them."""
    first, last = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    kinds = (np.int8, np.int16, np.int32, np.int64)
    return values.astype(next(kind for kind in kinds if np.iinfo(kind).min <= first and last <= np.iinfo(kind).max))
