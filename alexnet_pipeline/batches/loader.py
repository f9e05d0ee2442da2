"""Shards in, torch batches out, epoch after epoch: each sample once, in an order that a seed decides.

    for images, labels in Loader(open_shards(Path("shards/lanczos/train")), batch_size=128, device="cuda:0"):
        ...

DALI decodes, crops, mirrors, lights and subtracts the mean. Which picture comes when, and how it is seen, is drawn
by `views` for the whole epoch: hence a global shuffle, the same batches for any number of processes, and a position
in the data that is two numbers.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.batches.lighting import lighting_shift
from alexnet_pipeline.batches.pipeline import DType, PipelineOptions, build_pipeline
from alexnet_pipeline.batches.views import Views, centre_views, ten_crops, training_views
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.records import PixelStatistics

Mean = Literal["channel", "image"]
PREFETCH_BATCHES = 2
# A `.npy` header of version 1 says its own length here.
NPY_LENGTH_AT, NPY_MAGIC_BYTES = 8, 10


class Loader:
    """Batches of a data set.

    Iterating gives what is left of the current epoch, then the next `for` gives the next epoch. Every process gets
    the same number of batches; the last may be short, or empty where there is nothing left for it.

    Args:
        shards: an opened data set.
        batch_size: images of this process in a batch.
        train: shuffled, with random crops, flips and lighting; otherwise in order, from the centre.
        crops: 10 gives corners, centre and their mirror images of each picture; not in training.
        crop_px: side of the crops.
        shift_px: how far evaluation's centre crop is moved to the right.
        lighting: deviation of the alphas (section 4.1: .1); 0 for none.
        mean: what is subtracted: the set's mean of each `channel`, or its mean `image`'s centre; or values, (3,) or
            (crop, crop, 3): evaluation subtracts what training did.
        channels_last: memory layout of the result; its shape is (N, 3, crop, crop) either way.
        dtype: `float32`, `float16` or `bfloat16`.
        device: where batches go; decoding happens there too, on a GPU by its own decoder.
        rank, world: this process's part of each batch of batch_size x world images.
        seed: of order and views.
        threads: that decode; default the cores of this process.

    Raises:
        RefusedError: a number is impossible.
    """

    def __init__(
        self,
        shards: ShardSet,
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
        self.shards = shards
        self.epoch = 0
        self._side_px = shards.manifest.options.size_px
        _check(self._side_px, batch_size, crop_px, rank, world, crops if train else 1)
        _check_shift(self._side_px, crop_px, shift_px, moves=not train and crops == 1)
        self._batch, self._rank, self._world, self._seed = batch_size, rank, world, seed
        self._shift_px = shift_px
        self._train, self._crop_px, self._lighting = train, crop_px, lighting if train else 0.0
        self._device, self._dtype = torch.device(device), dtype
        self._channels_last = channels_last
        self.mean = mean_of(shards, mean, crop_px) if isinstance(mean, str) else mean
        self._threads = threads or len(os.sched_getaffinity(0))
        self._options = PipelineOptions(
            encoded=shards.manifest.options.encoding != "raw",
            crop_px=crop_px,
            crops=tuple(self._shares(*crop) for crop in ten_crops(self._side_px, crop_px)) if crops > 1 else (),
            mean_image=self.mean if self.mean.ndim > 1 else None,
            dtype=_dali_dtype(dtype),
            layout="NHWC" if channels_last else "NCHW",
        )
        self._step = 0  # batches of this epoch that were handed out
        self._fed = (0, 0)  # epoch and step that DALI asks for next
        self._made: dict[tuple[int, int], Tensor] = {}  # labels of batches that DALI is making
        self._views: tuple[int, Views] | None = None
        self._pipeline: Any = None

    def __len__(self) -> int:
        """Batches an epoch, the same in every process."""
        together = self._batch * self._world
        return (self.shards.manifest.total_images + together - 1) // together

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the epoch: images (N, 3, crop, crop), or (N, 10, 3, crop, crop), and labels (N,) int64."""
        while self._step < len(self):
            here = (self.epoch, self._step)
            empty = not len(self._positions(*here))
            images, labels = self._nothing() if empty else self._next(here)
            self._step += 1
            yield images, labels
        self.epoch, self._step = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where this loader stands, and what must be the same to go on from there."""
        return {"epoch": self.epoch, "step": self._step, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where another loader stood.

        Raises:
            RefusedError: it had another data set, seed, batch or view: the next batches would be silently others.
        """
        mine = self._identity()
        differing = [name for name in mine if state.get(name) != mine[name]]
        if differing:
            parts = ", ".join(f"{name}: {state.get(name)!r} -> {mine[name]!r}" for name in differing)
            raise RefusedError(f"the loader's state is of another run: {parts}; repeat those settings")
        self.epoch, self._step = int(state["epoch"]), int(state["step"])

    def close(self) -> None:
        """Give back decoders, threads and what they hold."""
        self._pipeline = None
        self._made.clear()

    def _identity(self) -> dict[str, Any]:
        return {
            "data": self.shards.manifest.digest,
            "global_batch": self._batch * self._world,
            "seed": self._seed,
            "train": self._train,
            "crop_px": self._crop_px,
            "lighting": self._lighting,
            "shift_px": self._shift_px,
        }

    def _next(self, here: tuple[int, int]) -> tuple[Tensor, Tensor]:
        if self._pipeline is None or here not in self._upcoming():
            self._restart(here)
        try:
            (output,) = self._pipeline.run()
        except RuntimeError as error:
            text = " ".join(str(error).split())
            raise PipelineError(
                f"{self.shards.folder}: a picture of batch {here[1]} of epoch {here[0]} cannot be decoded ({text}); "
                "run `alexnet-pipeline verify --deep`"
            ) from error
        labels = self._made.pop(here)
        images = from_dlpack(output.as_tensor())
        if self._channels_last:
            images = images.movedim(-1, -3)
        if self._dtype == "bfloat16":
            images = images.bfloat16()
        return images, labels.to(self._device, non_blocking=True)

    def _upcoming(self) -> set[tuple[int, int]]:
        """The batch that DALI gives next: the first that it was fed and that was not handed out."""
        return {min(self._made, default=self._fed)}

    def _restart(self, here: tuple[int, int]) -> None:
        self._made.clear()
        self._fed = here
        self._pipeline = build_pipeline(
            self._options,
            self._feed,
            batch_images=self._batch,
            threads=self._threads,
            gpu=(self._device.index or 0) if self._device.type == "cuda" else None,
            prefetch_batches=PREFETCH_BATCHES,
        )

    def _feed(self) -> tuple[list[NDArray[Any]] | NDArray[Any], ...]:
        """The next batch that is not empty; DALI asks ahead, over the epoch's end too.

        Views go as one array: DALI would look at each sample of a list in Python.
        """
        while not len(self._positions(*self._fed)):
            self._advance()
        epoch = self._fed[0]
        views, at = self._epoch_views(epoch), self._positions(*self._fed)
        samples = views.order[at]
        self._made[self._fed] = torch.tensor([self.shards.read_label(int(sample)) for sample in samples])
        self._advance()
        shares = (views.corner[at] / max(1, self._side_px - self._crop_px)).astype(np.float32)
        base = self.mean if self.mean.ndim == 1 else np.zeros(3)
        means = (base - lighting_shift(views.alphas[at], pixel_statistics(self.shards))).astype(np.float32)
        pictures = [self._picture(int(sample)) for sample in samples]
        if self._options.crops:
            return pictures, means
        tops, lefts = np.ascontiguousarray(shares.T)
        return pictures, means, tops, lefts, views.flip[at]

    def _advance(self) -> None:
        epoch, step = self._fed
        self._fed = (epoch, step + 1) if step + 1 < len(self) else (epoch + 1, 0)

    def _positions(self, epoch: int, step: int) -> NDArray[np.int64]:
        """This process's places in an epoch's order at a step."""
        start = (step * self._world + self._rank) * self._batch
        return np.arange(start, min(start + self._batch, self.shards.manifest.total_images))

    def _epoch_views(self, epoch: int) -> Views:
        if self._views is None or self._views[0] != epoch:
            images = self.shards.manifest.total_images
            self._views = (
                epoch,
                training_views(images, self._side_px, self._crop_px, self._lighting, self._seed, epoch)
                if self._train
                else centre_views(images, self._side_px, self._crop_px, self._shift_px),
            )
        return self._views[1]

    def _picture(self, sample: int) -> NDArray[np.uint8]:
        """A picture's bytes where they lie; raw ones as HWC."""
        offset, size = self.shards.picture[sample].tolist()
        tar = self.shards.tars[self.shards.shard[sample]]
        if self._options.encoded:
            return np.frombuffer(tar, np.uint8, size, offset)
        header = NPY_MAGIC_BYTES + int.from_bytes(tar[offset + NPY_LENGTH_AT : offset + NPY_MAGIC_BYTES], "little")
        side = self._side_px
        if size - header != side * side * 3:
            raise PipelineError(
                f"{self.shards.folder}: sample {sample} is no .npy of {side} x {side} x 3 bytes; run "
                "`alexnet-pipeline verify`"
            )
        return np.frombuffer(tar, np.uint8, size - header, offset + header).reshape(side, side, 3)

    def _shares(self, top: int, left: int, flip: int) -> tuple[float, float, int]:
        room = max(1, self._side_px - self._crop_px)
        return top / room, left / room, flip

    def _nothing(self) -> tuple[Tensor, Tensor]:
        shape = (0, *((len(self._options.crops),) if self._options.crops else ()), 3, self._crop_px, self._crop_px)
        images = torch.zeros(shape, dtype=getattr(torch, self._dtype), device=self._device)
        return images, torch.zeros(0, dtype=torch.int64, device=self._device)


