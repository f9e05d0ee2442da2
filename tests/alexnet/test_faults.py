"""What goes wrong around training: processes that differ, stop or fail, states that are not finite, changed plans."""

import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from alexnet_pipeline import Loader, evaluate, open_shards
from alexnet_pipeline.alexnet import checkpoint as checkpoints
from alexnet_pipeline.alexnet.metrics import read_metrics
from alexnet_pipeline.alexnet.state import TrainState
from alexnet_pipeline.errors import PipelineError, RefusedError
from tests.alexnet.made import FLAGS, await_checkpoint, digest, run, run_forked, started, weights


def arguments(shards: Path, folder: Path, *flags: str) -> list[str]:
    """Of the command that trains a small network distributed."""
    return ["-q", "train", str(shards), "--run-dir", str(folder), *FLAGS, "--towers", "distributed", *flags]


def ends(processes: list, within_s: float) -> list[tuple[int, bytes]]:
    """Exit code and stderr of each."""
    deadline = time.monotonic() + within_s
    outputs = [process.communicate(timeout=max(1.0, deadline - time.monotonic())) for process in processes]
    return [(process.returncode, errors) for process, (_, errors) in zip(processes, outputs, strict=True)]


@pytest.mark.parametrize(("world", "norm"), [(4, "batch"), (8, "none")])
def test_many_processes_validate_few_images(shards: Path, tmp_path: Path, world: int, norm: str) -> None:
    """Some have none left, and a network that waits for the others would wait for ever; all errors are counted."""
    flags = ["--steps", "5", "--timeout", "60", "--norm", norm, "--batch-size", "16"]
    assert run_forked(arguments(shards, tmp_path / "many", *flags), world) == ([0] * world, [])
    found = read_metrics(tmp_path / "many").validations[-1].errors
    again = evaluate(tmp_path / "many", shards=shards / "val", device="cpu", progress=False).errors
    assert found.total_images == 20
    assert found.loss == pytest.approx(again.loss, rel=1e-4)
    assert dataclasses.replace(found, loss=again.loss) == again


def test_signals_to_all_processes_make_a_checkpoint(shards: Path, tmp_path: Path) -> None:
    """Though torchrun passes a TERM on at the same time; one line tells of the step."""
    endless = arguments(shards, tmp_path / "run", "--epochs", "500")
    with started("alexnet_pipeline", endless) as processes:
        await_checkpoint(tmp_path / "run")
        for process, number in zip(processes, (signal.SIGHUP, signal.SIGUSR1), strict=True):
            process.send_signal(number)
            process.send_signal(signal.SIGTERM)
        codes = ends(processes, 60)
    assert [code for code, _ in codes] == [128 + signal.SIGHUP, 128 + signal.SIGUSR1], codes
    saved = checkpoints.load_newest(tmp_path / "run" / "checkpoints", pytest.fail)
    line = f"interrupted at step {saved.state.step:,} of 2,500; --resume auto continues from there"
    assert b"".join(errors for _, errors in codes).decode().splitlines() == [line]


