"""Batches are exactly what the manifest, the seed and the definition of a view say."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch

from alexnet_pipeline import shard
from alexnet_pipeline.batches.dataset import ShardSet, open_shards, sample_keys
from alexnet_pipeline.batches.lighting import lighting_shift, view
from alexnet_pipeline.batches.loader import Loader, mean_of
from alexnet_pipeline.batches.views import ten_crops, training_views
from alexnet_pipeline.errors import PipelineError, RefusedError

SIDE, CROP = 64, 56


@pytest.fixture(scope="module", params=["jpg", "png", "raw"])
def sample_set(request: pytest.FixtureRequest, raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """The sample, small, in one encoding."""
    return open_shards(_shards(raw_folders, tmp_path_factory.mktemp("shards"), request.param))


@pytest.fixture(scope="module")
def jpeg_folder(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _shards(raw_folders, tmp_path_factory.mktemp("shards"), "jpg")


def _shards(raw: Path, out: Path, encoding: str) -> Path:
    shard(raw, out, methods=["bilinear"], split=["train"], size=SIDE, encoding=encoding, shard_size=16, workers=1)
    return out / "bilinear" / "train"


def _pixels(shards: ShardSet, sample: int) -> np.ndarray:
    """Decoded by another decoder than DALI's."""
    offset, size = shards.picture[sample]
    data = shards.tars[shards.shard[sample]][offset : offset + size]
    if data[:2] == b"\xff\xd8":
        return simplejpeg.decode_jpeg(data)
    if data[:1] == b"\x89":
        import cv2

        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    return np.frombuffer(data[-SIDE * SIDE * 3 :], np.uint8).reshape(SIDE, SIDE, 3)


@pytest.mark.parametrize("mean", ["channel", "image"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_training_views_are_the_definitions(sample_set: ShardSet, mean: str, channels_last: bool) -> None:
    """Crop, flip, lighting and mean against the slow oracle, picture by picture."""
    loader = Loader(sample_set, 8, crop_px=CROP, mean=mean, seed=3, lighting=0.5, channels_last=channels_last)
    images = sample_set.manifest.total_images
    views = training_views(images, SIDE, CROP, 0.5, 3, 0)
    shifts = lighting_shift(views.alphas, sample_set.manifest.statistics)
    subtracted = mean_of(sample_set, mean, CROP).astype(np.float64)
    at = 0
    for batch, labels in loader:
        for image, label in zip(batch, labels, strict=True):
            sample = views.order[at]
            picture = _pixels(sample_set, sample)
            wanted = view(
                picture, tuple(views.corner[at]), CROP, flip=bool(views.flip[at]), shift=shifts[at], mean=subtracted
            )
            np.testing.assert_allclose(image.numpy(), wanted, atol=1e-3)
            assert label == sample_set.read_label(sample)
            at += 1
    assert at == images


def test_ten_crops_are_corners_centre_and_flips(sample_set: ShardSet) -> None:
    loader = Loader(sample_set, 8, train=False, crops=10, crop_px=CROP)
    mean = mean_of(sample_set, "channel", CROP).astype(np.float64)
    batch, _ = next(iter(loader))
    assert batch.shape == (8, 10, 3, CROP, CROP)
    for found, (top, left, flip) in zip(batch[5], ten_crops(SIDE, CROP), strict=True):
        wanted = view(_pixels(sample_set, 5), (top, left), CROP, flip=bool(flip), shift=np.zeros(3), mean=mean)
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-3)


def test_evaluation_sees_every_sample_once_in_order(jpeg_folder: Path) -> None:
    shards = open_shards(jpeg_folder)
    loader = Loader(shards, 7, train=False, crop_px=CROP)
    for _ in range(2):
        labels = torch.cat([labels for _, labels in loader])
        assert labels.tolist() == [shards.read_label(sample) for sample in range(shards.manifest.total_images)]
    keys = list(sample_keys(shards))
    classes = [shards.manifest.classes[label] for label in labels]
    assert [key.partition("_")[0] for key in keys] == classes


def test_views_are_uniform_and_alphas_normal() -> None:
    """33 x 33 positions, half of them mirrored, alphas of deviation .1."""
    views = training_views(200_000, 256, 224, 0.1, seed=0, epoch=1)
    counts = np.zeros((33, 33))
    np.add.at(counts, tuple(views.corner.T), 1)
    expected = 200_000 / 33**2
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - 1088) < 5 * np.sqrt(2 * 1088)
    assert abs(views.flip.mean() - 0.5) < 5 * 0.5 / np.sqrt(200_000)
    assert views.alphas.std() == pytest.approx(0.1, rel=0.01)
    assert abs(views.alphas.mean()) < 0.001
    assert (np.sort(views.order) == np.arange(200_000)).all()


def test_epochs_and_seeds_differ_and_repeat() -> None:
    first, again = (training_views(50, 64, 56, 0.1, 1, 2) for _ in range(2))
    assert all((getattr(first, f.name) == getattr(again, f.name)).all() for f in dataclasses.fields(first))
    assert (first.order != training_views(50, 64, 56, 0.1, 1, 3).order).any()
    assert (first.order != training_views(50, 64, 56, 0.1, 2, 2).order).any()


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_share_the_batches_of_one(jpeg_folder: Path, world: int) -> None:
    """Equal steps, each sample once, the same views; the last batch may be short or empty."""
    shards = open_shards(jpeg_folder)
    alone = [images for images, _ in Loader(shards, 6 * world, crop_px=CROP)]
    parts = [list(Loader(shards, 6, crop_px=CROP, rank=rank, world=world)) for rank in range(world)]
    assert {len(part) for part in parts} == {len(alone)}
    for step, images in enumerate(alone):
        torch.testing.assert_close(torch.cat([part[step][0] for part in parts]), images, rtol=0, atol=0)


