"""Keep the statistics of committed shards until the manifest holds their sum.

A shard's statistics are `.state/sums-000123.npz`, 0.8 MB. Those of neighbours are joined as soon as all of them are
there, so that 14,000 shards take 0.7 GB and not 11: `.state/sums-000112-fffb.npz` holds the sum of shards 112 to 127
without 114, because bit 2 of fffb is not set.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.shards.names import STATE
from alexnet_pipeline.shards.statistics import Sums
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import names_in, read_whole
from alexnet_pipeline.storage.writing import delete, write_whole

# Neighbours that are joined. The four digits of a name hold a bit for each.
GROUP_SHARDS = 16
# Files that are read or removed at the same time; a store answers each after tens of milliseconds.
IN_FLIGHT = 16
NAME = re.compile(r"sums-(\d{6,})(?:-([0-9a-f]{4}))?\.npz")


class KeptSums:
    """The statistics of the shards of one data set's folder.

    Args:
        folder: the data set's folder.
    """

    def __init__(self, folder: Location) -> None:
        self._state = folder / STATE

    def path(self, index: int) -> Location:
        """Where the statistics of a shard are written."""
        return self._state / f"sums-{index:06d}.npz"

    def put(self, index: int, sums: Sums) -> None:
        """Keep the statistics of a shard."""
        write_whole(self.path(index), sums.to_bytes())

    def shards(self) -> set[int]:
        """The shards whose statistics are there.

        Raises:
            PipelineError: the folder cannot be listed.
        """
        return {index for members in self.files().values() for index in members}

    def files(self) -> dict[str, frozenset[int]]:
        """The shards of each file, without files whose shards a group includes already.

        Raises:
            PipelineError: the folder cannot be listed.
        """
        try:
            names = names_in(self._state)[1]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise PipelineError(f"cannot list {self._state}: {error.strerror}") from error
        found = {name: _members(match) for name in names if (match := NAME.fullmatch(name))}
        kept: dict[str, frozenset[int]] = {}
        taken: set[int] = set()
        # A run that was killed while it joined a group leaves the files that it would have removed.
        for name, members in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
            if not members & taken:
                kept[name] = members
                taken |= members
        return kept

    def join(self, shards: Collection[int]) -> None:
        """Put one file in the place of those of some shards of a group.

        Raises:
            PipelineError: a file cannot be read or written.
        """
        first = min(shards) // GROUP_SHARDS * GROUP_SHARDS
        bits = sum(1 << (index - first) for index in shards)
        paths = [self.path(index) for index in sorted(shards)]
        total = self._sum(paths)
        write_whole(self._state / f"sums-{first:06d}-{bits:04x}.npz", total.to_bytes())
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(delete, paths))

    def forget(self, shards: Collection[int]) -> set[int]:
        """Remove the files of some shards, and return all shards whose statistics are lost by that."""
        lost: set[int] = set()
        for name, members in self.files().items():
            if not members.isdisjoint(shards):
                lost |= members
                delete(self._state / name)
        return lost

    def total(self, shards: Iterable[int]) -> Sums:
        """The sum over all shards.

        Raises:
            PipelineError: some are not there or cannot be read; the same run writes their shards again.
        """
        files = self.files()
        lacking = set(shards).difference(*files.values())
        if lacking or not files:
            raise PipelineError(
                f"{self._state}: statistics of {len(lacking)} shards are missing; run the same command again, which "
                "writes those shards again"
            )
        return self._sum([self._state / name for name in files])

    def drop(self) -> None:
        """Remove all files, once the manifest holds their sum."""
        for name in names_in(self._state)[1]:
            if NAME.fullmatch(name):
                delete(self._state / name)

    def _sum(self, paths: list[Location]) -> Sums:
        total: Sums | None = None
        for start in range(0, len(paths), IN_FLIGHT):  # so that few are in memory
            some = paths[start : start + IN_FLIGHT]
            with ThreadPoolExecutor(IN_FLIGHT) as pool:
                for path, data in zip(some, pool.map(_read, some), strict=True):
                    # In this thread: NumPy reads a header by `ast`, which threads break for one another in some
                    # versions of Python 3.11 and 3.12 (python/cpython#106905).
                    sums = _parse(path, data)
                    if total is None:
                        total = sums
                    else:
                        total.merge(sums)
        assert total, "callers give at least one"
        return total


class SumsJoiner:
    """Joins the statistics of neighbours as soon as all of a group that a run writes are there.

    Args:
        sums: the statistics of the data set.
        span: the shards [first, last) that the run writes.
        missing: those that are not committed yet.
        single: committed ones that may be joined. A shard with rejects is not, because `retry_rejects` would then have
            to write its neighbours anew, too.
    """

    def __init__(
        self, sums: KeptSums, span: tuple[int, int], missing: Collection[int], single: Collection[int]
    ) -> None:
        self._sums, self._span = sums, span
        self._missing, self._single = set(missing), set(single)

    def add(self, index: int, *, joined: bool) -> None:
        """Note that a shard is committed, and whether it may be joined.

        Raises:
            PipelineError: a file cannot be read or written.
        """
        self._missing.discard(index)
        if joined:
            self._single.add(index)
        start = index // GROUP_SHARDS * GROUP_SHARDS
        group = set(range(max(start, self._span[0]), min(start + GROUP_SHARDS, self._span[1])))
        mine = group & self._single
        if group.isdisjoint(self._missing) and len(mine) > 1:
            self._sums.join(mine)
            self._single -= mine


def _members(match: re.Match[str]) -> frozenset[int]:
    first = int(match[1])
    bits = int(match[2], 16) if match[2] else 1
    return frozenset(first + bit for bit in range(GROUP_SHARDS) if bits >> bit & 1)


def _read(path: Location) -> bytes:
    try:
        return read_whole(path)
    except OSError as error:
        raise PipelineError(
            f"cannot read {path}: {error.strerror}; mend that, then run the same command again"
        ) from error


def _parse(path: Location, data: bytes) -> Sums:
    try:
        return Sums.from_bytes(data)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        delete(path)
        raise PipelineError(
            f"{path} cannot be read ({error}); run the same command again, which writes its shards again"
        ) from error
