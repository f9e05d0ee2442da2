"""A prefix of an object store as a folder: its objects are listed once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import islice

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.raw.archive import ArchiveFolder
from alexnet_pipeline.raw.names import looks_like_image
from alexnet_pipeline.raw.tree import MAX_TEXT_BYTES, Entry, Place
from alexnet_pipeline.storage.reading import read_whole
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.storage.store import Status

# Most objects whose versions are asked for before a listing is used again; whoever reads one compares it anyway.
MOST_WATCHED = 2_000


class BucketFolder(ArchiveFolder):
    """A folder of objects, each of which is a file with a version of its own."""

    def __init__(self, place: Place, version: int = 0, path: str = "") -> None:
        super().__init__(place, version, path)
        self._versions = array("q")

    def read(self, name: str) -> bytes:
        """Read one of its files."""
        location = self.location(name)
        try:
            return read_whole(location, MAX_TEXT_BYTES)
        except OSError as error:
            raise PipelineError(f"cannot read {location}: {error.strerror}") from error

    def location(self, name: str) -> RemotePath:
        """Where one of its files can be opened."""
        here = RemotePath.of_url(self.place.path)
        return here / name if name else here

    def watched(self) -> Iterator[tuple[str, int]]:
        """The objects that are not images, unless they are many.

        Whether an image was added cannot be told without listing all of them again.
        """
        found = list(islice(self._others(), MOST_WATCHED + 1))
        yield from found if len(found) <= MOST_WATCHED else ()

    def _others(self) -> Iterator[tuple[str, int]]:
        for name, version in zip(self._files, self._versions, strict=True):
            if not looks_like_image(name):
                yield f"{self.place.path}/{name}", version
        for folder in self._folders.values():
            yield from folder._others()

    def add_object(self, folders: tuple[str, ...], name: str, status: Status) -> None:
        """Add an object below this folder."""
        here = self.add_folder(folders)
        here._files.append(name)
        here._offsets.append(0)
        here._sizes.append(status.size_bytes)
        here._versions.append(status.version)

    def _make_folder(self, name: str) -> BucketFolder:
        return BucketFolder(Place(f"{self.place.path}/{name}", "plain", folder=True), path=self.join(name))

    def _entry(self, at: int) -> Entry:
        return Entry(self._files[at], self._sizes[at], self._versions[at])


def open_bucket(place: RemotePath, hidden: RemotePath | None = None) -> BucketFolder:
    """List all objects below a place, without those of a hidden one, which is the output.

    Raises:
        PipelineError: the store cannot be asked.
    """
    root = BucketFolder(Place(str(place), "plain", folder=True))
    skipped = f"{hidden.relative_to(place)}/" if hidden else None
    parents: dict[str, tuple[str, ...]] = {}
    try:
        for key, status in place.walk():
            folder, _, name = key.rpartition("/")
            if name and not (skipped and key.startswith(skipped)):
                if folder not in parents:
                    parents[folder] = tuple(folder.split("/")) if folder else ()
                root.add_object(parents[folder], name, status)
    except OSError as error:
        raise PipelineError(f"cannot list {place}: {error.strerror}") from error
    return root
