"""Batches are exactly what the manifest, the seed and the definition of a view say."""

import itertools
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch

from alexnet_pipeline import shard
from alexnet_pipeline.batches.loader import Loader, LoaderState, mean_of
from alexnet_pipeline.batches.views import lighting_shift, ten_crops, training_views
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.records import from_json, to_json
from tests.batches.oracle import view

SIDE, CROP = 64, 56


@pytest.fixture(scope="module", params=["jpg", "png", "raw"])
def sample_set(request: pytest.FixtureRequest, raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """The sample, small, in one encoding."""
    return open_shards(_shards(raw_folders, tmp_path_factory.mktemp("shards"), request.param))


@pytest.fixture(scope="module")
def jpeg_folder(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _shards(raw_folders, tmp_path_factory.mktemp("shards"), "jpg")


@pytest.fixture(scope="module", params=["jpg", "raw"])
def folder(request: pytest.FixtureRequest, raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that DALI decodes, and shards that are read as they are."""
    return _shards(raw_folders, tmp_path_factory.mktemp("shards"), request.param)


def _shards(raw: Path, out: Path, encoding: str, geometry: str = "center-crop") -> Path:
    how = {"methods": ["bilinear"], "split": ["train"], "size": SIDE, "shard_size": 16, "workers": 1}
    shard(raw, out, encoding=encoding, geometry=geometry, progress=False, **how)
    return out / "bilinear" / "train"


def _pixels(shards: ShardSet, sample: int) -> np.ndarray:
    """Decoded by another decoder than DALI's."""
    data = shards.read_image(int(sample))
    if data[:2] == b"\xff\xd8":
        return simplejpeg.decode_jpeg(data)
    if data[:1] == b"\x89":
        import cv2

        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    return np.frombuffer(data[-SIDE * SIDE * 3 :], np.uint8).reshape(SIDE, SIDE, 3)


@pytest.mark.parametrize("mean", ["channel", "image"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_training_views_are_the_definitions(sample_set: ShardSet, mean: str, channels_last: bool) -> None:
    """Crop, flip, lighting and mean against the slow oracle, image by image."""
    loader = Loader(sample_set, 8, crop_px=CROP, mean=mean, seed=3, lighting=0.5, channels_last=channels_last)
    images = sample_set.manifest.total_images
    views = training_views(images, SIDE, CROP, 0.5, 3, 0)
    shifts = lighting_shift(views.alphas, sample_set.manifest.statistics)
    subtracted = mean_of(sample_set, mean, CROP).astype(np.float64)
    at = 0
    for batch, labels in loader:
        for image, label in zip(batch, labels, strict=True):
            sample = views.order[at]
            pixels, corner = _pixels(sample_set, sample), tuple(views.corner[at])
            wanted = view(pixels, corner, CROP, flip=bool(views.flip[at]), shift=shifts[at], mean=subtracted)
            np.testing.assert_allclose(image.numpy(), wanted, atol=1e-3)
            assert label == sample_set.read_label(sample)
            at += 1
    assert at == images


def test_without_random_views_training_sees_the_centre(sample_set: ShardSet) -> None:
    """The same as evaluation, in training's order."""
    plain = Loader(sample_set, 8, train=False, crop_px=CROP)
    seen = torch.cat([images for images, _ in plain])
    how = {"crop_px": CROP, "lighting": 0, "random_crops": False, "random_flips": False}
    trained = torch.cat([images for images, _ in Loader(sample_set, 8, seed=3, **how)])
    order = training_views(len(seen), SIDE, CROP, 0, 3, 0).order
    torch.testing.assert_close(trained, seen[torch.from_numpy(order)], rtol=0, atol=0)


def test_ten_crops_are_corners_centre_and_flips(sample_set: ShardSet) -> None:
    """In this order, less the mean."""
    loader = Loader(sample_set, 8, train=False, crops=10, crop_px=CROP)
    mean = mean_of(sample_set, "channel", CROP).astype(np.float64)
    batch, _ = next(iter(loader))
    assert batch.shape == (8, 10, 3, CROP, CROP)
    for found, (top, left, flip) in zip(batch[5], ten_crops(SIDE, CROP), strict=True):
        wanted = view(_pixels(sample_set, 5), (top, left), CROP, flip=bool(flip), shift=np.zeros(3), mean=mean)
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-3)


def test_evaluation_sees_every_sample_once_in_order(jpeg_folder: Path) -> None:
    """Epoch after epoch."""
    shards = open_shards(jpeg_folder)
    loader = Loader(shards, 7, train=False, crop_px=CROP)
    for _ in range(2):
        labels = torch.cat([labels for _, labels in loader])
        assert labels.tolist() == [shards.read_label(sample) for sample in range(shards.manifest.total_images)]
    keys = list(shards.keys())
    classes = [shards.manifest.classes[label] for label in labels]
    assert [key.partition("_")[0] for key in keys] == classes


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_share_the_batches_of_one(folder: Path, world: int) -> None:
    """Equal steps, each sample once, the same views; the last batch may be short or empty."""
    shards = open_shards(folder)
    alone = [images for images, _ in Loader(shards, 6 * world, crop_px=CROP)]
    parts = [list(Loader(shards, 6, crop_px=CROP, rank=rank, world=world)) for rank in range(world)]
    assert {len(part) for part in parts} == {len(alone)}
    for step, images in enumerate(alone):
        torch.testing.assert_close(torch.cat([part[step][0] for part in parts]), images, rtol=0, atol=0)


@pytest.mark.parametrize("stop", [0, 3, 8])
def test_state_goes_on_exactly(folder: Path, stop: int) -> None:
    """In mid-epoch and at its end, into the next epoch."""
    shards = open_shards(folder)
    loader = Loader(shards, 8, crop_px=CROP)
    batches = iter(loader)
    for _ in range(stop):
        next(batches)
    state = from_json(to_json(loader.state()), LoaderState)
    rest = [*batches, *loader]
    other = Loader(shards, 8, crop_px=CROP)
    other.load_state(state)
    again = list(itertools.islice(itertools.chain.from_iterable(itertools.repeat(other)), len(rest)))
    assert len(rest) == len(again) == 2 * len(loader) - stop
    for (images, labels), (images_again, labels_again) in zip(rest, again, strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(labels, labels_again)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed: 0, now 1"),
        ({"batch_size": 4}, "global_batch_images: 8, now 4"),
        ({"crop_px": 48}, "crop_px: 56, now 48"),
        ({"lighting": 0.2}, "lighting: 0.1, now 0.2"),
        ({"train": False}, "train: True, now False"),
        ({"random_crops": False}, "random_crops: True, now False"),
        ({"random_flips": False}, "random_flips: True, now False"),
    ],
)
def test_a_state_of_other_settings_is_refused(jpeg_folder: Path, change: dict, words: str) -> None:
    """Old and new are named; where it stood does not count, and the same batch over more processes is the same."""
    given = {"shards": jpeg_folder, "batch_size": 8, "crop_px": CROP}
    loader = Loader(**given)
    next(iter(loader))
    with pytest.raises(RefusedError, match=f"other settings .*{words}"):
        Loader(**{**given, **change}).load_state(loader.state())
    shared = Loader(**{**given, "batch_size": 4}, rank=1, world=2)
    shared.load_state(loader.state())
    assert shared.state() == loader.state()


def test_batches_are_not_overwritten(folder: Path) -> None:
    """They share memory with DALI, which must let go of it."""
    batches = [images for images, _ in Loader(open_shards(folder), 8, crop_px=CROP)]
    copies = [images.clone() for images, _ in Loader(open_shards(folder), 8, crop_px=CROP)]
    assert all(torch.equal(a, b) for a, b in zip(batches, copies, strict=True))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_types(folder: Path, dtype: str) -> None:
    """Half precision, rounded."""
    shards = open_shards(folder)
    exact, _ = next(iter(Loader(shards, 8, crop_px=CROP)))
    found, _ = next(iter(Loader(shards, 8, crop_px=CROP, dtype=dtype)))
    assert found.dtype == getattr(torch, dtype)
    torch.testing.assert_close(found.float(), exact, rtol=0.01, atol=0.1)


def _cut_tar(folder: Path) -> None:
    tar = sorted(folder.glob("*.tar"))[1]
    tar.chmod(0o644)
    tar.write_bytes(tar.read_bytes()[:-512])


def _swap_indexes(folder: Path) -> None:
    first, second = sorted(folder.glob("*.idx"))[:2]
    shutil.copy(second, first)


def _swap_tars(folder: Path) -> None:
    """Of one size, so that only their contents tell them apart."""
    first, second = sorted(folder.glob("*.tar"))[:2]
    size = first.stat().st_size
    data = second.read_bytes()[:size].ljust(size, b"\0")
    first.write_bytes(data)


def _lose_tar(folder: Path) -> None:
    sorted(folder.glob("*.tar"))[0].unlink()


@pytest.mark.parametrize("damage", [_cut_tar, _swap_indexes, _swap_tars, _lose_tar])
def test_damage_is_seen_before_the_first_batch(jpeg_folder: Path, tmp_path: Path, damage) -> None:
    """Of tars and indexes, when the folder is opened."""
    folder = tmp_path / "train"
    shutil.copytree(jpeg_folder, folder)
    damage(folder)
    with pytest.raises(PipelineError, match=r"\.(tar|idx)"):
        Loader(folder, 8, crop_px=CROP)


def test_a_shard_that_is_cut_while_it_is_read_is_named(folder: Path, tmp_path: Path) -> None:
    """As `cp` over it does; a mapped file would end the process."""
    shutil.copytree(folder, tmp_path / "train")
    folder = tmp_path / "train"
    loader = Loader(folder, 8, crop_px=CROP)
    for tar in folder.glob("*.tar"):
        tar.chmod(0o644)
        os.truncate(tar, 512)
    with pytest.raises(PipelineError, match=r"\.tar became shorter after it was opened") as found:
        list(loader)
    assert "\n" not in str(found.value)


def test_many_shards_under_a_low_limit_of_files(jpeg_folder: Path) -> None:
    """Each tar keeps a descriptor, and ImageNet has more than the usual limit: it is raised."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        loaders = [Loader(jpeg_folder, 8, crop_px=CROP) for _ in range(20)]
        assert sum(len(loader.shards.tars) for loader in loaders) > 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_label_beyond_the_classes_stops(folder: Path, tmp_path: Path) -> None:
    """Before the network sees it."""
    shutil.copytree(folder, tmp_path / "train")
    folder = tmp_path / "train"
    offset = int(open_shards(folder).label[0][0])
    tar = sorted(folder.glob("*.tar"))[0]
    data = bytearray(tar.read_bytes())
    data[offset : offset + 4] = b"9999"
    tar.write_bytes(data)
    with pytest.raises(PipelineError, match="label b'9999'"):
        list(Loader(open_shards(folder), 8, crop_px=CROP))


def test_an_undecodable_image_is_one_line(jpeg_folder: Path, tmp_path: Path) -> None:
    """With what to do."""
    folder = tmp_path / "train"
    shutil.copytree(jpeg_folder, folder)
    offset, size = open_shards(folder).image[3].tolist()
    tar = sorted(folder.glob("*.tar"))[0]
    data = bytearray(tar.read_bytes())
    data[offset : offset + size] = bytes(size)
    tar.write_bytes(data)
    with pytest.raises(PipelineError, match="run `verify` with `deep=True`") as found:
        list(Loader(open_shards(folder), 8, crop_px=CROP))
    assert "\n" not in str(found.value)
    assert "traceback" not in str(found.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 0}, "`batch_size`: 0 is out of range"),
        ({"crop_px": 65}, "crops of 65 pixels do not fit images of 64"),
        ({"rank": 2, "world": 2}, "expected 0 to 1"),
        ({"crops": 10}, "ten crops are for evaluation"),
        ({"shards": "/nowhere"}, "/nowhere"),
    ],
)
def test_impossible_numbers_are_refused(jpeg_folder: Path, change: dict, words: str) -> None:
    """In a line that says why."""
    with pytest.raises(RefusedError, match=words):
        Loader(**{"shards": jpeg_folder, "batch_size": 8, "crop_px": CROP, **change})


def test_images_of_several_sizes_are_refused(raw_folders: Path, tmp_path: Path) -> None:
    """Such shards can be opened, but make no batches."""
    shards = open_shards(_shards(raw_folders, tmp_path, "jpg", geometry="shorter"))
    with pytest.raises(RefusedError, match="batches need images of one size"):
        Loader(shards, 8, crop_px=CROP)


def test_a_folder_will_do(jpeg_folder: Path) -> None:
    """As a path or as text; a loader says what it is in a line."""
    for folder in (jpeg_folder, str(jpeg_folder)):
        loader = Loader(folder, 8, crop_px=CROP)
        assert len(loader) == 8
        assert repr(loader) == (
            f"Loader('{jpeg_folder}': 59 images in batches of 8, training, seed 0, crops of 56 px, on cpu; epoch 0, "
            "batch 0)"
        )
    part = Loader(jpeg_folder, 8, train=False, crop_px=CROP, rank=1, world=2)
    assert "evaluation, crops of 56 px, on cpu, process 1 of 2;" in repr(part)


def test_a_moved_centre_crop(jpeg_folder: Path) -> None:
    """Evaluation's crop a pixel to the right is the image's; where it cannot move it is refused."""
    shards = open_shards(jpeg_folder)
    images = next(iter(Loader(shards, 4, train=False, crop_px=CROP, shift_px=1)))[0]
    start = (SIDE - CROP) // 2
    wanted = _pixels(shards, 0)[start : start + CROP, start + 1 : start + 1 + CROP].astype(np.float32)
    np.testing.assert_allclose(
        images[0].numpy().transpose(1, 2, 0) + mean_of(shards, "channel", CROP), wanted, atol=1e-3
    )
    for wrong in (
        {"train": True, "shift_px": 1},
        {"train": False, "shift_px": 5},
        {"train": False, "crops": 10, "shift_px": 1},
    ):
        with pytest.raises(RefusedError, match="shift"):
            Loader(shards, 4, crop_px=CROP, **wrong)


def test_a_damaged_header_or_mean_is_told(raw_folders: Path, tmp_path: Path) -> None:
    """Neither is taken for what it is not."""
    folder = _shards(raw_folders, tmp_path, "raw")
    shards = open_shards(folder)
    tar = next(folder.glob("*-000000.tar"))
    data = bytearray(tar.read_bytes())
    data[shards.image[0, 0] + 8] ^= 16
    tar.chmod(0o644)
    tar.write_bytes(data)
    with pytest.raises(PipelineError, match=r"not a \.npy of 64 x 64 x 3"):
        list(Loader(open_shards(folder), 8, train=False, crop_px=CROP))
    np.save(folder / "mean.npy", np.zeros((SIDE, SIDE, 3), np.float32))
    with pytest.raises(PipelineError, match="not the mean image that the manifest names"):
        mean_of(shards, "image", CROP)
