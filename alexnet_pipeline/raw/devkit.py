"""The devkits of ILSVRC2012 and ILSVRC2010: the order of their classes, and the labels of the validation images."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.raw import names
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import read_whole

META = "data/meta.mat"
# The real devkits are 2.5 MB; their two files stay far below this.
MAX_MEMBER_BYTES = 64 << 20
# Seconds to read meta.mat in; SciPy takes one.
READ_LIMIT_S = 60
# Both challenges have so many classes and validation images.
CLASSES, VALIDATION_IMAGES = 1000, 50_000


@dataclass(frozen=True, slots=True)
class Challenge:
    """What differs between the devkits of two years: the name of the ID, and that of the validation labels."""

    year: int

    @property
    def truth(self) -> str:
        """The file of the validation labels in the devkit."""
        return f"data/ILSVRC{self.year}_validation_ground_truth.txt"

    @property
    def identity(self) -> str:
        """The field of meta.mat with the number of a class, from 1."""
        return f"ILSVRC{self.year}_ID"


@dataclass(frozen=True, slots=True)
class Devkit:
    """The classes and validation labels of a devkit.

    Attributes:
        wnids: class names in the order of the challenge's IDs, so that position + 1 is the ID.
        words: the words of each class.
        year: year of the challenge, which is in the images' names.
        split: `val` or `test`, likewise.
        image_ids: ID of each image, by the number in its name.
        path: the devkit, for messages.
    """

    wnids: tuple[str, ...]
    words: tuple[str, ...]
    year: int
    split: str
    image_ids: tuple[int, ...]
    path: str

    def class_of(self, file: str) -> str | None:
        """The class of an image by its name; None for names of another year or split."""
        year, split, number = names.number_of(file)
        mine = (year, split) == (self.year, self.split) and 0 < number <= len(self.image_ids)
        return self.wnids[self.image_ids[number - 1] - 1] if mine else None

    def check_numbers(self, files: Iterable[str]) -> None:
        """Make sure that there is a label for the highest number of the images.

        Raises:
            RefusedError: there is none, so that a line of the labels is lost.
        """
        found = (names.number_of(file) for file in files)
        highest = max((n for year, split, n in found if (year, split) == (self.year, self.split)), default=0)
        if highest > len(self.image_ids):
            raise RefusedError(
                f"{self.path} has {len(self.image_ids):,} labels, but an image is number {highest:,}; fetch it again"
            )


def read_devkit(path: Location, challenge: Challenge) -> Devkit:
    """Read a devkit, a folder or a `.tar.gz`, without extracting it.

    Raises:
        RefusedError: it is not that devkit, or its two label files contradict each other.
    """
    wanted = {META, challenge.truth}
    try:
        if not path.name.endswith(".gz"):
            files = {name: read_whole(path / name, MAX_MEMBER_BYTES) for name in wanted}
        else:
            files = _members(path, wanted)
        ids = parse_ids(files[challenge.truth])
        wnids, words = _leaves(files[META], challenge.identity)
    except KeyError as error:
        raise RefusedError(f"{path} holds no {error.args[0]}; expected the devkit of ILSVRC{challenge.year}") from error
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise RefusedError(f"{path} cannot be read as the devkit of ILSVRC{challenge.year}: {error}") from error
    if not wnids or any(not 1 <= number <= len(wnids) for number in ids):
        raise RefusedError(f"{path}: validation labels are outside 1..{len(wnids)}; fetch the archive again")
    if len(wnids) == CLASSES and len(ids) != VALIDATION_IMAGES:
        raise RefusedError(f"{path} has {len(ids):,} labels, expected {VALIDATION_IMAGES:,}; fetch it again")
    return Devkit(wnids, words, challenge.year, "val", ids, str(path))


def parse_ids(text: bytes) -> tuple[int, ...]:
    """Read a file of ground truth: one ID per line, by the number of the image.

    Raises:
        ValueError: a line is not a number.
    """
    return tuple(int(line) for line in text.split())


def _members(path: Location, wanted: set[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    packed = io.BytesIO(read_whole(path, MAX_MEMBER_BYTES))
    with tarfile.open(fileobj=packed, mode="r:gz") as archive:
        for member in archive:
            inner = member.name.removeprefix("./").partition("/")[2]
            if inner in wanted and member.isfile() and member.size <= MAX_MEMBER_BYTES:
                handle = archive.extractfile(member)  # reads into memory, writes nothing
                contents[inner] = handle.read() if handle else b""
    return contents


# Reads meta.mat from stdin and prints [[ID, wnid, words], ...] of the classes without children.
_READER = """
import io, json, sys
from scipy.io import loadmat
synsets = loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True)["synsets"]
leaves = [s for s in synsets if int(s["num_children"]) == 0]
print(json.dumps(sorted([int(s[sys.argv[1]]), str(s["WNID"]), str(s["words"])] for s in leaves)))
"""


def _leaves(meta: bytes, identity: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The wnids and words of meta.mat's classes, by ID.

    SciPy reads it in a process of its own, because some damaged files crash SciPy.

    Raises:
        ValueError: SciPy cannot read it, or its IDs are not 1, 2, 3 and so on.
    """
    command = [sys.executable, "-c", _READER, identity]
    try:
        done = subprocess.run(command, input=meta, capture_output=True, timeout=READ_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{META} takes SciPy more than {READ_LIMIT_S} s to read") from error
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ValueError(f"{META} cannot be read by SciPy ({last or f'exit code {done.returncode}'})")
    leaves = json.loads(done.stdout)
    if [number for number, _, _ in leaves] != list(range(1, len(leaves) + 1)):
        raise ValueError(f"the IDs of {META}'s leaves are not 1, 2, 3 ...")
    return tuple(wnid for _, wnid, _ in leaves), tuple(words for _, _, words in leaves)
