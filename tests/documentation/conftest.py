"""What the pages' commands find: sources in /data, finished shards, a run and a photo."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.storage.remote import RemotePath
from alexnet_pipeline.synthetic.sample import sample
from tests.raw import layouts as write
from tests.raw.layouts_pictures import Picture
from tests.storage import server

# Options that no page needs to name, which make its commands quick. Those that it names count.
QUICK = {
    "ALEXNET_PIPELINE_SAMPLE_TRAIN_IMAGES": "60",
    "ALEXNET_PIPELINE_SAMPLE_VAL_IMAGES": "20",
    "ALEXNET_PIPELINE_SHARD_WORKERS": "1",
    "ALEXNET_PIPELINE_COMPARE_SIZE": "80",
    "ALEXNET_PIPELINE_COMPARE_WORKERS": "1",
    "ALEXNET_PIPELINE_COMPARE_STEPS": "1",
    "ALEXNET_PIPELINE_COMPARE_LIMIT": "6",
    "ALEXNET_PIPELINE_TRAIN_WIDTH": "0.05",
    "ALEXNET_PIPELINE_TRAIN_STEPS": "2",
    "ALEXNET_PIPELINE_TRAIN_BATCH_SIZE": "12",
    "ALEXNET_PIPELINE_TRAIN_THREADS": "1",
    "ALEXNET_PIPELINE_TRAIN_DEVICE": "cpu",
    "ALEXNET_PIPELINE_TRAIN_TOWERS": "one",
    "ALEXNET_PIPELINE_EVALUATE_DEVICE": "cpu",
    "ALEXNET_PIPELINE_BENCH_LOAD_IMAGES": "40",
    "ALEXNET_PIPELINE_BENCH_LOAD_BATCH_SIZE": "12",
    "ALEXNET_PIPELINE_BENCH_TRAIN_STEPS": "2",
    "ALEXNET_PIPELINE_BENCH_TRAIN_WIDTH": "0.05",
    "ALEXNET_PIPELINE_BENCH_TRAIN_BATCH_SIZE": "12",
}
# Folders outside the working folder that pages name.
OUTSIDE = ("/data/", "/nvme/", "/scratch/")
# Sources that pages name, and who writes them.
SOURCES = {
    "imagenet": write.class_folders,
    "flat-val": write.flat_val_devkit,
    "imagenet-object-localization-challenge.zip": write.kaggle_zip,
    "imagenet-1k": write.parquet,
    "imagenet-1k-wds": write.webdataset,
    "imagenet2012-tfrecord": write.tfrecord,
    "winter21_whole": write.imagenet21k,
    "tiny-imagenet-200": write.tiny_imagenet,
    "imagenet.tar": write.plain_tar,
}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data/ILSVRC2012`, shards of two methods, a run of two steps, and `photo.jpg`."""
    folder = tmp_path_factory.mktemp("pages")
    sample(folder / "data" / "ILSVRC2012", train_images=60, val_images=20, layout="ilsvrc")
    sample(folder / "photos", train_images=10, val_images=10)
    shutil.copyfile(next((folder / "photos" / "val").rglob("*.JPEG")), folder / "photo.jpg")
    with inside(folder):
        for command in (
            "shard data/ILSVRC2012 shards --method lanczos --method antialias",
            "train shards/lanczos --preset quarter --run-dir runs/a",
        ):
            result = CliRunner().invoke(cli, ["-q", *command.split()])
            assert result.exit_code in {0, 3}, result.output
    return folder


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, with quick defaults."""
    before = os.environ.copy()
    os.environ.update(QUICK)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def put_sources(folder: Path) -> None:
    """Write every source of `SOURCES`, the paper's set, a part of the prepared classes, and photos with labels."""
    pictures = write.pictures()
    for name, writer in SOURCES.items():
        _put(folder / "data" / name, writer, pictures)
    _put(folder / "data" / "ILSVRC2010", write.ilsvrc2010, write.pictures(year=2010))
    for name in sorted(path.name for path in (folder / "photos" / "val").iterdir())[:3]:
        shutil.copytree(folder / "photos" / "val" / name, folder / "data" / "imagenet-r" / name)
    photos, table = write.flat_labels(folder / "labelled", pictures, form="csv")
    shutil.move(photos, folder / "data" / "photos")
    shutil.move(table, folder / "data" / "labels.csv")


def _put(place: Path, writer: write.Writer, pictures: tuple[Picture, ...]) -> None:
    scratch = place.parent / f"{place.name}.scratch"
    scratch.mkdir(parents=True)
    shutil.move(writer(scratch, pictures), place)
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture
def buckets(port: int, monkeypatch: pytest.MonkeyPatch, prepared: Path) -> None:
    """The buckets `data`, with the source, and `shards`, empty."""
    for name, value in server.variables(port).items():
        monkeypatch.setenv(name, value)
    place = server.make_bucket(port, "data")
    server.make_bucket(port, "shards")
    server.upload(prepared / "data" / "ILSVRC2012", RemotePath(f"{place}/ILSVRC2012"))
