"""Batches of augmented images for torch, epoch after epoch: each sample once, in an order that a seed decides.

    for images, labels in Loader("shards/lanczos/train", batch_size=128, device="cuda:0"):
        ...

DALI decodes and crops JPEG and PNG images; crops of raw ones are read as they are. Then one pass over each crop flips
it, adds lighting and subtracts the mean. Order, crops, flips and lighting are drawn by `views` for the whole epoch:
hence a global shuffle, the same batches for any number of processes, and a position in the data that is two numbers.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_pipeline.batches.crops import Crops
from alexnet_pipeline.batches.encoded import EncodedCrops
from alexnet_pipeline.batches.kernels import prepare
from alexnet_pipeline.batches.normalise import DType, Normaliser
from alexnet_pipeline.batches.parts import Team
from alexnet_pipeline.batches.raw import RawCrops
from alexnet_pipeline.batches.requests import Batch, Share, requests
from alexnet_pipeline.batches.views import Views, centre_views, ten_crops, training_views
from alexnet_pipeline.cores import core_count
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import RefusedError

Mean = Literal["channel", "image"]
Decode = Literal["auto", "cpu", "gpu"]


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
        mean: digest of what is subtracted; empty in a state of version 0.1.
        random_crops: whether training's crops are anywhere in the image.
        random_flips: whether training mirrors images.
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
    mean: str = ""
    random_crops: bool = True
    random_flips: bool = True


class Loader:
    """Batches of a data set.

    Iterating gives the rest of the current epoch, or the next one if nothing is left of it. Every process gets the same
    number of batches; the last may be short, or empty where there is nothing left for it.

    Args:
        shards: an opened data set, or its folder.
        batch_size: images of this process in a batch.
        train: shuffled, with random crops, flips and lighting; otherwise in order, from the centre.
        random_crops: in training; otherwise from the centre.
        random_flips: in training; otherwise no image is mirrored.
        crops: 10 gives corners, centre and their mirror images of each image; not in training.
        crop_px: side of the crops.
        shift_px: how far evaluation's centre crop is moved to the right.
        lighting: std. dev. of PCA lighting noise (section 4.1: .1); 0 for none.
        mean: what to subtract: the set's mean of each `channel`, or its mean `image`'s centre; or values, (3,) or
            (crop, crop, 3): evaluation subtracts what training did.
        channels_last: memory layout of the result; its shape is (N, 3, crop, crop) either way.
        dtype: `float32`, `float16` or `bfloat16`.
        device: where batches go.
        decode: where JPEG images are decoded if that is a GPU: there whole, or cropped on the CPU; `auto` is the GPU.
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
        random_crops: bool = True,
        random_flips: bool = True,
        crops: Literal[1, 10] = 1,
        crop_px: int = 224,
        shift_px: int = 0,
        lighting: float = 0.1,
        mean: Mean | NDArray[np.float32] = "channel",
        channels_last: bool = False,
        dtype: DType = "float32",
        device: torch.device | str = "cpu",
        decode: Decode = "auto",
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.shards = shards if isinstance(shards, ShardSet) else open_shards(shards)
        _check(self.shards, batch_size, crop_px, shift_px, rank, world, crops, train=train)
        manifest = self.shards.manifest
        self.mean = mean_of(self.shards, mean, crop_px) if isinstance(mean, str) else mean
        self._share = Share(manifest.total_images, batch_size, rank, world)
        self._state = LoaderState(
            epoch=0,
            step=0,
            data=manifest.digest,
            global_batch_images=batch_size * world,
            seed=seed,
            train=train,
            crop_px=crop_px,
            lighting=lighting if train else 0.0,
            shift_px=shift_px,
            mean=hashlib.sha256(np.ascontiguousarray(self.mean, np.float32).tobytes()).hexdigest(),
            random_crops=random_crops,
            random_flips=random_flips,
        )
        self._device, self._threads = torch.device(device), threads or core_count()
        self._decode_on_gpu = self._device.type == "cuda" and decode != "cpu"
        if decode == "gpu" and not self._decode_on_gpu:
            raise RefusedError(f"`decode='gpu'` needs batches on a GPU, not on {self._device}")
        self._crops = ten_crops(manifest.options.size_px, crop_px) if crops > 1 else ()
        self._shape = (crops, crop_px, crop_px, 3)
        self._team = Team(self._threads)
        self._normaliser = Normaliser(self.mean, planar=not channels_last, dtype=dtype, team=self._team)
        self._source: RawCrops | EncodedCrops | None = None

    def __len__(self) -> int:
        """Batches per epoch, the same in every process."""
        return self._share.steps()

    def __repr__(self) -> str:
        state, share = self._state, self._share
        kind = f"training, seed {state.seed}" if state.train else "evaluation"
        part = f", process {share.rank} of {share.world}" if share.world > 1 else ""
        return (
            f"Loader({str(self.shards.folder)!r}: {share.total_images:,} images in batches of {share.batch_images}, "
            f"{kind}, crops of {state.crop_px} px, on {self._device}{part}; epoch {state.epoch}, batch {state.step})"
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The rest of the epoch: images (N, 3, crop, crop), or (N, 10, 3, crop, crop), and labels (N,) int64."""
        for crops in self.crops():
            yield self.normalise(crops), crops.labels

    def crops(self) -> Iterator[Crops]:
        """The rest of the epoch as bytes, each batch for `normalise` or for other processes until the next one."""
        self.end_epoch()  # whoever counted the batches did not ask for one more
        while self._state.step < len(self):
            epoch, step = self._state.epoch, self._state.step
            crops = self._take((epoch, step)) if len(self._share.positions(step)) else self._nothing()
            self._state = dataclasses.replace(self._state, step=step + 1)
            yield crops
        self.end_epoch()

    def normalise(self, crops: Crops) -> Tensor:
        """Finish crops, of this process or of others: (N, 3, crop, crop), or (N, 10, 3, crop, crop)."""
        return self._normaliser(crops)

    def end_epoch(self) -> None:
        """Begin the next epoch, if all batches of this one were handed out."""
        if self._state.step == len(self):
            self._state = dataclasses.replace(self._state, epoch=self._state.epoch + 1, step=0)

    def state(self) -> LoaderState:
        """Where this loader stands."""
        return self._state

    def load_state(self, state: LoaderState) -> None:
        """Continue exactly where another loader stood.

        Raises:
            RefusedError: it had another data set, seed, batch or view, so the next batches would differ.
        """
        mine = dataclasses.replace(self._state, epoch=state.epoch, step=state.step)
        state = dataclasses.replace(state, mean=state.mean or mine.mean)
        then, now = dataclasses.asdict(state), dataclasses.asdict(mine)
        changed = ", ".join(f"{name}: {then[name]!r}, now {now[name]!r}" for name in now if then[name] != now[name])
        if changed:
            raise RefusedError(f"the loader's state was saved with other settings ({changed}); repeat those settings")
        self._state = state

    def close(self) -> None:
        """Release decoders, threads and what they hold."""
        if self._source:
            self._source.close()
        self._source = None
        self._team.close()

    def _take(self, batch: Batch) -> Crops:
        if self._source is None or self._source.upcoming() != batch:
            self._source = self._restart(batch)
        return self._source.take()

    def _restart(self, first: Batch) -> RawCrops | EncodedCrops:
        if self._source:
            self._source.close()
        prepare()
        statistics = self.shards.statistics()
        wanted = requests(self._share, self._views, statistics, first=first, mean=self.mean, crops=self._crops)
        if self.shards.manifest.options.encoding == "raw":
            return RawCrops(
                self.shards,
                wanted,
                shape=self._shape,
                batch_images=self._share.batch_images,
                device=self._device,
                team=self._team,
            )
        return EncodedCrops(
            self.shards,
            wanted,
            shape=self._shape,
            batch_images=self._share.batch_images,
            device=self._device,
            decode_on_gpu=self._decode_on_gpu,
            threads=self._threads,
        )

    def _views(self, epoch: int) -> Views:
        images, side_px, state = self._share.total_images, self.shards.manifest.options.size_px, self._state
        if state.train:
            return training_views(
                images,
                side_px,
                state.crop_px,
                state.lighting,
                state.seed,
                epoch,
                crops=state.random_crops,
                flips=state.random_flips,
            )
        return centre_views(images, side_px, state.crop_px, state.shift_px)

    def _nothing(self) -> Crops:
        views = self._shape[0]
        parts = torch.zeros(0, *self._shape, dtype=torch.uint8), torch.zeros(0, views, dtype=torch.bool)
        rest = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
        return Crops(*(part.to(self._device) for part in (*parts, *rest)))


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


def _check(
    shards: ShardSet, batch: int, crop_px: int, shift_px: int, rank: int, world: int, crops: int, *, train: bool
) -> None:
    side_px, middle_px = shards.manifest.options.size_px, (shards.manifest.options.size_px - crop_px) // 2
    if shards.manifest.options.geometry == "shorter":
        raise RefusedError(
            f"batches need images of one size, and {shards.folder} was sharded with geometry 'shorter'; shard with "
            "geometry 'center-crop', 'squash' or 'pad'"
        )
    if batch < 1:
        raise RefusedError(f"`batch_size`: {batch} is out of range; expected at least 1")
    if not 0 <= rank < world:
        raise RefusedError(f"`rank` {rank} is out of range; expected 0 to {world - 1}, since `world` is {world}")
    if not 1 <= crop_px <= side_px:
        raise RefusedError(f"crops of {crop_px} pixels do not fit images of {side_px}; `crop_px` chooses their side")
    if train and crops != 1:
        raise RefusedError("ten crops are for evaluation; leave out `crops` in training")
    if shift_px and (train or crops != 1 or not 0 <= middle_px + shift_px <= side_px - crop_px):
        raise RefusedError(f"a shift of {shift_px} pixels: only a single centre crop can be moved, within its image")
