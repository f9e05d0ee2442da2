"""From a source to data sets: same bytes always, nothing lost, resumable after any end."""

import contextlib
import dataclasses
import gc
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

import alexnet_pipeline as api
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.pixels.codec import decode, decode_sample
from alexnet_pipeline.records import Ignored, SourceAccount
from alexnet_pipeline.shards import sets
from alexnet_pipeline.shards.journal import SetState

TWO = ("lanczos", "nearest")


def content(folder: Path) -> dict[str, str]:
    """Name -> hash of every file but the state."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".state" not in path.parts
    }


@pytest.fixture(scope="module")
def reference(raw_folders, tmp_path_factory) -> Path:
    """The sample, sharded without interruption by one worker."""
    out = tmp_path_factory.mktemp("reference")
    api.shard(raw_folders, out, methods=TWO, shard_size=16, workers=1)
    return out


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_do_not_change_a_byte(raw_folders, reference, tmp_path, workers) -> None:
    """Shards, indexes, mean image and manifest."""
    api.shard(raw_folders, tmp_path, methods=TWO, shard_size=16, workers=workers)
    assert content(tmp_path) == content(reference)


def test_layout_does_not_change_a_byte(raw_tars, reference, tmp_path) -> None:
    """The original nested tars give the shards of the folders; the manifest says what was read."""
    api.shard(raw_tars, tmp_path, methods=TWO, shard_size=16)
    ours, theirs = content(tmp_path), content(reference)
    for name in [name for name in ours if name.endswith("manifest.json")]:
        both = [read_manifest((root / name).parent) for root in (tmp_path, reference)]
        assert [each.source.layout for each in both] == ["ILSVRC2012", "class folders"]
        plain = [dataclasses.replace(each, source=SourceAccount(), class_words=(), digest="") for each in both]
        assert plain[0] == plain[1]
    about = {name for name in ours if name.endswith(("manifest.json", "README.md"))}
    assert {n: h for n, h in ours.items() if n not in about} == {n: h for n, h in theirs.items() if n not in about}


def test_clock_umask_and_zone_do_not_change_a_byte(raw_folders, reference, tmp_path) -> None:
    """Nor does a run of one method change another's."""
    environment = {**os.environ, "TZ": "Pacific/Chatham", "PYTHONHASHSEED": "7"}
    before = os.umask(0o077)
    try:
        for method in TWO:
            command = ["shard", str(raw_folders), str(tmp_path), "--method", method, "--shard-size", "16"]
            assert start(command, env=environment).wait() == 3
    finally:
        os.umask(before)
    assert content(tmp_path) == content(reference)


def test_no_two_methods_share_a_file_name(reference) -> None:
    """webdataset's cache and wids know shards by base name."""
    tars = [path.name for path in reference.rglob("*.tar")]
    assert len(set(tars)) == len(tars) == 12
    for method in TWO:
        assert f"imagenet-{method}-train-000000.tar" in tars
        index = json.loads((reference / method / "train" / "shardindex.json").read_text())
        assert index["name"] == f"imagenet-{method}-train"


def test_every_input_is_accounted_for_once(raw_folders, reference) -> None:
    """Written or rejected by name; the broken one is the only reject of the sample."""
    manifest = read_manifest(reference / "lanczos" / "train")
    written = [record["name"] for _, record in samples(reference / "lanczos" / "train")]
    rejected = [reject.name for reject in manifest.rejects()]
    there = [f"{p.parent.name}/{p.name}" for p in (raw_folders / "train").glob("*/*")]
    assert sorted(written + rejected) == sorted(there)
    assert [(reject.name, reject.reason) for reject in manifest.rejects()] == [
        ("n90000008/n90000008_7.JPEG", "truncated")
    ]
    assert manifest.total_images == 59


def samples(folder: Path):
    """(members, record) of each sample, by Python's tarfile."""
    for tar in sorted(folder.glob("*.tar")):
        with tarfile.open(tar) as archive:
            members = [(m, archive.extractfile(m).read()) for m in archive]
        for number in range(0, len(members), 3):
            group = members[number : number + 3]
            yield group, json.loads(next(data for m, data in group if m.name.endswith(".json")))