def test_a_slurm_job_whose_time_is_over_makes_a_checkpoint(shards: Path, tmp_path: Path) -> None:
    """By tools/slurm_train.sh, which turns USR1 into the TERM that torchrun passes on to its processes."""
    options = {"SHARDS": str(shards), "RUN": str(tmp_path / "run"), "PROCESSES": "2"}
    options |= {
        "OPTIONS": " ".join([*FLAGS, "--epochs", "500"]),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    script = ["bash", str(Path(__file__).parents[2] / "tools" / "slurm_train.sh")]
    job = subprocess.Popen(script, env={**os.environ, **options}, stderr=subprocess.PIPE, text=True)
    try:
        await_checkpoint(tmp_path / "run")
        job.send_signal(signal.SIGUSR1)
        errors = job.communicate(timeout=60)[1]
    finally:
        job.kill()
        kill_all(str(tmp_path / "run"))
    saved = checkpoints.load_newest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert errors.count(f"interrupted at step {saved.state.step:,} of 2,500; --resume auto continues from there\n") == 1
    assert errors.count("interrupted at step") == 1


def kill_all(argument: str) -> None:
    """End the processes that were started with an argument."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if argument.encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.mark.parametrize("towers", ["distributed", "one"])
def test_a_process_that_fails_tells_alone(shards: Path, tmp_path: Path, towers: str) -> None:
    """It reads an image that no other process reads; the others end without a word."""
    shutil.copytree(shards, tmp_path / "shards")
    train_set = open_shards(tmp_path / "shards" / "train")
    tar, (offset, size) = sorted(train_set.folder.glob("*.tar"))[train_set.shard[30]], train_set.image[30].tolist()
    data = tar.read_bytes()
    tar.write_bytes(data[:offset] + bytes(size) + data[offset + size :])
    codes, lines = run_forked(arguments(tmp_path / "shards", tmp_path / "run", "--towers", towers), 2)
    assert codes == [1, 1]
    assert ["cannot be decoded" in line for line in lines] == [True], lines


def test_a_loss_that_is_not_finite_is_told_once(shards: Path, tmp_path: Path) -> None:
    """Though all processes have it."""
    diverging = arguments(shards, tmp_path / "run", "--norm", "none", "--learning-rate", "1e6", "--towers", "one")
    codes, lines = run_forked(diverging, 2)
    assert codes == [1, 1]
    assert [line.partition(" at step")[0] for line in lines] == ["error: the loss is nan"], lines


def test_a_process_that_never_comes_is_missed(shards: Path, tmp_path: Path) -> None:
    """Within the limit, in one line."""
    with started("alexnet_pipeline", arguments(shards, tmp_path / "run", "--timeout", "2")) as processes:
        processes[1].kill()
        (end,) = ends(processes[:1], 60)
    assert (end[0], end[1].count(b"\n")) == (1, 1), end
    assert end[1].startswith(b"error: another process of the run ended or is silent")


def test_a_stopped_process_ends_the_job(shards: Path, tmp_path: Path) -> None:
    """SIGSTOP: it lives, and says nothing; the limit holds for every group of processes."""
    endless = arguments(shards, tmp_path / "run", "--epochs", "500", "--timeout", "10")
    with started("alexnet_pipeline", endless, world=4) as processes:
        await_checkpoint(tmp_path / "run")
        os.kill(processes[3].pid, signal.SIGSTOP)
        codes = ends(processes[:3], 10 + 30 + 60)
        assert all(code == 1 for code, _ in codes), codes
        assert not any(b"Traceback" in errors for _, errors in codes), codes


def test_a_run_goes_on_with_another_rate_and_length(shards: Path, tmp_path: Path) -> None:
    """What is given now is taken and logged; what is not given stays as it was, not as the preset has it."""
    run(shards, tmp_path, steps=4, learning_rate=0.002, checkpoint_every=2)
    done = run(shards, tmp_path, steps=6, resume="auto", learning_rate=0.001)
    assert done.steps == 6
    (change,) = read_metrics(tmp_path).changes
    assert (change.step, change.changes) == (4, ("learning_rate: 0.002, now 0.001", "total_steps: 4, now 6"))
    run(shards, tmp_path, resume="auto", steps=6)
    assert len(read_metrics(tmp_path).changes) == 1
    assert checkpoints.load_newest(tmp_path / "checkpoints", print).state.identity.recipe.learning_rate == 0.001
    with pytest.raises(RefusedError, match="more `steps` or `epochs`"):
        run(shards, tmp_path, resume="auto", steps=3)
    with pytest.raises(RefusedError, match="other settings"):
        run(shards, tmp_path, resume="auto", batch_size=6)


def test_a_state_that_is_not_finite_is_neither_saved_nor_evaluated(shards: Path, tmp_path: Path, monkeypatch) -> None:
    """Though the loss still is: the next step's would not be."""
    run(shards, tmp_path, steps=2)
    before = digest(tmp_path)
    from alexnet_pipeline.alexnet import train as module

    step = module.take_step

    def spoiled(run_of, state, *rest) -> TrainState:
        state = step(run_of, state, *rest)
        next(run_of.model.parameters()).data[0] = float("nan")
        return state

    with monkeypatch.context() as patched:
        patched.setattr(module, "take_step", spoiled)
        with pytest.raises(PipelineError, match="no longer finite at step 3"):
            run(shards, tmp_path, steps=3, resume="auto")
    assert digest(tmp_path) == before
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "find_not_finite", lambda checkpoint: "conv1.weight")
        from alexnet_pipeline.alexnet import trained

        patched.setattr(trained, "find_not_finite", lambda checkpoint: "conv1.weight")
        with pytest.raises(RefusedError, match=r"conv1\.weight are not finite"):
            evaluate(tmp_path, shards=shards / "val", device="cpu", progress=False)
    nan = torch.full((2,), float("nan"))
    made = checkpoints.Checkpoint({"a": torch.ones(2), "b": nan}, {}, {}, None)
    assert checkpoints.find_not_finite(made) == "b"


