"""Crops as bytes: how raw ones are read, and how all are finished."""

import errno
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet_pipeline import shard
from alexnet_pipeline.batches import raw
from alexnet_pipeline.batches.crops import Crops
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.batches.normalise import KEPT_BUFFERS, Normaliser
from alexnet_pipeline.batches.parts import Team
from alexnet_pipeline.dataset.open import open_shards
from alexnet_pipeline.dataset.tar import OpenTar
from alexnet_pipeline.errors import PipelineError, RefusedError

SIDE, CROP = 40, 33


@pytest.fixture(scope="module")
def folder(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw shards of the sample's training set."""
    out = tmp_path_factory.mktemp("shards")
    how = {"methods": ["bilinear"], "split": ["train"], "size": SIDE, "shard_size": 16, "workers": 1}
    shard(raw_folders, out, encoding="raw", progress=False, **how)
    return out / "bilinear" / "train"


def _crops(n: int, views: int, side: int) -> Crops:
    random = np.random.default_rng(n + views)
    return Crops(
        pixels=torch.from_numpy(random.integers(0, 256, (n, views, side, side, 3), np.uint8)),
        flips=torch.from_numpy(random.integers(0, 2, (n, views)) > 0),
        offsets=torch.from_numpy(random.normal(100, 30, (n, 3)).astype(np.float32)),
        labels=torch.zeros(n, dtype=torch.int64),
    )


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize(("n", "views", "side"), [(5, 1, 33), (3, 10, 8), (1, 1, 1), (0, 1, 33)])
def test_a_crop_is_mirrored_and_less_its_offsets_and_the_mean(
    planar: bool, image: bool, n: int, views: int, side: int
) -> None:
    """Pixel by pixel; PyTorch's operators, which a GPU runs, give the compiled loop's bits."""
    crops = _crops(n, views, side)
    mean = np.random.default_rng(0).normal(100, 20, (side, side, 3)).astype(np.float32) if image else np.zeros(3)
    normaliser = Normaliser(mean, planar=planar, dtype="float32", team=Team(2))
    found = normaliser.compiled(crops)
    assert found.shape == (n, views, 3, side, side)
    assert torch.equal(found, normaliser.in_torch(crops))
    assert found.is_contiguous() == (planar or side == 1 or n == 0)
    for number, view in itertools.product(range(n), range(views)):
        seen = crops.pixels[number, view].numpy().astype(np.float64)
        seen = seen[:, ::-1] if crops.flips[number, view] else seen
        wanted = (seen - crops.offsets[number].numpy() - mean).transpose(2, 0, 1)
        np.testing.assert_allclose(found[number, view].numpy(), wanted, atol=1e-4)
    assert normaliser(crops).shape == ((n, views, 3, side, side) if views > 1 else (n, 3, side, side))


def test_memory_is_used_again_once_a_batch_is_gone() -> None:
    """Not before, even if only a part of it is held, and only so much of it."""
    normaliser = Normaliser(np.zeros(3, np.float32), planar=True, dtype="float32", team=Team(1))
    crops = _crops(4, 1, 9)
    first = normaliser(crops)
    part, address = first[2], first.data_ptr()
    del first
    others = [normaliser(crops) for _ in range(KEPT_BUFFERS + 3)]
    assert address not in {other.data_ptr() for other in others}
    assert torch.equal(part, others[0][2])
    del part
    assert normaliser(crops).data_ptr() == address
    del others
    assert len(normaliser._free) == KEPT_BUFFERS


@pytest.mark.parametrize("crops", [1, 10])
def test_a_tar_that_cannot_be_read_quickly_is_read_slowly(
    folder: Path, monkeypatch: pytest.MonkeyPatch, crops: int
) -> None:
    """Without a descriptor, as in an object store, and after a read that failed once."""
    how = {"train": crops == 1, "crops": crops, "crop_px": CROP}
    wanted = list(Loader(folder, 8, **how))
    monkeypatch.setattr(OpenTar, "hold", lambda tar: None)
    for found, expected in zip(Loader(folder, 8, **how), wanted, strict=True):
        assert all(map(torch.equal, found, expected))


def test_an_error_of_the_disk_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file and the system's reason, from the thread that reads ahead."""
    shards = open_shards(folder)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(OpenTar, "hold", lambda tar: None)
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(PipelineError, match=r"cannot read .*\.tar: Input/output error"):
        list(Loader(shards, 8, crop_px=CROP))


def test_tars_stay_open_while_they_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever evicts them meanwhile: a descriptor of another file would give that file's bytes."""
    gather = raw.gather
    open_then = []

    def evict_first(descriptors: np.ndarray, *given: object) -> None:
        for tar in shards.tars:
            tar.evict(spare_used=False)
        open_then.extend(os.fstat(descriptor).st_size for descriptor in descriptors)
        gather(descriptors, *given)

    monkeypatch.setattr(raw, "gather", evict_first)
    shards = open_shards(folder)
    loader = Loader(shards, 8, crop_px=CROP, threads=1)
    next(iter(loader))
    loader.close()
    assert set(open_then) <= {tar.size_bytes() for tar in shards.tars}
    assert open_then


def test_pixels_are_valid_until_the_next_batch(folder: Path) -> None:
    """They lie in a ring, of which a part is written meanwhile."""
    wanted = [crops.pixels.clone() for crops in Loader(folder, 4, crop_px=CROP).crops()]
    loader = Loader(folder, 4, crop_px=CROP)
    for crops, expected in zip(loader.crops(), wanted, strict=True):
        for _, _, future in loader._source._ready:
            future.result()
        assert torch.equal(crops.pixels, expected)


def test_a_closed_loader_goes_on_where_it_stood(folder: Path) -> None:
    """With new threads."""
    wanted = [images for images, _ in Loader(folder, 8, crop_px=CROP)]
    loader = Loader(folder, 8, crop_px=CROP)
    images = [next(iter(loader))[0]]
    loader.close()
    images += [each for each, _ in loader]
    assert all(map(torch.equal, images, wanted))


def test_only_a_gpu_decodes_on_a_gpu(folder: Path) -> None:
    """Told before the first batch."""
    with pytest.raises(RefusedError, match="needs batches on a GPU, not on cpu"):
        Loader(folder, 8, crop_px=CROP, decode="gpu")