def test_samples_hold_what_they_promise(raw_folders, reference) -> None:
    """Plain USTAR, fixed metadata, label, record and the pixels of the definition."""
    for tar in (reference / "lanczos" / "train").glob("*.tar"):
        assert b"PaxHeader" not in tar.read_bytes()
    for group, record in samples(reference / "lanczos" / "train"):
        key = group[0][0].name.partition(".")[0]
        assert [m.name for m, _ in group] == [f"{key}.cls", f"{key}.jpg", f"{key}.json"]
        for member, _ in group:
            assert (member.mtime, member.uid, member.gid, member.mode, member.uname) == (
                0,
                0,
                0,
                0o444,
                "alexnet-pipeline",
            )
        source = (raw_folders / "train" / record["name"]).read_bytes()
        assert record["sha256"] == hashlib.sha256(source).hexdigest()
        image = decode(source)
        assert (record["height"], record["width"]) == image.shape[:2]
        assert record["upsampled"] == (min(image.shape[:2]) < 256)
        assert record["label"] == int(record["wnid"][1:]) - 90000001
        assert group[0][1] == b"%04d" % record["label"]
        pixels = decode(group[1][1]).astype(int)
        assert np.abs(pixels - api.resize(image, "lanczos")).mean() < 6  # JPEG at quality 95


@pytest.mark.parametrize("encoding", ["png", "raw"])
def test_lossless_encodings_hold_the_pixels(raw_folders, tmp_path, encoding) -> None:
    """Exactly those that `resize` gives."""
    api.shard(raw_folders, tmp_path, methods=["antialias"], split=["val"], encoding=encoding, size=64)
    count = 0
    for group, record in samples(tmp_path / "antialias" / "val"):
        data = next(d for m, d in group if m.name.endswith((".png", ".npy")))
        image = decode((raw_folders / "val" / record["name"]).read_bytes())
        assert (decode_sample(data, encoding) == api.resize(image, size=64)).all()
        count += 1
    assert count == 20


def test_statistics_are_those_of_the_pixels(raw_folders, tmp_path) -> None:
    """Mean image, channel mean and deviations, merged over shards, in 0..255."""
    api.shard(raw_folders, tmp_path, split=["val"], encoding="raw", shard_size=7)
    pixels = []
    for group, _ in samples(tmp_path / "antialias" / "val"):
        pixels.append(np.load(io.BytesIO(next(d for m, d in group if m.name.endswith(".npy")))))
    stack = np.stack(pixels).astype(np.float64)
    manifest = read_manifest(tmp_path / "antialias" / "val")
    np.testing.assert_allclose(np.load(tmp_path / "antialias/val/mean.npy"), stack.mean(0), rtol=1e-6)
    np.testing.assert_allclose(manifest.statistics.mean, stack.mean((0, 1, 2)))
    variances = np.linalg.eigvalsh(np.cov(stack.reshape(-1, 3).T, bias=True))[::-1]
    np.testing.assert_allclose(manifest.statistics.pca_deviations, np.sqrt(variances), rtol=1e-6)


@pytest.mark.parametrize("geometry", ["squash", "shorter", "pad"])
def test_every_geometry_verifies(raw_folders, tmp_path, geometry) -> None:
    """Sizes as the geometry says."""
    api.shard(raw_folders, tmp_path, split=["val"], geometry=geometry, size=48)
    assert not api.verify(tmp_path, deep=True).problems


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_webdataset_and_dali_read_every_sample(reference) -> None:
    """By their own readers, with the right label, DALI through our index."""
    import webdataset

    folder = reference / "lanczos" / "train"
    tars = [str(tar) for tar in sorted(folder.glob("*.tar"))]
    wanted = [(group[0][0].name[:-4], int(group[0][1])) for group, _ in samples(folder)]
    found = [(s["__key__"], int(s["cls"])) for s in webdataset.WebDataset(tars, shardshuffle=False)]
    assert found == wanted
    gc.collect()  # webdataset leaves its files to the collector; let it happen where that is expected
    pytest.importorskip("nvidia.dali", reason="the extra 'train' is not installed")
    from nvidia.dali import fn, pipeline_def

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def reading():
        return tuple(
            fn.readers.webdataset(
                paths=tars, index_paths=[tar.replace(".tar", ".idx") for tar in tars], ext=["cls", "jpg"]
            )
        )

    pipe = reading()
    labels = [int(bytes(np.array(pipe.run()[0][0]))) for _ in wanted]
    assert labels == [label for _, label in wanted]