def test_a_run_folder_that_is_not_shared_is_refused(shards: Path, tmp_path: Path) -> None:
    """By one line, of one process: the others would train another network."""
    for step in (2, 4):
        run(shards, tmp_path / str(step), steps=step)
    import torch.distributed as dist

    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "alexnet_pipeline", *arguments(shards, tmp_path / str(step), "--resume", "auto")],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "TORCHELASTIC_RESTART_COUNT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank, step in enumerate((2, 4))
    ]
    codes = ends(processes, 120)
    assert [code for code, _ in codes] == [2, 2], codes
    assert b"of the steps 2, 4, by rank" in codes[0][1]
    assert codes[0][1].count(b"\n") == 1
    assert codes[1][1] == b""


def test_a_refusal_is_told_once(shards: Path, tmp_path: Path) -> None:
    """Though all processes refuse."""
    run(shards, tmp_path, steps=2)
    with started("alexnet_pipeline", arguments(shards, tmp_path), world=2) as processes:
        codes = ends(processes, 120)
    assert [code for code, _ in codes] == [2, 2], codes
    assert [errors.count(b"\n") for _, errors in codes] == [1, 0], codes


def test_a_checkpoint_that_cannot_be_read_is_not_passed_over(shards: Path, tmp_path: Path, monkeypatch) -> None:
    """An older one would be resumed, and the newest removed for being beyond it."""
    run(shards, tmp_path, steps=4, checkpoint_every=2)
    there = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())

    def fails(path: Path, *most) -> bytes:
        raise OSError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "read_whole", fails)
        with pytest.raises(PipelineError, match=r"cannot read checkpoint .*Permission denied"):
            run(shards, tmp_path, steps=4, resume="auto")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == there
    assert weights(tmp_path)


def test_counting_batches_does_not_skip_an_epoch(shards: Path) -> None:
    """`zip` with a range asks for no more than it needs, so that the loader never hears of the epoch's end."""
    loader = Loader(shards / "val", 8, crop_px=70, threads=1)
    first = [labels.tolist() for _, (_, labels) in zip(range(len(loader)), loader, strict=False)]
    second = [labels.tolist() for _, labels in loader]
    third = [labels.tolist() for _, labels in loader]
    assert [len(each) for each in (first, second, third)] == [len(loader)] * 3
    assert first != second
    assert loader.state().epoch == 3
    loader.close()


def test_another_mean_is_another_loader(shards: Path) -> None:
    """A state is not taken over; one of version 0.1, which did not say its mean, is."""
    by_channel = Loader(shards / "val", 8, crop_px=70, threads=1)
    by_image = Loader(shards / "val", 8, crop_px=70, threads=1, mean="image")
    with pytest.raises(RefusedError, match="mean"):
        by_image.load_state(by_channel.state())
    by_image.load_state(dataclasses.replace(by_channel.state(), mean=""))
    assert by_image.state().mean