def mean_of(shards: ShardSet, kind: Mean, crop_px: int) -> NDArray[np.float32]:
    """(3,) of each channel, or (crop, crop, 3): the centre of the mean image, which every crop loses wherever it lies.

    Raises:
        PipelineError: the mean image cannot be read.
    """
    if kind == "channel":
        return np.array(pixel_statistics(shards).mean, np.float32)
    path = shards.folder / "mean.npy"
    promised = {file.name: file.sha256 for file in shards.manifest.files}.get(path.name)
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != promised:
            raise ValueError("it is not the one that the manifest names")
        image = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise PipelineError(f"cannot read {path}: {error}; run `alexnet-pipeline verify`") from error
    first = (image.shape[0] - crop_px) // 2
    return np.ascontiguousarray(image[first : first + crop_px, first : first + crop_px], np.float32)


def pixel_statistics(shards: ShardSet) -> PixelStatistics:
    """Of a set that holds samples."""
    assert shards.manifest.statistics
    return shards.manifest.statistics


def _check(side_px: int, batch: int, crop_px: int, rank: int, world: int, train_crops: int) -> None:
    if batch < 1 or not 0 <= rank < world:
        raise RefusedError(f"batch size {batch}, rank {rank} of {world}: impossible")
    if not 1 <= crop_px <= side_px:
        raise RefusedError(f"crops of {crop_px} pixels do not fit pictures of {side_px}")
    if train_crops != 1:
        raise RefusedError("ten crops are for evaluation; leave `crops` out in training")


def _check_shift(side_px: int, crop_px: int, shift_px: int, *, moves: bool) -> None:
    middle = (side_px - crop_px) // 2
    if shift_px and not (moves and 0 <= middle + shift_px <= side_px - crop_px):
        raise RefusedError(f"shift of {shift_px} pixels: only a single centre crop can be moved, inside its picture")


def _dali_dtype(dtype: str) -> DType:
    return "float16" if dtype == "float16" else "float32"