@pytest.mark.filterwarnings("ignore")
def test_wids_reads_the_index(reference, tmp_path) -> None:
    """By its own index reader."""
    wids = pytest.importorskip("wids", reason="wids is not installed")
    folder = reference / "lanczos" / "train"
    index = json.loads((folder / "shardindex.json").read_text())
    for shard in index["shardlist"]:
        shard["url"] = str(folder / shard["url"])
        assert shard["md5sum"] == hashlib.md5(Path(shard["url"]).read_bytes()).hexdigest()
    # Its own decoding of images needs PIL, which may not be there; records and labels are what is looked at.
    undecoded = {"transformations": [], "keep": True, "cache_dir": str(tmp_path)}
    dataset = wids.ShardListDataset(index["shardlist"], **undecoded)
    assert len(dataset) == 59
    wanted = [json.loads(group[2][1])["name"] for group, _ in samples(folder)]
    assert [json.loads(dataset[position][".json"].read())["name"] for position in range(59)] == wanted
    dataset.close()
    gc.collect()


def start(arguments: list[str], **options) -> subprocess.Popen:
    """The command in a process group of its own."""
    command = [sys.executable, "-m", "alexnet_pipeline", "--quiet", *arguments]
    pipe = subprocess.DEVNULL
    return subprocess.Popen(
        command, start_new_session=True, stdout=pipe, stderr=pipe, preexec_fn=default_signals, **options
    )


def default_signals() -> None:
    """Undo what the tests' own parent may have set: a job in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_killed_at_any_time_and_resumed_is_uninterrupted(raw_folders, reference, tmp_path) -> None:
    """SIGKILL of the whole group again and again; every named shard is whole, the end is byte-identical."""
    arguments = ["shard", str(raw_folders), str(tmp_path), "--shard-size", "16", "--workers", "2"]
    arguments += ["--method", TWO[0], "--method", TWO[1]]
    dice = random.Random(5)
    for _ in range(8):
        process = start(arguments)
        time.sleep(dice.uniform(0.2, 2.0))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for folder in tmp_path.glob("*/*"):
            for entry in SetState(folder).journal().values():
                record = entry.shard
                if record.tar:
                    data = (folder / record.tar.name).read_bytes()
                    assert hashlib.sha256(data).hexdigest() == record.tar.sha256
    assert start(arguments).wait() == 3
    assert content(tmp_path) == content(reference)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_stop_and_leave_nothing(raw_folders, tmp_path, number, code) -> None:
    """Exit code, no process left, no part left, and the same command completes."""
    arguments = ["shard", str(raw_folders), str(tmp_path), "--shard-size", "5", "--workers", "2"]
    process = start(arguments)
    while not list(tmp_path.glob("*/*/*.tar")):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(10) == code
    assert not list(tmp_path.rglob(".part-*"))
    deadline = time.monotonic() + 5
    while group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_lives(process.pid)
    assert start(arguments).wait() == 3
    assert not api.verify(tmp_path).problems


def group_lives(group: int) -> bool:
    """Whether any process of a group runs."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False


def test_ranges_merge_to_the_same_bytes(raw_folders, reference, tmp_path) -> None:
    """As a Slurm array would: parts in any order, merge, and no manifest before that."""
    for span in [(2, 9), (0, 1), (1, 2)]:
        api.shard(raw_folders, tmp_path, methods=TWO, shard_size=16, shard_range=span)
        if span != (1, 2):
            with pytest.raises(RefusedError, match="missing"):
                api.merge(tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))
    api.merge(tmp_path)
    assert content(tmp_path) == content(reference)


def test_other_settings_are_refused(raw_folders, tmp_path) -> None:
    """With the field that differs, and the output untouched; --restart begins again."""
    api.shard(raw_folders, tmp_path, split=["val"], shard_size=8, shard_range=(0, 1))
    before = content(tmp_path)
    for change, word in [
        ({"quality": 80}, "quality: 95, now 80"),
        ({"seed": 3}, "seed"),
        ({"limit": 9}, "limit"),
    ]:
        with pytest.raises(RefusedError, match=word):
            api.shard(raw_folders, tmp_path, split=["val"], shard_size=8, **change)
    assert content(tmp_path) == before
    api.shard(raw_folders, tmp_path, split=["val"], shard_size=8, quality=80, restart=True)
    assert not api.verify(tmp_path).problems


