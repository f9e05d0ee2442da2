"""Run jobs on a Ray cluster. A task runs its job as the local engine does, in a child process that may die.

So an image that kills its decoder costs that image here, too. A task gets the places of images and returns the records
of shards; pixels go from the source to the output, and never through Ray. Tasks that a lost node or a killed worker
takes along are started again by Ray; a shard that is written twice gets the same bytes.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.shards import workers as local
from alexnet_pipeline.shards.journal import JournalEntry, SetState
from alexnet_pipeline.shards.plan import ShardJob
from alexnet_pipeline.storage.place import Location, locate
from alexnet_pipeline.storage.reading import status_of

# How often a task is started again whose worker or node was lost.
MAX_RETRIES = 5
# Tasks that are submitted for each worker, so that none waits for the driver.
SUBMITTED_PER_WORKER = 2
# How long to wait for a finished task before progress is reported again, and for tasks to end that were cancelled.
TICK_S = 0.5
STOP_S = 5.0
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Check:
    """What a node must see before it writes.

    Attributes:
        plans: the fingerprint of the plan in each folder of the output.
        image: path or URL of the file of one image.
        versions: the versions of what determines the bytes.
    """

    plans: tuple[tuple[Location, str], ...]
    image: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a task returns.

    Attributes:
        entries: the records of the shards that it wrote.
        warnings: what there is to tell.
        error: why it failed; None if it did not.
    """

    entries: list[JournalEntry]
    warnings: list[str]
    error: PipelineError | None


def run_jobs(
    jobs: Sequence[ShardJob],
    workers: int | None,
    *,
    started: Callable[[], None],
    done: Callable[[ShardJob, list[JournalEntry]], None],
    progress: Callable[[int], None],
    warn: Callable[[str], None],
) -> None:
    """Run all jobs on a Ray cluster, in any order; see `workers.run_jobs`.

    Args:
        jobs: the shards to write.
        workers: number of tasks that run at a time; None for one per core of the cluster.
        started: called once all nodes can reach what they need.
        done: called with each finished job and its journal entries.
        progress: called often with the number of images of finished shards.
        warn: called with one line when a worker dies.

    Raises:
        RefusedError: Ray is not installed, or a node lacks something.
        PipelineError: a job failed; the others are stopped.
    """
    with _signals_raised(), _connected() as ray:
        check = _check_of(jobs[0])
        _check_nodes(ray, check)
        started()
        task = ray.remote(_write).options(num_cpus=1, max_retries=MAX_RETRIES, retry_exceptions=False)
        waiting = iter(range(len(jobs)))
        running: dict[Any, ShardJob] = {}
        images = 0
        try:
            while True:
                _submit(ray, task, jobs, waiting, running, check, workers)
                if not running:
                    return
                ready, _ = ray.wait([*running], num_returns=1, timeout=TICK_S)
                for reference in ready:
                    job, answer = running.pop(reference), _answer_of(ray, reference)
                    for line in answer.warnings:
                        warn(line)
                    if answer.error:
                        raise answer.error
                    images += len(job.images)
                    done(job, answer.entries)
                progress(images)
        finally:
            _cancel(ray, [*running])


def _submit(
    ray: Any,
    task: Any,
    jobs: Sequence[ShardJob],
    waiting: Iterator[int],
    running: dict[Any, ShardJob],
    check: _Check,
    workers: int | None,
) -> None:
    """Submit tasks until there are as many as workers can use; nodes may have come or gone."""
    most = workers or SUBMITTED_PER_WORKER * max(1, int(ray.cluster_resources().get("CPU", 1)))
    while len(running) < most:
        slot = next(waiting, None)
        if slot is None:
            return
        job = jobs[slot]
        running[task.remote(job, check)] = job


def _answer_of(ray: Any, reference: Any) -> _Answer:
    try:
        answer: _Answer = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return _Answer([], [], _task_failed(error))
    except ray.exceptions.RayError as error:
        text = f"Ray lost a task {MAX_RETRIES + 1} times ({_first_line(error)}); look at the nodes"
        return _Answer([], [], PipelineError(f"{text}, then run the same command to resume"))
    return answer


