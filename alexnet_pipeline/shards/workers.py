"""Run jobs in worker processes; the run survives the death of any worker.

A decoder that crashes or loops forever ends its worker. The worker is replaced and the job is tried once more; an image
that kills a worker twice is rejected by name. Each worker has its own pipe, so that its death shows at once as the end
of the pipe, and no shared lock can stay held. Of the existing pools, concurrent.futures fails all pending jobs,
multiprocessing.Pool hangs, and pebble sometimes gave up when all workers were killed at once.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import os
import signal
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.cores import core_count
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.raw.read import reading_order
from alexnet_pipeline.records import Reason
from alexnet_pipeline.shards.journal import JournalEntry
from alexnet_pipeline.shards.plan import ShardJob

# How often progress is reported, in seconds.
TICK_S = 0.2
# Deaths of workers after which an image is rejected, or a job fails whose deaths no image explains.
MAX_DEATHS = 2
# Position of a job whose worker has not reached its first image.
NOT_BEGUN = -1
# Longest path of a folder for sockets: Linux takes 107 bytes, and names like pymp-12345678/listener-12345678 follow.
MAX_SOCKET_FOLDER_BYTES = 70
# Resident memory of a worker that writes shards of 1,000 images; measured by `tools/benchmark_shard.py`.
WORKER_MB = 190
# Seconds that workers have to stop before they are killed.
STOP_S = 3.0

Done = Callable[[ShardJob, list[JournalEntry]], None]
# A job's journal entries, an error, or the exit code of its dead worker.
Answer = list[JournalEntry] | PipelineError | int


@dataclass(slots=True)
class _Worker:
    """A worker process, our end of its pipe, and the slot of the job it works on."""

    process: ForkServerProcess
    pipe: Connection
    slot: int = -1


def start_server() -> None:
    """Start the fork server, so that it compiles the kernels while the source is listed.

    Raises:
        PipelineError: there is no folder for its socket.
    """
    _choose_socket_folder()
    multiprocessing.get_context("forkserver").set_forkserver_preload(["alexnet_pipeline.shards.preload"])
    with ctrl_c_held():
        multiprocessing.forkserver.ensure_running()


@contextmanager
def ctrl_c_held() -> Iterator[None]:
    """Hold back Ctrl-C from processes that are started here, which would else print a traceback while they load.

    They inherit this thread's signal mask. This process gets a Ctrl-C at the end of the block.
    """
    resource_tracker.ensure_running()  # the first process to start one would start it too, and then unblock the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _choose_socket_folder() -> None:
    """Let `multiprocessing` keep its sockets in a folder with a short path that can be written to.

    Batch systems set TMPDIR to paths that are too long for a socket, and containers to ones that do not exist.
    """
    before = tempfile.tempdir
    tried = [os.environ.get("TMPDIR", ""), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108
    try:
        for folder in [*filter(None, tried), os.getcwd()]:  # noqa: PTH109 - only text is needed
            if len(os.fsencode(folder)) <= MAX_SOCKET_FOLDER_BYTES and os.access(folder, os.W_OK | os.X_OK):
                tempfile.tempdir = folder
                with suppress(OSError):
                    multiprocessing.util.get_temp_dir()  # chosen once for the life of the process
                    return
    finally:
        tempfile.tempdir = before
    raise PipelineError(f"no folder for sockets: {', '.join(filter(None, tried))} cannot be written to; set TMPDIR")


def run_jobs(
    jobs: Sequence[ShardJob],
    workers: int | None,
    *,
    started: Callable[[], None],
    done: Done,
    progress: Callable[[int], None],
    warn: Callable[[str], None],
    crew: Crew | None = None,
) -> None:
    """Run all jobs, in any order.

    Args:
        jobs: the shards to write.
        workers: number of worker processes; None for one per core.
        started: called when the first worker has started; the kernels are compiled by then.
        done: called with each finished job and its journal entries.
        progress: called often with the number of images worked on so far.
        warn: called with one line when a worker dies.
        crew: worker processes to use, which go on after that; by default there are some for this call.

    Raises:
        PipelineError: a job failed; the others are stopped.
    """
    if crew is None:
        with Crew(len(jobs)) as own:
            return run_jobs(jobs, workers, started=started, done=done, progress=progress, warn=warn, crew=own)
    current: dict[int, ShardJob] = {}  # the jobs that are being worked on, or will be tried again
    workers = workers or core_count()
    queue = deque(range(len(jobs)))
    deaths: dict[tuple[int, int], int] = {}
    crew.begin()
    started()
    while queue or crew.busy:
        while queue and len(crew.busy) < workers:
            slot = queue.popleft()
            crew.give(slot, current.setdefault(slot, jobs[slot]))
        for slot, answer in crew.answers():
            if isinstance(answer, int):
                job = current[slot]
                current[slot] = _after_death(job, slot, crew.positions[slot], answer, deaths, warn)
                queue.appendleft(slot)
            elif isinstance(answer, PipelineError):
                raise answer
            else:
                done(current.pop(slot), answer)
        progress(sum(max(0, position) for position in crew.positions))
    return None


@dataclass(frozen=True, slots=True)
class Positions:
    """One number for each job, shared by processes in a small file.

    `multiprocessing` would take /dev/shm, which some containers lack or forbid.

    Attributes:
        path: the file.
        values: (jobs,) int64.
    """

    path: Path
    values: NDArray[np.int64]

    @classmethod
    def create(cls, count: int) -> Positions:
        """Make such a file where this program keeps its sockets."""
        descriptor, name = tempfile.mkstemp(prefix="positions-", dir=multiprocessing.util.get_temp_dir())
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(8 * count)
        return cls.open(Path(name))

    @classmethod
    def open(cls, path: Path) -> Positions:
        """Map an existing file."""
        return cls(path, np.memmap(path, np.int64, "r+"))

    def remove(self) -> None:
        """Remove the file; processes that have mapped it go on."""
        with suppress(OSError):
            self.path.unlink()


class Crew:
    """Worker processes, which are started when there is work, and all ended at the end of the block.

    Args:
        slots: the most jobs of a call of `run_jobs`.
    """

    def __init__(self, slots: int) -> None:
        # A fork server starts the workers: forking a process that has threads is not safe, and spawning is slow.
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        # For each job how many of its images were read before the current one, in memory that outlives the worker.
        self._shared = Positions.create(slots)
        self.positions = self._shared.values
        self.busy: dict[Connection, _Worker] = {}
        self._idle: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        everyone = [*self.busy.values(), *self._idle]
        for worker in everyone:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_S
        for worker in everyone:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
        self._shared.remove()

    def begin(self) -> None:
        """Make sure that there is a worker."""
        if not self._idle:
            self._hire()

    def _hire(self) -> None:
        """Start a worker that waits for a job."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._shared.path, dict(os.environ)), daemon=True)
        process.start()
        theirs.close()
        self._idle.append(_Worker(process, ours))

    def give(self, slot: int, job: ShardJob) -> None:
        """Send a job to an idle worker, or to a new one."""
        self.begin()
        worker = self._idle.pop()
        worker.slot = slot
        self.positions[slot] = NOT_BEGUN
        self.busy[worker.pipe] = worker
        try:
            worker.pipe.send((slot, job))
        except OSError:
            return  # it died while idle; `answers` sees the end of its pipe

    def answers(self) -> list[tuple[int, Answer]]:
        """Wait for at most a tick, and return the slots that were answered, each with its answer."""
        answers: list[tuple[int, Answer]] = []
        ready = wait(list(self.busy), TICK_S)
        for pipe in [pipe for pipe in self.busy if pipe in ready]:
            worker = self.busy.pop(pipe)
            try:
                answers.append((worker.slot, worker.pipe.recv()))
                self._idle.append(worker)
            except (EOFError, OSError):
                worker.pipe.close()
                worker.process.join()
                answers.append((worker.slot, worker.process.exitcode or 0))
        return answers


