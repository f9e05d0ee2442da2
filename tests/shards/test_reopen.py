"""Rejected images are tried again, in finished sets, too; and a run goes on with other versions of libraries."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

import alexnet_pipeline as api
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.shards import sets

OPTIONS = {"size": 64, "shard_size": 8, "split": ["train"], "methods": ["lanczos", "nearest"]}
FORMAT_1 = Path(__file__).parents[1] / "dataset" / "format-1"


@pytest.fixture
def source(raw_folders: Path, tmp_path: Path) -> Path:
    """The sample, with an image that cannot be read as it should."""
    source = Path(shutil.copytree(raw_folders, tmp_path / "raw"))
    broken = _image(source)
    shutil.copy2(broken, tmp_path / "whole")
    broken.write_bytes(broken.read_bytes()[:100])
    return source


def _image(source: Path) -> Path:
    return sorted((source / "train").rglob("*.JPEG"))[7]


def _mend(source: Path) -> None:
    _image(source).write_bytes((source.parent / "whole").read_bytes())


def _tars(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.tar"))}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("hidden", [True, False])
def test_a_finished_set_is_completed(source, tmp_path, monkeypatch, version, hidden) -> None:
    """In its own format, also copied without `.state`; its shards are those of a run to which nothing happened."""
    monkeypatch.setattr(sets, "FORMAT_VERSION", version)
    done = api.shard(source, tmp_path / "out", **OPTIONS)
    rejected = len(done[0].rejects)
    _mend(source)
    api.shard(source, tmp_path / "whole-set", **OPTIONS)
    monkeypatch.undo()
    if hidden:
        with pytest.raises(RefusedError, match=r"inputs of 1 of its shards .* `retry_rejects=True`"):
            api.shard(source, tmp_path / "out", rescan=True, **OPTIONS)
    else:
        for method in OPTIONS["methods"]:
            shutil.rmtree(tmp_path / "out" / method / "train" / ".state")
        assert len(api.shard(source, tmp_path / "out", **OPTIONS)[0].rejects) == rejected
    done = api.shard(source, tmp_path / "out", retry_rejects=True, **OPTIONS)
    assert [len(each.rejects) for each in done] == [rejected - 1] * 2
    assert _tars(tmp_path / "out") == _tars(tmp_path / "whole-set")
    assert not api.verify(tmp_path / "out", deep=True).problems
    assert read_manifest(tmp_path / "out" / "lanczos" / "train").format_version == version
    api.shard(source, tmp_path / "out", **OPTIONS)


def test_format_1_is_written_as_it_was(source, tmp_path, monkeypatch) -> None:
    """Names of files and the fields of records, as in a set that was written then."""
    monkeypatch.setattr(sets, "FORMAT_VERSION", 1)
    api.shard(source, tmp_path / "out", name="sample", **OPTIONS)
    ours, theirs = tmp_path / "out" / "lanczos" / "train", FORMAT_1
    records = []
    for folder in (ours, theirs):
        with tarfile.open(folder / "sample-train-000000.tar") as tar:
            names = [name for name in tar.getnames() if name.endswith(".json")]
            records.append(json.loads(tar.extractfile(names[0]).read()))
    assert [*records[0]] == [*records[1]]
    assert (
        json.loads((ours / "manifest.json").read_text()).keys()
        == json.loads((theirs / "manifest.json").read_text()).keys()
    )


def test_an_unfinished_set_tries_rejects_again(source, tmp_path) -> None:
    """The shards that lack an image, and no others; not one whose image has another time."""
    api.shard(source, tmp_path / "out", shard_range=(0, 8), **OPTIONS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tar")}
    _mend(source)
    os.utime(_image(source), ns=(0, 0))
    done = api.shard(source, tmp_path / "out", retry_rejects=True, **OPTIONS)
    rewritten = [path for path, then in before.items() if path.stat().st_mtime_ns != then]
    lacking = {shard.index for shard in read_manifest(tmp_path / "out" / "lanczos" / "train").shards if shard.rejects}
    assert len(rewritten) == 2 * (1 + len(lacking))
    assert not any(_image(source).name in reject.name for reject in done[0].rejects)


def test_a_set_without_rejects_is_left_alone(source, tmp_path) -> None:
    """Trying again costs nothing there."""
    _mend(source)
    options = {**OPTIONS, "limit": 8}
    assert not api.shard(source, tmp_path / "out", **options)[0].rejects
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.name != "lock"}
    api.shard(source, tmp_path / "out", retry_rejects=True, **options)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.name != "lock"}
    assert {p.name for p in before if before[p] != after.get(p)} <= {".state"}


def test_other_versions_are_refused_or_recorded(source, tmp_path, monkeypatch) -> None:
    """The refusal names the library with both versions; the manifest does, too, if the run goes on."""
    with monkeypatch.context() as then:
        then.setattr(sets.codec, "versions", lambda: {"opencv": "5.0.0", "simplejpeg": "1"})
        api.shard(source, tmp_path / "out", shard_range=(0, 1), **OPTIONS)
    now = {"opencv": "5.0.1", "simplejpeg": "1"}
    monkeypatch.setattr(sets.codec, "versions", lambda: now)
    with pytest.raises(RefusedError, match=r"\(opencv: 5\.0\.0, now 5\.0\.1\); .*`other_versions=True`"):
        api.shard(source, tmp_path / "out", **OPTIONS)
    with pytest.raises(RefusedError, match="other settings"):
        api.shard(source, tmp_path / "out", other_versions=True, **{**OPTIONS, "size": 65})
    api.shard(source, tmp_path / "out", other_versions=True, shard_range=(1, 2), **OPTIONS)
    api.shard(source, tmp_path / "out", **OPTIONS)  # asked once
    manifest = read_manifest(tmp_path / "out" / "nearest" / "train")
    assert manifest.versions["opencv"] == "5.0.0 and 5.0.1"
    assert manifest.versions["simplejpeg"] == "1"
    assert not api.verify(tmp_path / "out").problems


def test_a_finished_set_without_a_tar_is_not_taken_for_complete(source, tmp_path) -> None:
    """The message says what writes it again, and that does."""
    out = tmp_path / "out"
    api.shard(source, out, **OPTIONS)
    whole, folder = _tars(out), out / "lanczos" / "train"
    tar = sorted(folder.glob("*.tar"))[1]
    tar.unlink()
    with pytest.raises(PipelineError, match=rf"{tar} of a finished data set is missing; remove \S+manifest.json and"):
        api.shard(source, out, **OPTIONS)
    (folder / "manifest.json").unlink()
    api.shard(source, out, **OPTIONS)
    assert _tars(out) == whole
    assert not api.verify(out).problems
