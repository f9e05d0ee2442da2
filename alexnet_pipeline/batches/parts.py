"""Loops over the images of a batch, shared by the threads of a pool."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


class Team:
    """Threads that each take a part of a batch. The work must not hold Python's lock.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def share(self, count: int, work: Callable[[int, int], None]) -> None:
        """Call `work(begin, end)` for parts of 0 to `count`, and wait for all."""
        parts = min(self._threads, count)
        bounds = [count * part // parts for part in range(parts + 1)] if parts else []
        pool = self._pool = self._pool or ThreadPoolExecutor(self._threads, "batch")
        for done in [pool.submit(work, *bound) for bound in pairwise(bounds)]:
            done.result()

    def close(self) -> None:
        """End the threads; the next work starts others."""
        if self._pool:
            self._pool.shutdown()
        self._pool = None