def _after_death(
    job: ShardJob,
    slot: int,
    position: int,
    exit_code: int,
    deaths: dict[tuple[int, int], int],
    warn: Callable[[str], None],
) -> ShardJob:
    """The job to try next after a worker died at an image."""
    count = deaths[slot, position] = deaths.get((slot, position), 0) + 1
    if position == NOT_BEGUN and count >= MAX_DEATHS:
        raise PipelineError(
            "workers die before their first image; call `shard` from a script that is a file, and there under "
            'if __name__ == "__main__":'
        )
    late = not 0 <= position < len(job.images)
    at = -1 if late else reading_order(job.images)[position]
    where = f"shard {job.index} of {job.split}" if late else job.images[at].name
    cause = "ran out of time" if exit_code == -signal.SIGPROF else f"died (exit code {exit_code})"
    warn(f"a worker {cause} at {where}; trying again" if count < MAX_DEATHS else f"a worker {cause} at {where}")
    if count < MAX_DEATHS:
        return job
    if late:
        raise PipelineError(f"workers keep dying at {where}; if memory is short, use fewer `workers`")
    reason = Reason.TIMEOUT if exit_code == -signal.SIGPROF else Reason.DECODER_CRASH
    return dataclasses.replace(job, doomed={**job.doomed, at: reason})


def _work(pipe: Connection, shared: Path, environment: dict[str, str]) -> None:
    """Receive jobs and send answers until the pipe ends; this is the main function of a worker."""
    os.environ.clear()  # the fork server's is as old as the first run of this process
    os.environ.update(environment)
    set_up_worker()
    positions = Positions.open(shared).values
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends a worker whose image exceeds its time limit
    # The cyclic garbage collector costs 2 % of a worker's time; imported objects stay, and jobs make hardly any cycles.
    gc.freeze()
    gc.disable()
    while True:
        try:
            slot, job = pipe.recv()
        except EOFError:
            return
        pipe.send(_answer(slot, job, positions))
        gc.collect()


def set_up_worker() -> None:
    """Let a worker process ignore Ctrl-C, which its parent handles, and exit when its parent has died."""
    from alexnet_pipeline.pixels import codec  # noqa: PLC0415 - the fork server has loaded it; the parent does not need it

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    codec.quiet_opencv()
    logging.getLogger("alexnet_pipeline").setLevel(logging.ERROR)  # what it warns of, its parent meets, too


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _answer(slot: int, job: ShardJob, positions: Any) -> list[JournalEntry] | PipelineError:
    from alexnet_pipeline.shards.write import write_job  # noqa: PLC0415 - as above

    def progress(position: int) -> None:
        positions[slot] = position

    try:
        return write_job(job, progress)
    except PipelineError as error:
        return error
    except MemoryError:
        return PipelineError(
            f"a worker ran out of memory in shard {job.index} of {job.split}; each needs about {WORKER_MB} MB beside "
            "the largest image: use fewer `workers` or raise the limit, then run the same command to resume"
        )
    except Exception as error:  # noqa: BLE001 - a bug, which the parent reports by name
        failure = PipelineError(
            f"a worker failed in shard {job.index} of {job.split} ({type(error).__name__}: {error}); this is a bug, "
            "please report it"
        )
        failure.add_note(traceback.format_exc())
        return failure
