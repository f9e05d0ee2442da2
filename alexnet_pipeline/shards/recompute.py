"""Statistics of shards whose own are gone, from their encoded images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from alexnet_pipeline.cores import core_count
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.progress import Advance, Report, Stage
from alexnet_pipeline.shards.check_samples import check_samples
from alexnet_pipeline.shards.statistics import Sums


def sums_of_shards(shards: ShardSet, indices: Iterable[int], report: Report) -> Iterator[tuple[int, Sums]]:
    """(index, sums) of some shards of an open set, which hold samples.

    Raises:
        PipelineError: a sample is damaged.
    """
    with_tar = [record.index for record in shards.manifest.shards if record.tar]
    wanted = [(index, with_tar.index(index)) for index in indices]
    report(Stage("reading statistics of shards", len(wanted), unit="shards"))

    def sums(task: tuple[int, int]) -> tuple[int, Sums]:
        index, tar = task
        positions = np.flatnonzero(shards.shard == tar)
        tally = check_samples(shards, range(int(positions[0]), int(positions[-1]) + 1), deep=True)
        if tally.problems:
            raise PipelineError(f"{tally.problems[0].path}: {tally.problems[0].text}; run `verify`")
        assert tally.sums
        return index, tally.sums

    with ThreadPoolExecutor(core_count()) as pool:
        for done, result in enumerate(pool.map(sums, wanted), 1):
            yield result
            report(Advance(done))