@pytest.mark.parametrize("stop", [0, 3, 8])
def test_state_goes_on_exactly(jpeg_folder: Path, stop: int) -> None:
    """In mid-epoch and at its end, into the next epoch."""
    shards = open_shards(jpeg_folder)
    loader = Loader(shards, 8, crop_px=CROP)
    batches = iter(loader)
    for _ in range(stop):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    rest = [*batches, *loader]
    other = Loader(shards, 8, crop_px=CROP)
    other.load_state_dict(state)
    again = [*other, *other]
    assert len(rest) == len(again) == 2 * len(loader) - stop
    for (images, labels), (images_again, labels_again) in zip(rest, again, strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(labels, labels_again)


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 4}, {"crop_px": 48}, {"lighting": 0.2}])
def test_state_of_another_run_is_refused(jpeg_folder: Path, change: dict) -> None:
    shards = open_shards(jpeg_folder)
    state = Loader(shards, **{"batch_size": 8, "crop_px": CROP}).state_dict()
    with pytest.raises(RefusedError, match="another run"):
        Loader(shards, **{"batch_size": 8, "crop_px": CROP, **change}).load_state_dict(state)


def test_batches_are_not_written_over(jpeg_folder: Path) -> None:
    """They share memory with DALI, which must let go of it."""
    batches = [images for images, _ in Loader(open_shards(jpeg_folder), 8, crop_px=CROP)]
    copies = [images.clone() for images, _ in Loader(open_shards(jpeg_folder), 8, crop_px=CROP)]
    assert all(torch.equal(a, b) for a, b in zip(batches, copies, strict=True))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_types(jpeg_folder: Path, dtype: str) -> None:
    shards = open_shards(jpeg_folder)
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
    """Of one size, so that only what is in them tells."""
    first, second = sorted(folder.glob("*.tar"))[:2]
    size = first.stat().st_size
    data = second.read_bytes()[:size].ljust(size, b"\0")
    first.write_bytes(data)


def _lose_tar(folder: Path) -> None:
    sorted(folder.glob("*.tar"))[0].unlink()


@pytest.mark.parametrize("damage", [_cut_tar, _swap_indexes, _swap_tars, _lose_tar])
def test_damage_is_seen_before_the_first_batch(jpeg_folder: Path, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "train"
    shutil.copytree(jpeg_folder, folder)
    damage(folder)
    with pytest.raises(PipelineError, match=r"\.(tar|idx)"):
        open_shards(folder)


def test_a_label_beyond_the_classes_stops(jpeg_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    shutil.copytree(jpeg_folder, folder)
    offset = int(open_shards(folder).label[0][0])
    tar = sorted(folder.glob("*.tar"))[0]
    data = bytearray(tar.read_bytes())
    data[offset : offset + 4] = b"9999"
    tar.write_bytes(data)
    with pytest.raises(PipelineError, match="label b'9999'"):
        list(Loader(open_shards(folder), 8, crop_px=CROP))


def test_an_undecodable_picture_is_one_line(jpeg_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    shutil.copytree(jpeg_folder, folder)
    offset, size = open_shards(folder).picture[3].tolist()
    tar = sorted(folder.glob("*.tar"))[0]
    data = bytearray(tar.read_bytes())
    data[offset : offset + size] = bytes(size)
    tar.write_bytes(data)
    with pytest.raises(PipelineError, match="verify --deep") as found:
        list(Loader(open_shards(folder), 8, crop_px=CROP))
    assert "\n" not in str(found.value)


def test_what_is_impossible_is_refused(jpeg_folder: Path, tmp_path: Path) -> None:
    shards = open_shards(jpeg_folder)
    for change in ({"batch_size": 0}, {"crop_px": 65}, {"rank": 2, "world": 2}, {"crops": 10}):
        with pytest.raises(RefusedError):
            Loader(shards, **{"batch_size": 8, "crop_px": CROP, **change})
    with pytest.raises(RefusedError, match="name one, like"):
        open_shards(jpeg_folder.parent)
    with pytest.raises(RefusedError, match="no finished data set"):
        open_shards(tmp_path)


def test_a_moved_centre_crop(jpeg_folder: Path) -> None:
    """Evaluation's crop a pixel to the right is the picture's; where it cannot move it is refused."""
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


def test_many_shards_under_a_low_limit_of_files(jpeg_folder: Path) -> None:
    """Each tar keeps a descriptor, ImageNet has more than the usual limit: it is raised."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, before[1]))
    try:
        sets = [open_shards(jpeg_folder) for _ in range(20)]
        assert sum(len(each.tars) for each in sets) > 40
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_damaged_header_or_mean_is_told(raw_folders: Path, tmp_path: Path) -> None:
    """Not cut into shape, not subtracted."""
    folder = _shards(raw_folders, tmp_path, "raw")
    shards = open_shards(folder)
    tar = next(folder.glob("*-000000.tar"))
    data = bytearray(tar.read_bytes())
    data[shards.picture[0, 0] + 8] ^= 16
    tar.chmod(0o644)
    tar.write_bytes(data)
    with pytest.raises(PipelineError, match=r"no \.npy of 64 x 64 x 3"):
        list(Loader(open_shards(folder), 8, train=False, crop_px=CROP))
    np.save(folder / "mean.npy", np.zeros((SIDE, SIDE, 3), np.float32))
    with pytest.raises(PipelineError, match="not the one that the manifest names"):
        mean_of(shards, "image", CROP)
