"""A source as a tree of folders and files, in the same form on disk, in a tar and in a zip."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import read_whole
from alexnet_pipeline.raw.names import is_clutter, looks_like_image
from alexnet_pipeline.records import Packing, Reason
from alexnet_pipeline.storage.place import Location

# Largest label file that is read: Tiny-ImageNet's words.txt has 2.5 MB, ImageNet's LOC_train_solution.csv 60 MB.
MAX_TEXT_BYTES = 256 << 20


class Place(NamedTuple):
    """Where the bytes of images lie: a folder with a file for each image, or a file that holds many.

    Attributes:
        path: path or URL of the folder or file.
        packing: how an image's bytes lie in its file.
        folder: whether `path` is a folder.
        class_at_end: whether the files in the folder are named `STEM_CLASS.SUFFIX` after the image `STEM.SUFFIX`.
        group_ends: in a Parquet file, the row behind the last one of each row group.
        column: in a Parquet file, dotted path of the column with the images' bytes.
    """

    path: str
    packing: Packing
    folder: bool = False
    class_at_end: bool = False
    group_ends: tuple[int, ...] = ()
    column: str = ""


class Entry(NamedTuple):
    """A file of a folder, or what cannot be read as one.

    Attributes:
        name: its name in the folder.
        size_bytes: size of its bytes, as they lie in the place.
        version: of the file that holds it: its modification time in ns on disk, a digest of its ETag in a store.
        offset: offset of its bytes in the place.
        fault: why it cannot be read; None for a file.
        detail: the fault in words.
    """

    name: str
    size_bytes: int = 0
    version: int = 0
    offset: int = 0
    fault: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """The names in a folder, sorted, without clutter.

    Attributes:
        folders: its folders.
        files: its files.
        broken: links that lead nowhere, and what is neither a file nor a folder.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    broken: tuple[str, ...] = ()


class Glance(NamedTuple):
    """What a folder holds, by a look that ends at the first name of an image: images, other files, folders."""

    images: bool
    files: bool
    folders: bool


