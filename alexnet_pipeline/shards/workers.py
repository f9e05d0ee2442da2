"""Jobs in, finished jobs out, on this machine's cores: one process a worker, each survivable.

A decoder that crashes or loops takes its worker with it. The worker is replaced, the job tried once more, and
a picture that kills twice is left out by name. Each worker has a pipe of its own, so that a death is seen as
the pipe's end at once and no lock can be left held: of the ready-made pools, concurrent.futures fails all that
is pending, multiprocessing.Pool hangs, and pebble now and then gave up when every worker was killed at once.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import TracebackType
from typing import Any, Self

from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.records import JournalEntry, Reason
from alexnet_pipeline.shards.write import ShardJob, write_job

# How often progress is looked at, in seconds.
TICK_S = 0.2
# A picture is given up after so many deaths; a job whose deaths no picture explains, after as many.
MAX_DEATHS = 2
# Position of a job whose worker has not reached its first picture.
NOT_BEGUN = -1
# Seconds for workers to stop before they are killed.
STOP_S = 3.0
# prctl's option to be killed when the parent dies, from Linux' sys/prctl.h.
PR_SET_PDEATHSIG = 1

Done = Callable[[ShardJob, list[JournalEntry]], None]
Progress = Callable[[int], None]
Warn = Callable[[str], None]


@dataclass(slots=True)
class _Worker:
    """One process: where it is spoken to and what it works on."""

    process: ForkServerProcess
    pipe: Connection
    slot: int = -1


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
    current = list(jobs)
    queue = deque(range(len(jobs)))
    deaths: dict[tuple[int, int], int] = {}
    with _Crew(len(jobs)) as crew:
        while queue or crew.busy:
            while queue and len(crew.busy) < workers:
                slot = queue.popleft()
                crew.give(slot, current[slot])
            for slot, answer in crew.answers():
                if isinstance(answer, int):
                    job = current[slot]
                    current[slot] = _after_death(job, slot, crew.positions[slot], answer, deaths, warn)
                    queue.appendleft(slot)
                elif isinstance(answer, PipelineError):
                    raise answer
                else:
                    done(current[slot], answer)
            progress(sum(max(0, position) for position in crew.positions))


class _Crew:
    """Workers that are started when there is work, and never left behind."""

    def __init__(self, slots: int) -> None:
        # A server forks the workers: forking a process that has threads is not safe, spawning is slow.
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["alexnet_pipeline.shards.write"])
        # Position of the picture that each job is at, in memory that outlives a worker.
        self.positions: Any = self._context.RawArray(ctypes.c_int64, slots)
        self.busy: dict[Connection, _Worker] = {}
        self._idle: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        everyone = [*self.busy.values(), *self._idle]
        for worker in everyone:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_S
        for worker in everyone:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()

    def give(self, slot: int, job: ShardJob) -> None:
        """Let a worker begin a job."""
        worker = self._idle.pop() if self._idle else self._start()
        worker.slot = slot
        self.positions[slot] = NOT_BEGUN
        self.busy[worker.pipe] = worker
        try:
            worker.pipe.send((slot, job))
        except OSError:
            return  # it died idle; the pipe's end tells

    def answers(self) -> list[tuple[int, list[JournalEntry] | PipelineError | int]]:
        """Who has answered within a tick: (slot, entries, or an error, or a dead worker's exit code)."""
        found: list[tuple[int, list[JournalEntry] | PipelineError | int]] = []
        ready = wait(list(self.busy), TICK_S)
        for pipe in [pipe for pipe in self.busy if pipe in ready]:
            worker = self.busy.pop(pipe)
            try:
                found.append((worker.slot, worker.pipe.recv()))
                self._idle.append(worker)
            except (EOFError, OSError):
                worker.pipe.close()
                worker.process.join()
                found.append((worker.slot, worker.process.exitcode or 0))
        return found

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self.positions), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)


def _after_death(
    job: ShardJob,
    slot: int,
    position: int,
    exit_code: int,
    deaths: dict[tuple[int, int], int],
    warn: Warn,
) -> ShardJob:
    """The job to try next after a worker died at a picture."""
    count = deaths[slot, position] = deaths.get((slot, position), 0) + 1
    if position == NOT_BEGUN and count >= MAX_DEATHS:
        raise PipelineError(
            "workers die before their first picture; a script that calls `shard` is a file, and calls it below "
            'if __name__ == "__main__":'
        )
    late = not 0 <= position < len(job.images)
    where = f"shard {job.index} of {job.split}" if late else job.images[position].name
    cause = "ran out of time" if exit_code == -signal.SIGPROF else f"died ({exit_code})"
    warn(f"a worker {cause} at {where}; trying again" if count < MAX_DEATHS else f"a worker {cause} at {where}")
    if count < MAX_DEATHS:
        return job
    if late:
        raise PipelineError(f"workers keep dying at {where}; is there memory enough? try fewer --workers")
    reason = Reason.TIMEOUT if exit_code == -signal.SIGPROF else Reason.DECODER_CRASH
    return dataclasses.replace(job, doomed={**job.doomed, position: reason})


def _work(pipe: Connection, positions: Any) -> None:
    """A worker's life: job in, answer out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a terminal's Ctrl-C ends the run
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends a worker that spent a picture's time limit
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Looking for cycles costs 2 % of a worker's time; what the imports made stays, and a job makes hardly any.
    gc.freeze()
    gc.disable()
    while True:
        try:
            slot, job = pipe.recv()
        except EOFError:
            return
        pipe.send(_answer(slot, job, positions))
        gc.collect()


def _answer(slot: int, job: ShardJob, positions: Any) -> list[JournalEntry] | PipelineError:
    def progress(position: int) -> None:
        positions[slot] = position

    try:
        return write_job(job, progress)
    except PipelineError as error:
        return error
    except Exception:  # noqa: BLE001 - a mistake of ours, carried to the parent with its traceback
        return PipelineError(f"a worker failed in shard {job.index} of {job.split}:\n{traceback.format_exc()}")
