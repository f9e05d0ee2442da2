"""Jobs in, finished jobs out, on this machine's cores: one process a worker, each survivable.

A decoder that crashes or loops takes its worker with it. The pool replaces the worker, the job is tried once
more, and a picture that kills twice is left out by name.
"""

from __future__ import annotations

import ctypes
import dataclasses
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from typing import Any

from pebble import ProcessExpired, ProcessPool

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.records import Reason, JournalEntry
from alexnet_pipeline.shards.write import ShardJob, write_job

# How often progress is looked at, in seconds.
TICK_S = 0.2
# A picture is given up after so many deaths; a job whose deaths no picture explains, after as many.
MAX_DEATHS = 2
# Seconds for workers to stop.
STOP_S = 5.0
# prctl's option to be killed when the parent dies, from Linux' sys/prctl.h.
PR_SET_PDEATHSIG = 1

Done = Callable[[ShardJob, list[JournalEntry]], None]
Progress = Callable[[int], None]
Warn = Callable[[str], None]

_positions: Any = None


def run_jobs(jobs: Sequence[ShardJob], workers: int, done: Done, progress: Progress, warn: Warn) -> None:
    """Run all jobs, in any order.

    Args:
        jobs: to be written.
        workers: processes.
        done: called with each finished job and its journal entries.
        progress: called often with the number of pictures worked on so far.
        warn: called with one line when a worker dies.

    Raises:
        PipelineError: a job failed; the others are stopped.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["alexnet_pipeline.shards.write"])
    positions = context.RawArray(ctypes.c_int64, len(jobs))
    deaths: dict[tuple[int, int], int] = {}
    with _stopping(ProcessPool(min(workers, len(jobs)), 0, _start_worker, (positions,), context)) as pool:
        running: dict[Future[Any], tuple[int, ShardJob]] = {}

        def submit(slot: int, job: ShardJob) -> None:
            running[pool.schedule(_run, (slot, job))] = (slot, job)

        for slot, job in enumerate(jobs):
            submit(slot, job)
        while running:
            finished, _ = wait(running, TICK_S, FIRST_COMPLETED)
            progress(sum(positions))
            for future in finished:
                slot, job = running.pop(future)
                error = future.exception()
                if isinstance(error, ProcessExpired):
                    submit(slot, _after_death(job, slot, positions[slot], error, deaths, warn))
                elif error is not None:
                    raise error
                else:
                    done(job, future.result())
        progress(sum(positions))


def _after_death(
    job: ShardJob,
    slot: int,
    position: int,
    error: ProcessExpired,
    deaths: dict[tuple[int, int], int],
    warn: Warn,
) -> ShardJob:
    """The job to try next after a worker died at a picture."""
    count = deaths[slot, position] = deaths.get((slot, position), 0) + 1
    late = position >= len(job.images)
    where = f"shard {job.index} of {job.split}" if late else job.images[position].name
    cause = "ran out of time" if error.exitcode == -signal.SIGPROF else f"died ({error.exitcode})"
    warn(f"a worker {cause} at {where}; trying again" if count < MAX_DEATHS else f"a worker {cause} at {where}")
    if count < MAX_DEATHS:
        return job
    if late:
        raise PipelineError(f"workers keep dying at {where}; is there memory enough? try fewer --workers")
    reason = Reason.TIMEOUT if error.exitcode == -signal.SIGPROF else Reason.DECODER_CRASH
    return dataclasses.replace(job, doomed={**job.doomed, position: reason})


@contextmanager
def _stopping(pool: ProcessPool) -> Iterator[ProcessPool]:
    """Leave no worker behind, whatever happens inside."""
    try:
        yield pool
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.close()
        pool.join(STOP_S)


def _start_worker(positions: Any) -> None:
    global _positions  # noqa: PLW0603 - a worker process has exactly one of these, set once
    _positions = positions
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a terminal's Ctrl-C ends the run
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(slot: int, job: ShardJob) -> list[JournalEntry]:
    def progress(position: int) -> None:
        _positions[slot] = position

    return write_job(job, progress)