class Folder(ABC):
    """A folder of a source.

    Attributes:
        path: its path from the source, for messages; empty for the source itself.
        place: where the bytes of its files lie.
    """

    path: str
    place: Place

    @property
    @abstractmethod
    def names(self) -> Names:
        """The names in this folder; listed once."""

    @abstractmethod
    def glance(self) -> Glance:
        """Look what this folder holds, clutter apart."""

    def is_readable(self) -> bool:
        """Whether this folder can be listed."""
        return True

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every file of this folder with its size, sorted by name, clutter included; listed at every call."""

    @abstractmethod
    def every_folder(self) -> tuple[str, ...]:
        """The names of all folders in this one, clutter included."""

    @abstractmethod
    def folder(self, name: str) -> Folder:
        """One of its folders."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read one of its files, a small one.

        Raises:
            RefusedError: it cannot be read or is too large.
        """

    @abstractmethod
    def file_path(self, name: str) -> Path | None:
        """The path of one of its files on disk; None in an archive and in an object store."""

    @abstractmethod
    def location(self, name: str) -> Location | None:
        """Where one of its files can be opened by itself; None in an archive."""

    @abstractmethod
    def watched(self) -> Iterator[tuple[str, int]]:
        """What has changed if files were added, removed or replaced since they were listed: (path or URL, version).

        These are the folders and the files that are not images. Whoever reads an image compares its version itself.
        """

    def at(self, path: str) -> Folder | None:
        """The folder at a path below this one, or None."""
        here: Folder = self
        for part in path.split("/"):
            if part not in here.names.folders:
                return None
            here = here.folder(part)
        return here

    def join(self, name: str) -> str:
        """The path of a name in this folder from the source."""
        return f"{self.path}/{name}" if self.path else name

    def label(self) -> str:
        """This folder in a message."""
        return f"{self.path}/" if self.path else "the source"


class DiskFolder(Folder):
    """A folder on disk. Links are followed, because people make subsets of their data by links."""

    def __init__(self, directory: Path, path: str = "", hidden: Path | None = None) -> None:
        """Open a folder; `hidden` is a folder below it that is left out, because it holds the output."""
        self.directory, self.path = directory, path
        self.place = Place(str(directory), "plain", folder=True)
        self._hidden = hidden
        self._folders: dict[str, DiskFolder] = {}
        self._watched: dict[str, int] = {}

    @cached_property
    def names(self) -> Names:
        """The names in this folder."""
        folders, files, broken = [], [], []
        for entry in self._scan():
            if is_clutter(entry.name):
                continue
            if self._is_folder(entry):
                folders.append(entry.name)
            elif _is_file(entry):
                files.append(entry.name)
            else:
                broken.append(entry.name)
        return Names(tuple(sorted(folders)), tuple(sorted(files)), tuple(sorted(broken)))

    def glance(self) -> Glance:
        """Look what this folder holds."""
        files = folders = False
        if not self.is_readable():  # whoever reads it refuses it by name
            return Glance(False, True, False)
        with _listing(self.directory), os.scandir(self.directory) as entries:
            for entry in entries:
                if is_clutter(entry.name) or self._is_hidden(entry):
                    continue
                if looks_like_image(entry.name) and _is_file(entry):
                    return Glance(True, True, folders)
                is_folder = self._is_folder(entry)
                folders, files = folders or is_folder, files or not is_folder
        return Glance(False, files, folders)

    def is_readable(self) -> bool:
        """Whether this folder can be listed."""
        try:
            os.scandir(self.directory).close()
        except OSError:
            return False
        return True

    def entries(self) -> Iterator[Entry]:
        """Every file of this folder."""
        for entry in sorted(self._scan(), key=lambda entry: entry.name):
            try:
                status = entry.stat()
            except OSError as error:
                yield Entry(entry.name, fault=Reason.UNREADABLE, detail=error.strerror or str(error))
                continue
            if stat.S_ISREG(status.st_mode):
                yield Entry(entry.name, status.st_size, status.st_mtime_ns)
            elif not stat.S_ISDIR(status.st_mode):
                yield Entry(entry.name, fault=Reason.SPECIAL_MEMBER, detail="neither file nor folder")
            elif not self._is_folder(entry):
                yield Entry(entry.name, fault=Reason.SPECIAL_MEMBER, detail="a link to a folder above it")

    def every_folder(self) -> tuple[str, ...]:
        """The names of all folders in this one."""
        return tuple(sorted(entry.name for entry in self._scan() if self._is_folder(entry)))

    def folder(self, name: str) -> DiskFolder:
        """One of its folders."""
        if name not in self._folders:
            self._folders[name] = DiskFolder(self.directory / name, self.join(name), self._hidden)
        return self._folders[name]

    def read(self, name: str) -> bytes:
        """Read one of its files."""
        path = self.directory / name
        try:
            return read_whole(path, MAX_TEXT_BYTES)
        except OSError as error:
            raise RefusedError(f"cannot read {path}: {error.strerror}") from error

    def file_path(self, name: str) -> Path:
        """The path of one of its files on disk."""
        return self.directory / name

    def location(self, name: str) -> Path:
        """Where one of its files can be opened."""
        return self.directory / name

    def watched(self) -> Iterator[tuple[str, int]]:
        """The folders that were looked into, and the other files in them, as they were before that."""
        yield from self._watched.items()
        for folder in self._folders.values():
            yield from folder.watched()

    def watch(self, path: Path) -> None:
        """Watch a file outside the source, too."""
        self._watched[str(path)] = path.stat().st_mtime_ns

    def _scan(self) -> list[os.DirEntry[str]]:
        with _listing(self.directory):
            version = self.directory.stat().st_mtime_ns
            with os.scandir(self.directory) as entries:
                found = [entry for entry in entries if not self._is_hidden(entry)]
        if str(self.directory) not in self._watched:
            self._watched[str(self.directory)] = version
            for entry in found:
                if not looks_like_image(entry.name):
                    with suppress(OSError):  # a link that leads nowhere
                        self._watched[entry.path] = entry.stat().st_mtime_ns
        return found

    def _is_hidden(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is the output, or a folder that holds only that."""
        return self._hidden is not None and _holds_only(Path(entry.path), self._hidden)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            if not entry.is_dir():
                return False
            # A link to a folder above would be walked for ever.
            return not (entry.is_symlink() and self.directory.resolve().is_relative_to(Path(entry.path).resolve()))
        except OSError:  # a link to itself, or into a forbidden place
            return False


def _holds_only(path: Path, output: Path) -> bool:
    """Whether a path is the output folder, or a folder with nothing but that below it."""
    if not output.is_relative_to(path.resolve()):
        return False
    return path.resolve() == output or all(_holds_only(inner, output) for inner in path.iterdir())


@contextmanager
def _listing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RefusedError(f"cannot list {directory}: {error.strerror}") from error


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
