"""Places of files: paths on this machine, and URLs of object stores."""

from __future__ import annotations

import os
from pathlib import Path

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.storage.remote import READ_ONLY, RemotePath, is_url

# Both have `/`, `name`, `parent` and `exists`; all else is asked of the functions in this room.
Location = Path | RemotePath
# What callers may pass for one.
StrPath = str | os.PathLike[str] | RemotePath


def locate(place: StrPath) -> Location:
    """The location that a text means.

    Raises:
        RefusedError: it is a URL that is not supported.
    """
    if isinstance(place, RemotePath):
        return place
    text = os.fspath(place)
    return RemotePath.of_url(text) if is_url(text) else Path(text)


def local_path(place: StrPath) -> Path:
    """A path on this machine.

    Raises:
        RefusedError: it is a URL.
    """
    if is_url(str(place)):
        raise RefusedError(f"{place} is a URL; expected a path on this machine")
    return Path(str(place))


def writable(location: Location) -> Location:
    """A location that is to be written to.

    Raises:
        RefusedError: it can only be read.
    """
    if isinstance(location, RemotePath) and location.scheme in READ_ONLY:
        raise RefusedError(f"{location} can only be read; choose another output folder")
    return location


def resolved(location: Location) -> Location:
    """A location without links, by which two can be compared."""
    return location.resolve() if isinstance(location, Path) else location


def lies_in(location: Location, folder: Location) -> bool:
    """Whether a resolved location is a resolved folder, or lies below it."""
    if isinstance(location, Path):
        return isinstance(folder, Path) and location.is_relative_to(folder)
    return location.is_relative_to(folder)