def test_a_run_of_an_earlier_version_goes_on_in_its_format(raw_folders, tmp_path, monkeypatch) -> None:
    """Its shards have other names, and their records no label; the result is as if one version had written it."""
    only = {"split": ["val"], "shard_size": 8}
    with monkeypatch.context() as then:
        then.setattr(sets, "FORMAT_VERSION", 1)
        api.shard(raw_folders, tmp_path / "then", **only)
        api.shard(raw_folders, tmp_path / "both", shard_range=(0, 1), **only)
    api.shard(raw_folders, tmp_path / "both", shard_range=(1, 3), **only)
    api.merge(tmp_path / "both")
    for out in ("then", "both"):
        shutil.rmtree(tmp_path / out / "antialias" / "val" / ".state")
    assert content(tmp_path / "both") == content(tmp_path / "then")
    assert (tmp_path / "both" / "antialias" / "val" / "imagenet-val-000002.tar").exists()
    assert not api.verify(tmp_path / "both").problems


def test_a_run_of_a_later_version_is_refused(raw_folders, tmp_path) -> None:
    """`shard` and `merge` say so and change nothing."""
    only = {"split": ["val"], "shard_size": 8}
    api.shard(raw_folders, tmp_path, shard_range=(0, 1), **only)
    state = SetState(tmp_path / "antialias" / "val")
    state.begin(dataclasses.replace(state.begun(), format_version=3), again=True)
    before = content(tmp_path)
    for call in (lambda: api.shard(raw_folders, tmp_path, **only), lambda: api.merge(tmp_path)):
        with pytest.raises(RefusedError, match=r"written by a later version \(format 3, this one writes up to 2\)"):
            call()
    assert content(tmp_path) == before


def test_words_and_source_reach_the_manifest_and_forbid_nothing(raw_folders, tmp_path) -> None:
    """`merge` copies those of the recorded plan; a run over a source that is described otherwise resumes."""
    only = {"split": ["val"], "shard_size": 8}
    api.shard(raw_folders, tmp_path, shard_range=(0, 1), **only)
    folder = tmp_path / "antialias" / "val"
    plan = SetState(folder).begun()
    account = SourceAccount("other layout", "a file", 3, (Ignored("README.md", "not an image", 1),), ("a note",))
    SetState(folder).begin(dataclasses.replace(plan, source=account, class_words=("disc", *[""] * 9)), again=True)
    api.shard(raw_folders, tmp_path, shard_range=(1, 9), **only)
    api.merge(tmp_path)
    manifest = read_manifest(folder)
    assert (manifest.source, manifest.words(0), manifest.fingerprint) == (account, "disc", plan.fingerprint)
    assert b"| 0 | n90000001 | disc |" in (folder.parent / "README.md").read_bytes()
    assert api.shard(raw_folders, tmp_path, **only)[0].complete


def test_a_plan_that_cannot_be_read_can_be_restarted(raw_folders, tmp_path) -> None:
    """As the refusal says, also where shards are there already."""
    only = {"split": ["val"], "shard_size": 8}
    api.shard(raw_folders, tmp_path, shard_range=(0, 1), **only)
    (tmp_path / "antialias" / "val" / ".state" / "plan.json").write_text("{")
    with pytest.raises(RefusedError, match="restart=True"):
        api.shard(raw_folders, tmp_path, **only)
    assert api.shard(raw_folders, tmp_path, restart=True, **only)[0].complete


def test_changed_input_is_never_mixed(raw_folders, tmp_path) -> None:
    """An added picture refuses, a touched one rebuilds its shard, a finished set refuses."""
    source, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw_folders / "val", source)
    api.shard(source, out, shard_size=8, shard_range=(0, 2))
    victim = next(source.glob("*/*"))
    other = next(p for p in source.glob("*/*") if p.read_bytes() != victim.read_bytes())
    victim.write_bytes(other.read_bytes())
    api.shard(source, out, shard_size=8)
    fresh = tmp_path / "fresh"
    api.shard(source, fresh, shard_size=8)
    shards = {name: digest for name, digest in content(out).items() if name.endswith(".tar")}
    assert shards == {name: digest for name, digest in content(fresh).items() if name.endswith(".tar")}
    victim.write_bytes(victim.with_name(victim.name).read_bytes() + b"more")
    with pytest.raises(RefusedError, match="modified since"):
        api.shard(source, out, shard_size=8, rescan=True)
    shutil.copy(victim, victim.with_name("new.JPEG"))
    with pytest.raises(RefusedError, match="images: 20, now 21"):
        api.shard(source, out, shard_size=8)


