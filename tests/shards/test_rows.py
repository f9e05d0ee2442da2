"""Shards from Parquet: rows are read group by group, and samples are written in the planned order."""

import io
import tarfile

import numpy as np
import pytest

import alexnet_pipeline as api
from alexnet_pipeline.dataset.manifest import read_manifest
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.plan import plan_shards
from tests.raw import layouts as write

pytest.importorskip("pyarrow")


def samples(folder) -> dict[str, list[bytes]]:
    """The members of each sample of a data set, in the order of its shards."""
    found: dict[str, list[bytes]] = {}
    for tar in sorted(folder.glob("*.tar")):
        with tarfile.open(fileobj=io.BytesIO(tar.read_bytes())) as archive:
            for member in archive:
                found.setdefault(member.name.partition(".")[0], []).append(archive.extractfile(member).read())
    return found


def test_samples_of_parquet_are_those_of_folders_in_their_own_order(tmp_path) -> None:
    """Every member is the same; the order is planned by row groups, and the same with any number of workers."""
    pictures = write.pictures(200)
    bad = next(each for each in pictures if each.split == "train")
    pictures = [each if each is not bad else write.Picture("train", bad.wnid, bad.file, b"broken") for each in pictures]
    folders = write.class_folders(tmp_path / "folders", pictures)
    rows = write.parquet(tmp_path / "rows", pictures)
    options = {"size": 32, "shard_size": 20, "methods": ("nearest", "lanczos"), "progress": False}
    api.shard(folders, tmp_path / "a", workers=1, **options)
    for out, workers in (("b", 1), ("c", 2)):
        api.shard(rows, tmp_path / out, workers=workers, **options)
    (listing,) = open_source(rows).read(("train",)).listings
    plan = plan_shards(listing, SetOptions(shard_size_images=20))
    wanted = [listing.keys[position] for position in plan.order.tolist()]
    for method in ("nearest", "lanczos"):
        ours = samples(tmp_path / "b" / method / "train")
        assert ours == samples(tmp_path / "a" / method / "train")
        assert list(ours) == [key for key in wanted if key in ours]
        assert len(wanted) == len(ours) + 1
        b, c = (read_manifest(tmp_path / out / method / "train") for out in "bc")
        assert b == c
        a = read_manifest(tmp_path / "a" / method / "train")
        assert b.rejects() == a.rejects()
        assert np.allclose(b.statistics.mean, a.statistics.mean)


def test_a_parquet_file_that_changed_ends_the_run(tmp_path, monkeypatch) -> None:
    """As with every other source, by its time."""
    from alexnet_pipeline.raw.read import read_image

    rows = write.parquet(tmp_path, write.pictures())
    (listing,) = open_source(rows).read(("train",)).listings
    image = listing.image(0)
    assert read_image(image)
    path = next((rows / "data").glob("train-00000*"))
    path.write_bytes(path.read_bytes())
    with pytest.raises(PipelineError, match="changed after the source was listed"):
        read_image(image)


def test_pyarrow_is_asked_for_by_name(tmp_path, monkeypatch) -> None:
    """A Parquet source without the extra is a refusal with the command that installs it."""
    import sys

    from alexnet_pipeline.errors import RefusedError

    rows = write.parquet(tmp_path, write.pictures())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RefusedError, match=r"pip install 'alexnet-pipeline\[parquet\]'"):
        open_source(rows, options=SourceOptions())
