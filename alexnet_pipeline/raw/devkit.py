"""The ILSVRC2012 devkit: the order of its classes, and the labels of the validation images."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from alexnet_pipeline.errors import RefusedError

META = "data/meta.mat"
GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
# The real devkit is 2.5 MB; its two files stay far below this.
MAX_MEMBER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Devkit:
    """The classes and validation labels of the devkit.

    Attributes:
        wnids: class names in the order of ILSVRC2012_ID, so that position + 1 is the ID.
        validation_ids: ILSVRC2012_ID of each validation image, by sorted file name.
    """

    wnids: tuple[str, ...]
    validation_ids: tuple[int, ...]

    def validation_wnids(self) -> tuple[str, ...]:
        """The class name of each validation image, by sorted file name."""
        return tuple(self.wnids[number - 1] for number in self.validation_ids)


def read_devkit(path: Path) -> Devkit:
    """Read `ILSVRC2012_devkit_t12.tar.gz` without extracting it.

    Raises:
        RefusedError: the file is not that archive, or its two label files contradict each other.
    """
    try:
        members = _members(path)
        wnids = _leaf_wnids(members[META])
        ids = tuple(int(line) for line in members[GROUND_TRUTH].split())
    except KeyError as error:
        raise RefusedError(f"{path} holds no {error.args[0]}; expected the ILSVRC2012 devkit t12") from error
    except (OSError, EOFError, tarfile.TarError, ValueError, TypeError) as error:
        raise RefusedError(f"{path} cannot be read as the ILSVRC2012 devkit: {error}") from error
    if not wnids or any(not 1 <= number <= len(wnids) for number in ids):
        raise RefusedError(f"{path}: validation labels are outside 1..{len(wnids)}; fetch the archive again")
    return Devkit(wnids, ids)


def _members(path: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            wanted = member.name.partition("/")[2]
            if wanted in {META, GROUND_TRUTH} and member.isfile() and member.size <= MAX_MEMBER_BYTES:
                handle = archive.extractfile(member)  # reads into memory, writes nothing
                contents[wanted] = handle.read() if handle else b""
    return contents


def _leaf_wnids(meta: bytes) -> tuple[str, ...]:
    from scipy.io import loadmat  # noqa: PLC0415 - only the devkit needs SciPy

    synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    leaves = sorted((int(s["ILSVRC2012_ID"]), str(s["WNID"])) for s in synsets if int(s["num_children"]) == 0)
    if [number for number, _ in leaves] != list(range(1, len(leaves) + 1)):
        raise ValueError("the IDs of meta.mat's leaves are not 1, 2, 3 ...")
    return tuple(wnid for _, wnid in leaves)