def test_two_writers_never_meet(raw_folders, tmp_path) -> None:
    """The second is refused; another range is not; a dead one's lock is gone."""
    api.shard(raw_folders, tmp_path, split=["val"], shard_size=8, shard_range=(0, 1))
    folder = tmp_path / "antialias" / "val"
    code = "import sys,time,pathlib\nfrom alexnet_pipeline.shards.journal import SetState\n"
    code += "with SetState(pathlib.Path(sys.argv[1])).locked(0, 2):\n print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    assert holder.stdout.readline()
    with pytest.raises(RefusedError, match="another run"):
        api.shard(raw_folders, tmp_path, split=["val"], shard_size=8)
    api.shard(raw_folders, tmp_path, split=["val"], shard_size=8, shard_range=(2, 3))
    holder.kill()
    holder.communicate()
    assert api.shard(raw_folders, tmp_path, split=["val"], shard_size=8)[0].complete


def test_a_folder_of_strangers_is_left_alone(raw_folders, tmp_path) -> None:
    """Tars that nothing here wrote are neither overwritten nor removed."""
    folder = tmp_path / "antialias" / "val"
    folder.mkdir(parents=True)
    (folder / "mine.tar").write_bytes(b"precious")
    for restart in (False, True):
        with pytest.raises(RefusedError, match=r"mine\.tar"):
            api.shard(raw_folders, tmp_path, split=["val"], restart=restart)
    assert (folder / "mine.tar").read_bytes() == b"precious"


def test_rejects_can_stop_a_run(raw_folders, tmp_path) -> None:
    """At the first, or beyond a number."""
    with pytest.raises(PipelineError, match="n90000008_7"):
        api.shard(raw_folders, tmp_path / "a", on_error="fail")
    with pytest.raises(PipelineError, match="max_rejects=0"):
        api.shard(raw_folders, tmp_path / "b", max_rejects=0)
    api.shard(raw_folders, tmp_path / "c", max_rejects=1)


def test_a_set_of_rejects_has_no_tar(tmp_path) -> None:
    """An empty tar would give DALI a phantom sample."""
    (tmp_path / "raw" / "cat").mkdir(parents=True)
    (tmp_path / "raw" / "cat" / "a.jpg").write_bytes(b"")
    done = api.shard(tmp_path / "raw", tmp_path / "out")[0]
    assert (done.images, done.shards, [r.reason for r in done.rejects]) == (0, 0, ["empty"])
    assert not list((tmp_path / "out").rglob("*.tar"))


def test_odd_files_are_each_accounted_for(data_folder, tmp_path) -> None:
    """145 files that broke other readers: one line each, no crash."""
    done = api.shard(data_folder / "odd-images", tmp_path, methods=TWO)[0]
    files = list((data_folder / "odd-images").glob("*/*"))
    names = [record["name"] for _, record in samples(tmp_path / "lanczos" / "train")]
    names += [reject.name for reject in done.rejects]
    assert sorted(names) == sorted(f"{p.parent.name}/{p.name}" for p in files)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_line_and_resumable(raw_folders, tmp_path) -> None:
    """Exit 1 with path and reason, no part left; with more room the same command completes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        arguments = ["shard", str(raw_folders), str(disk / "out"), "--shard-size", "16"]
        command = [sys.executable, "-m", "alexnet_pipeline", "-q", *arguments]
        failed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert failed.returncode == 1
        assert failed.stderr.count("\n") == 1
        assert "ENOSPC" in failed.stderr
        assert not list(disk.rglob(".part-*"))
        subprocess.run(["mount", "-o", "remount,size=64M", str(disk)], check=True)
        assert subprocess.run(command, capture_output=True, check=False).returncode == 3
        assert not api.verify(disk).problems
    finally:
        subprocess.run(["umount", str(disk)], check=True)
