"""Batches of augmented images for torch, epoch after epoch: each sample once, in an order that a seed decides.

    for images, labels in Loader("shards/lanczos/train", batch_size=128, device="cuda:0"):
        ...

DALI decodes, crops, flips, adds lighting and subtracts the mean. Order, crops, flips and lighting are drawn by
`views` for the whole epoch: hence a global shuffle, the same batches for any number of processes, and a position
in the data that is two numbers.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from alexnet_pipeline.batches.feed import Batch, Feed, Share
from alexnet_pipeline.batches.pipeline import PipelineOptions, build_pipeline
from alexnet_pipeline.batches.views import Views, centre_views, ten_crops, training_views
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import PipelineError, RefusedError

Mean = Literal["channel", "image"]
PREFETCH_BATCHES = 2


@dataclass(frozen=True, slots=True)
class LoaderState:
    """Where a loader stands, and what must be the same to continue from there.

    Attributes:
        epoch: current epoch, from 0.
        step: batches of it that were handed out.
        data: digest of the data set's manifest.
        global_batch_images: images of a batch, over all processes.
        seed: of order and views.
        train: whether images are shuffled and augmented.
        crop_px: side of the crops.
        lighting: deviation of the lighting.
        shift_px: of evaluation's centre crop.
    """

    epoch: int
    step: int
    data: str
    global_batch_images: int
    seed: int
    train: bool
    crop_px: int
    lighting: float
    shift_px: int


class Loader:
    """Batches of a data set.

    Iterating gives the rest of the current epoch; the next `for` gives the next epoch. Every process gets the same
    number of batches; the last may be short, or empty where there is nothing left for it.

    Args:
        shards: an opened data set, or its folder.
        batch_size: images of this process in a batch.
        train: shuffled, with random crops, flips and lighting; otherwise in order, from the centre.
        crops: 10 gives corners, centre and their mirror images of each image; not in training.
        crop_px: side of the crops.
        shift_px: how far evaluation's centre crop is moved to the right.
        lighting: std. dev. of PCA lighting noise (section 4.1: .1); 0 for none.
        mean: what to subtract: the set's mean of each `channel`, or its mean `image`'s centre; or values, (3,) or
            (crop, crop, 3): evaluation subtracts what training did.
        channels_last: memory layout of the result; its shape is (N, 3, crop, crop) either way.
        dtype: `float32`, `float16` or `bfloat16`.
        device: where batches go; a GPU decodes JPEGs itself.
        rank: of this process, which gets its part of each batch of batch_size x world images.
        world: number of processes.
        seed: of order and views.
        threads: number of decoding threads; default the cores of this process.

    Raises:
        RefusedError: a number is impossible, or the images are of several sizes.
    """

    def __init__(
        self,
        shards: ShardSet | Path | str,
        batch_size: int,
        *,
        train: bool = True,
        crops: Literal[1, 10] = 1,
        crop_px: int = 224,
        shift_px: int = 0,
        lighting: float = 0.1,
        mean: Mean | NDArray[np.float32] = "channel",
        channels_last: bool = False,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.shards = shards if isinstance(shards, ShardSet) else open_shards(shards)
        self.epoch = 0
        self._step = 0
        self._side_px = _side_px(self.shards)
        _check(self._side_px, batch_size, crop_px, rank, world, crops if train else 1)
        _check_shift(self._side_px, crop_px, shift_px, moves=not train and crops == 1)
        self._share = Share(self.shards.manifest.total_images, batch_size, rank, world)
        self._train, self._seed, self._crop_px, self._shift_px = train, seed, crop_px, shift_px
        self._lighting = lighting if train else 0.0
        self._device, self._dtype, self._channels_last = torch.device(device), dtype, channels_last
        self._threads = threads or len(os.sched_getaffinity(0))
        self.mean = mean_of(self.shards, mean, crop_px) if isinstance(mean, str) else mean
        self._options = PipelineOptions(
            encoded=self.shards.manifest.options.encoding != "raw",
            crop_px=crop_px,
            crops=tuple(self._relative(*crop) for crop in ten_crops(self._side_px, crop_px)) if crops > 1 else (),
            mean_image=self.mean if self.mean.ndim > 1 else None,
            dtype="float16" if dtype == "float16" else "float32",
            layout="NHWC" if channels_last else "NCHW",
        )
        self._feed: Feed | None = None
        self._pipeline: Any = None

    def __len__(self) -> int:
        """Batches per epoch, the same in every process."""
        return self._share.steps()

    def __repr__(self) -> str:
        kind = f"training, seed {self._seed}" if self._train else "evaluation"
        share = self._share
        part = f", process {share.rank} of {share.world}" if share.world > 1 else ""
        return (
            f"Loader({str(self.shards.folder)!r}: {share.total_images:,} images in batches of {share.batch_images}, "
            f"{kind}, crops of {self._crop_px} px, on {self._device}{part}; epoch {self.epoch}, batch {self._step})"
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The rest of the epoch: images (N, 3, crop, crop), or (N, 10, 3, crop, crop), and labels (N,) int64."""
        while self._step < len(self):
            empty = not len(self._share.positions(self._step))
            batch = self._nothing() if empty else self._load((self.epoch, self._step))
            self._step += 1
            yield batch
        self.epoch, self._step = self.epoch + 1, 0

    def state(self) -> LoaderState:
        """Where this loader stands."""
        return LoaderState(
            epoch=self.epoch,
            step=self._step,
            data=self.shards.manifest.digest,
            global_batch_images=self._share.batch_images * self._share.world,
            seed=self._seed,
            train=self._train,
            crop_px=self._crop_px,
            lighting=self._lighting,
            shift_px=self._shift_px,
        )

    def load_state(self, state: LoaderState) -> None:
        """Continue exactly where another loader stood.

        Raises:
            RefusedError: it had another data set, seed, batch or view, so the next batches would differ.
        """
        mine = dataclasses.replace(self.state(), epoch=state.epoch, step=state.step)
        then, now = dataclasses.asdict(state), dataclasses.asdict(mine)
        changed = ", ".join(f"{name}: {then[name]!r}, now {now[name]!r}" for name in now if then[name] != now[name])
        if changed:
            raise RefusedError(f"the loader's state was saved with other settings ({changed}); repeat those settings")
        self.epoch, self._step = state.epoch, state.step

    def close(self) -> None:
        """Release decoders, threads and what they hold."""
        self._pipeline = self._feed = None

    def _load(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self._feed is None or self._feed.upcoming() != batch:
            self._feed = self._restart(batch)
        try:
            (output,) = self._pipeline.run()
        except RuntimeError as error:
            text = " ".join(str(error).split())
            raise PipelineError(
                f"{self.shards.folder}: an image of batch {batch[1]} of epoch {batch[0]} cannot be decoded ({text}); "
                "run `verify` with `deep=True`"
            ) from error
        labels = self._feed.labels.pop(batch)
        images = from_dlpack(output.as_tensor())
        if self._channels_last:
            images = images.movedim(-1, -3)
        if self._dtype == "bfloat16":
            images = images.bfloat16()
        return images, labels.to(self._device, non_blocking=True)

    def _restart(self, first: Batch) -> Feed:
        feed = Feed(
            self.shards,
            self._share,
            self._views,
            self.mean if self.mean.ndim == 1 else np.zeros(3),
            room_px=self._side_px - self._crop_px,
            fixed=bool(self._options.crops),
            first=first,
        )
        self._pipeline = build_pipeline(
            self._options,
            feed,
            batch_images=self._share.batch_images,
            threads=self._threads,
            gpu=(self._device.index or 0) if self._device.type == "cuda" else None,
            prefetch_batches=PREFETCH_BATCHES,
        )
        return feed

    def _views(self, epoch: int) -> Views:
        images = self._share.total_images
        if self._train:
            return training_views(images, self._side_px, self._crop_px, self._lighting, self._seed, epoch)
        return centre_views(images, self._side_px, self._crop_px, self._shift_px)

    def _relative(self, top: int, left: int, flip: int) -> tuple[float, float, int]:
        """A crop's place as DALI takes it: shares of how far it can move."""
        room = max(1, self._side_px - self._crop_px)
        return top / room, left / room, flip

    def _nothing(self) -> tuple[Tensor, Tensor]:
        shape = (0, *((len(self._options.crops),) if self._options.crops else ()), 3, self._crop_px, self._crop_px)
        images = torch.zeros(shape, dtype=getattr(torch, self._dtype), device=self._device)
        return images, torch.zeros(0, dtype=torch.int64, device=self._device)


def mean_of(shards: ShardSet, kind: Mean, crop_px: int) -> NDArray[np.float32]:
    """(3,) of each channel, or (crop, crop, 3): the mean image's centre, subtracted from crops wherever they lie.

    Raises:
        PipelineError: the mean image cannot be read.
    """
    if kind == "channel":
        return np.array(shards.statistics().mean, np.float32)
    image = shards.mean_image()
    first = (image.shape[0] - crop_px) // 2
    return np.ascontiguousarray(image[first : first + crop_px, first : first + crop_px])


def _side_px(shards: ShardSet) -> int:
    options = shards.manifest.options
    if options.geometry == "shorter":
        raise RefusedError(
            f"batches need images of one size, and {shards.folder} was sharded with geometry 'shorter'; shard with "
            "geometry 'center-crop', 'squash' or 'pad'"
        )
    return options.size_px


def _check(side_px: int, batch: int, crop_px: int, rank: int, world: int, train_crops: int) -> None:
    if batch < 1:
        raise RefusedError(f"`batch_size`: {batch} is out of range; expected at least 1")
    if not 0 <= rank < world:
        raise RefusedError(f"`rank` {rank} is out of range; expected 0 to {world - 1}, since `world` is {world}")
    if not 1 <= crop_px <= side_px:
        raise RefusedError(f"crops of {crop_px} pixels do not fit images of {side_px}")
    if train_crops != 1:
        raise RefusedError("ten crops are for evaluation; leave out `crops` in training")


def _check_shift(side_px: int, crop_px: int, shift_px: int, *, moves: bool) -> None:
    middle = (side_px - crop_px) // 2
    if shift_px and not (moves and 0 <= middle + shift_px <= side_px - crop_px):
        raise RefusedError(f"a shift of {shift_px} pixels: only a single centre crop can be moved, within its image")
