"""Work on many items in processes: a dead worker is reported, and the caller's OpenCV stays as it was."""

import os
from functools import partial

import cv2
import pytest

from alexnet_pipeline.comparison.workers import run_all
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.progress import silent


def opencv_settings(item: int) -> tuple[int, int, int]:
    return item, cv2.getNumThreads(), cv2.utils.logging.getLogLevel()


def prepared():
    return opencv_settings


def test_a_worker_that_dies_is_one_line() -> None:
    """No hang and no traceback of a pool."""
    with pytest.raises(PipelineError, match="a worker process died"):
        run_all(os._exit, partial(partial, os._exit), [1] * 8, 2, silent)


@pytest.mark.parametrize("workers", [1, 2])
def test_opencv_works_on_one_thread_and_the_callers_settings_stay(workers: int) -> None:
    """Each item is worked on by one silent thread, in its order; afterwards the caller has what it had before."""
    threads, level = cv2.getNumThreads(), cv2.utils.logging.getLogLevel()
    try:
        cv2.setNumThreads(2)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        results = run_all(opencv_settings, prepared, list(range(9)), workers, silent)
        assert results == [(item, 1, cv2.utils.logging.LOG_LEVEL_SILENT) for item in range(9)]
        assert cv2.getNumThreads() == 2
        assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_ERROR
    finally:
        cv2.setNumThreads(threads)
        cv2.utils.logging.setLogLevel(level)
