"""Runs the same function on many items in worker processes of this machine; results keep the items' order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2

from alexnet_pipeline.cores import core_count
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.progress import Advance, Report, Stage
from alexnet_pipeline.shards.workers import ctrl_c_held, set_up_worker

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items sent to a worker at a time: a message each costs little beside an image, and workers end together.
CHUNK_ITEMS = 4

# The function that this worker process runs, set by its initializer.
_work: Callable[[Any], Any]


def run_all(
    work: Callable[[Item], Result],
    prepare: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    workers: int | None,
    report: Report,
) -> list[Result]:
    """Run a function on every item.

    Args:
        work: the function, for this process.
        prepare: called once in each worker, where it returns the function; it is pickled, as are the items.
        workers: processes, None for as many as there are cores; a single one is this process.

    Raises:
        PipelineError: a worker died; or what the function raises.
    """
    workers = min(workers or core_count(), -(-len(items) // CHUNK_ITEMS))
    report(Stage("measure", len(items)))
    if workers <= 1:
        with opencv_held():
            return _collect(map(work, items), report)
    # Spawned, not forked: the caller may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(prepare,)) as pool:
        try:
            with ctrl_c_held():
                results = pool.map(_run, items, chunksize=CHUNK_ITEMS)
            return _collect(results, report)
        except BrokenProcessPool as error:
            raise PipelineError(
                "a worker process died: if memory was short, use fewer `workers`; a script that calls `compare` must "
                'be a file, and call it below if __name__ == "__main__":'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(prepare: Callable[[], Callable[[Any], Any]]) -> None:
    """Initialize a worker: it leaves Ctrl-C to the process that started it, and ends when that process is gone."""
    global _work  # noqa: PLW0603 - the initializer's only way to hand something to a worker
    set_up_worker()
    _work = prepare()


def _run(item: Any) -> Any:
    return _work(item)


@contextmanager
def opencv_held() -> Iterator[None]:
    """Measure in this process as in a worker, and leave the caller's settings of OpenCV as they were."""
    threads, log_level = cv2.getNumThreads(), cv2.utils.logging.getLogLevel()
    codec.quiet_opencv()
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.utils.logging.setLogLevel(log_level)


def _collect(results: Iterable[Result], report: Report) -> list[Result]:
    collected = []
    for result in results:
        collected.append(result)
        report(Advance(len(collected)))
    return collected
