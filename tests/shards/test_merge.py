"""Parts that separate jobs write, into one folder or several, make the data set that one job makes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_pipeline import merge, shard, verify
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.shards.journal import SetState
from tests.storage.server import contents, files

TOOLS = Path(__file__).parents[2] / "tools"
HOW = {"methods": ["nearest", "lanczos"], "size": 32, "shard_size": 4, "progress": False}


@pytest.fixture(scope="module")
def expected(raw_folders, tmp_path_factory) -> dict[str, bytes]:
    """What one job writes."""
    out = tmp_path_factory.mktemp("one")
    shard(raw_folders, out, **HOW)
    return files(out)


@pytest.mark.parametrize("place", ["disk", "store"])
def test_eight_parts_begin_at_once(raw_folders, expected, tmp_path, bucket, place) -> None:
    """On an empty folder, as an array job does."""
    out = tmp_path if place == "disk" else bucket / "out"
    command = [sys.executable, "-m", "alexnet_pipeline", "-q", "shard", str(raw_folders), str(out), "--workers", "1"]
    command += ["--method", "nearest,lanczos", "--size", "32", "--shard-size", "4"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    jobs = [subprocess.Popen([*command, "--part", f"{number}/8"], **pipe) for number in range(8)]
    for job in jobs:
        _, errors = job.communicate(timeout=300)
        assert job.returncode in (0, 3), errors
    merge(out)
    assert (files(out) if place == "disk" else contents(out)) == expected


def test_parts_in_several_folders_are_merged(raw_folders, expected, tmp_path, bucket) -> None:
    """On disks of two nodes and in a store; the others stay as they are, and an overlap is refused."""
    outs = [tmp_path / "a", tmp_path / "b", bucket / "c"]
    for out, span in zip([*outs, tmp_path / "d"], [(0, 6), (6, 9), (9, 99), (5, 9)], strict=True):
        shard(raw_folders, out, shard_range=span, **HOW)
    before = files(tmp_path / "b")
    with pytest.raises(RefusedError, match="overlap, so that the statistics of shards 6:9 cannot be told apart"):
        merge(tmp_path / "a", tmp_path / "d")
    assert all(done.complete for done in merge(*outs))
    assert files(tmp_path / "a") == expected
    assert files(tmp_path / "b") == before
    assert not verify(tmp_path / "a", deep=True).problems
    assert all(done.complete for done in merge(*outs)), "again is as good"


def test_all_missing_ranges_are_named(raw_folders, tmp_path) -> None:
    """Of every data set, in the form that `shard` takes."""
    for span in [(1, 3), (6, 7)]:
        shard(raw_folders, tmp_path, split=["train"], shard_range=span, **HOW)
    with pytest.raises(RefusedError) as refusal:
        merge(tmp_path)
    text = str(refusal.value)
    assert text.count("12 of 15 shards are missing: 0:1, 3:6, 7:15") == 2
    assert "run `shard` with `shard_range` or `part` for them" in text


def test_other_data_sets_are_not_merged(raw_folders, tmp_path) -> None:
    """Neither with other settings, nor complete ones, nor what is none."""
    shard(raw_folders, tmp_path / "a", split=["val"], part=(0, 2), **HOW)
    shard(raw_folders, tmp_path / "b", split=["val"], part=(1, 2), **{**HOW, "quality": 80})
    with pytest.raises(RefusedError, match="different data sets"):
        merge(tmp_path / "a", tmp_path / "b")
    shard(raw_folders, tmp_path / "c", split=["val"], **HOW)
    with pytest.raises(RefusedError, match="is complete; nothing of it"):
        merge(tmp_path / "a", tmp_path / "c")
    (tmp_path / "d").mkdir()
    with pytest.raises(RefusedError, match="no run was started"):
        merge(tmp_path / "a", tmp_path / "d")


def test_a_damaged_shard_is_not_merged(raw_folders, tmp_path) -> None:
    """Its content is compared with its record while it is copied."""
    shard(raw_folders, tmp_path / "a", split=["val"], part=(0, 2), **HOW)
    shard(raw_folders, tmp_path / "b", split=["val"], part=(1, 2), **HOW)
    tar = sorted((tmp_path / "b" / "nearest" / "val").glob("*.tar"))[0]
    data = bytearray(tar.read_bytes())
    data[600] ^= 1
    tar.write_bytes(data)
    with pytest.raises(PipelineError, match="is not what its record says"):
        merge(tmp_path / "a", tmp_path / "b")
    assert not list(tmp_path.rglob(".part-*"))


def test_a_plan_alone_writes_no_shard(raw_folders, expected, tmp_path) -> None:
    """Jobs that write parts start from it; a part that has no shards is no error."""
    for done in shard(raw_folders, tmp_path, plan_only=True, **HOW):
        assert (done.shards, done.complete) == (0, False)
    assert not list(tmp_path.rglob("*.tar"))
    assert SetState(tmp_path / "nearest" / "train").begun()
    for number in range(99):
        if number % 33 in (0, 16, 32) or number < 3:
            shard(raw_folders, tmp_path, part=(number, 99), **HOW)
    shard(raw_folders, tmp_path, **HOW)
    assert files(tmp_path) == expected


def environment(raw_folders: Path, out: object, **variables: str) -> dict[str, str]:
    """What the scripts for schedulers are given; this environment's command comes first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = "--method nearest,lanczos --size 32 --shard-size 4"
    given = {"PATH": path, "SOURCE": str(raw_folders), "OUT": str(out), "OPTIONS": options, "PARTS": "3"}
    return {**os.environ, **given, **variables}


def test_the_script_for_slurm_writes_parts(raw_folders, expected, tmp_path) -> None:
    """As its first lines say."""
    for number in range(3):
        given = environment(raw_folders, tmp_path, SLURM_ARRAY_TASK_ID=str(number))
        subprocess.run(["bash", str(TOOLS / "slurm.sh")], env=given, check=True, timeout=120)
    merge(tmp_path)
    assert files(tmp_path) == expected


def test_the_jobs_for_kubernetes_write_a_set(raw_folders, expected, bucket) -> None:
    """Their commands, one after the other, from disk to a bucket."""
    yaml = pytest.importorskip("yaml")
    jobs = list(yaml.safe_load_all((TOOLS / "kubernetes.yaml").read_text()))
    assert [job["metadata"]["labels"]["step"] for job in jobs] == ["plan", "parts", "merge"]
    for job in jobs:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        given = environment(raw_folders, f"{bucket}/out")
        for number in range(3 if "completions" in job["spec"] else 1):
            known = {**given, "JOB_COMPLETION_INDEX": str(number)}
            subprocess.run(container["command"], env=known, check=True, timeout=120)
    assert contents(bucket / "out") == expected