def _task_failed(error: Exception) -> PipelineError:
    """A task did not return: its node lacks this package, or there is a bug."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, ImportError) or "ModuleNotFoundError" in str(error):
        return RefusedError(
            f"a node of the Ray cluster cannot import what is needed ({_last_line(error)}); install the same version "
            "of alexnet-pipeline on all nodes"
        )
    failure = PipelineError(f"a task on the Ray cluster failed ({_last_line(error)}); this is a bug, please report it")
    failure.add_note(str(error))
    return failure


def _write(job: ShardJob, check: _Check) -> _Answer:
    """Write the shards of a job; this is a task."""
    where, entries, warnings = f" (node {socket.gethostname()})", [], []
    problem = _problem(check)
    if problem:
        return _Answer([], [], RefusedError(problem))
    try:
        with _without_main():
            local.run_jobs(
                [job],
                1,
                started=lambda: None,
                done=lambda _, found: entries.extend(found),
                progress=lambda _: None,
                warn=lambda line: warnings.append(line + where),
                crew=_crew(),
            )
    except PipelineError as error:
        return _Answer([], warnings, error)
    return _Answer(entries, warnings, None)


@functools.cache
def _crew() -> local.Crew:
    """The child of this process of Ray, which serves all its tasks: to start one takes as long as a hundred images."""
    local.start_server()
    return local.Crew(1)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide Ray's main module from `multiprocessing`, which would run it again in each child, a second of its time."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _check_of(job: ShardJob) -> _Check:
    plans = []
    for target in job.targets:
        plan = SetState(target.folder).begun()
        assert plan is not None, "the run has recorded it"
        plans.append((target.folder, plan.fingerprint))
    return _Check(tuple(plans), job.images[0].path, _versions())


def _versions() -> dict[str, str]:
    from alexnet_pipeline import __version__  # noqa: PLC0415 - the package imports this module late

    return {"alexnet-pipeline": __version__, "numpy": np.__version__, **codec.versions()}


def _check_nodes(ray: Any, check: _Check) -> None:
    """Refuse if a node does not see what it needs, before anything is written."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415 - an extra

    task = ray.remote(_problem)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    strategies = [NodeAffinitySchedulingStrategy(node_id=node, soft=True) for node in nodes]
    references = [task.options(num_cpus=0, scheduling_strategy=each).remote(check) for each in strategies]
    for reference in references:
        try:
            problem = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise _task_failed(error) from error
        except ray.exceptions.RayError as error:
            raise PipelineError(f"a node of the Ray cluster does not answer ({_first_line(error)})") from error
        if problem:
            raise RefusedError(problem)


def _problem(check: _Check) -> str:
    """What this node lacks; empty if it lacks nothing."""
    node = f"node {socket.gethostname()} of the Ray cluster"
    here = _versions()
    if here != check.versions:
        differ = [
            f"{name} {here.get(name)}, not {wanted}"
            for name, wanted in check.versions.items()
            if here.get(name) != wanted
        ]
        return f"{node} has {', '.join(differ)}; install the same versions on all nodes, or their shards would differ"
    for folder, fingerprint in check.plans:
        try:
            plan = SetState(folder).begun()
        except PipelineError as error:
            return f"{node}: {error}"
        if plan is None or plan.fingerprint != fingerprint:
            return f"{node} does not see the output {folder}; choose a folder that all nodes share, or a bucket"
    try:
        status_of(locate(check.image))
    except OSError as error:
        return f"{node} cannot read {check.image} ({error.strerror}); the source must be readable from all nodes"
    return ""


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected to the cluster of RAY_ADDRESS or to one that is started on this machine for as long as needed.

    Raises:
        RefusedError: it is not installed.
        PipelineError: the cluster cannot be reached.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RefusedError("`engine='ray'` needs Ray; pip install 'alexnet-pipeline[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        address = os.environ.get("RAY_ADDRESS", "")
        _check_address(address)
        try:
            with _handlers_kept():
                ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            place = f"the Ray cluster at {address}" if address else "Ray on this machine"
            raise PipelineError(f"cannot start or reach {place} ({_first_line(error)}); check RAY_ADDRESS") from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Refuse what cannot be used, and find out in seconds whether somebody answers; Ray tries for minutes."""
    if "://" in address:
        raise RefusedError(
            f"RAY_ADDRESS={address}: Ray Client is not supported; run the command on a node of the cluster, as "
            "`ray job submit -- alexnet-pipeline shard ...` does"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():  # `local` or `auto`
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        text = error.strerror or str(error)
        raise PipelineError(f"cannot reach the Ray cluster at {address} ({text}); check RAY_ADDRESS") from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep the caller's signal handlers, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Let through what a signal's handler raised while Ray was waiting, which arrives as the cause of a SystemError."""
    try:
        yield
    except SystemError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, KeyboardInterrupt | PipelineError):
            raise cause from None
        raise


def _cancel(ray: Any, references: list[Any]) -> None:
    """Stop tasks and wait until they are gone, so that none writes after the run has ended."""
    for reference in references:
        with suppress(ray.exceptions.RayError):
            ray.cancel(reference, force=True)
    if references:
        with suppress(ray.exceptions.RayError):
            ray.wait(references, num_returns=len(references), timeout=STOP_S)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _last_line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2]
