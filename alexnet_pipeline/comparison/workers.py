"""Work and items in, results in the items' order out, by processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from alexnet_pipeline.errors import PipelineError

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

# Items handed over at a time: a message each costs little beside a picture, and workers end together.
CHUNK_ITEMS = 4


def run_all(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    prepare: Callable[[], None],
    progress: Progress | None,
) -> list[Result]:
    """Do work on every item.

    Args:
        work: a module's function, or a partial of one.
        items: in order.
        workers: processes; one works here, without any other.
        prepare: called once in each process before the first item.
        progress: called with the number of items done, and of all.

    Raises:
        PipelineError: a worker died; or what the work raises.
    """
    workers = min(workers, -(-len(items) // CHUNK_ITEMS))
    if workers <= 1:
        prepare()
        return _collect(map(work, items), len(items), progress)
    # Spawned, not forked: whoever calls may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(prepare,)) as pool:
        try:
            return _collect(pool.map(work, items, chunksize=CHUNK_ITEMS), len(items), progress)
        except BrokenProcessPool as error:
            raise PipelineError(
                "a worker process died: memory may be short, then try fewer --workers; and a script that calls "
                '`compare` is a file, and calls it below if __name__ == "__main__":'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(prepare: Callable[[], None]) -> None:
    """A worker's first act: it leaves Ctrl-C to the process that started it, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _collect(results: Iterable[Result], total: int, progress: Progress | None) -> list[Result]:
    if progress:
        progress(0, total)
    found = []
    for result in results:
        found.append(result)
        if progress:
            progress(len(found), total)
    return found
