"""A trained network on its own: with its classes, and with the preparation of any photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet_pipeline.alexnet.checkpoint import Checkpoint, find_not_finite, load_chosen
from alexnet_pipeline.alexnet.exchange import Whole
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.options import Crops
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, read_mean, read_run
from alexnet_pipeline.batches.views import ten_crops
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.codec import decode, decode_sample, encode
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.progress import Report, silent
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.reading import read_whole

# Anything that shows one picture: a path, a URL, a file's bytes, or pixels, HWC uint8 RGB.
Photo = Path | str | bytes | NDArray[np.uint8]


class TrainedNetwork(nn.Module):
    """A run's network, in evaluation mode.

    Attributes:
        classes: names, in label order.
        words: of each class, like `tench, Tinca tinca`; empty where they are unknown.
        crop_px: side of the crops that it sees.
        mean: (3,) or (crop, crop, 3) float32, subtracted from R, G, B in 0..255.
        conversion: how the training images were decoded, resized and encoded.
        step: of the checkpoint.
    """

    def __init__(
        self, checkpoint: Checkpoint, mean: NDArray[np.float32], conversion: SetOptions, words: tuple[str, ...]
    ) -> None:
        super().__init__()
        identity = checkpoint.state.identity
        self.network = AlexNet(identity.network, Whole(torch.device("cpu")))
        self.network.load_grouped(checkpoint.weights)
        self.classes, self.step = identity.classes, checkpoint.state.step
        self.words = words or ("",) * len(self.classes)
        self.crop_px, self.mean, self.conversion = identity.network.crop_px, mean, conversion
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, classes) of prepared images (N, 3, crop, crop)."""
        scores: Tensor = self.network(images)
        return scores

    def preprocess(self, photo: Photo, *, crops: Crops = 1) -> Tensor:
        """Prepare a photograph as `shard` and evaluation do: (crops, 3, crop, crop) float32.

        It goes through the training images' encoding, too, so that it is what an evaluation of shards would see.

        Args:
            photo: a path, a URL, a file's bytes, or pixels, HWC uint8 RGB.
            crops: 1 for the centre, 10 for corners, centre and their flips.

        Raises:
            RejectedImageError: the photo cannot be decoded.
            OSError: it cannot be read.
        """
        options = self.conversion
        if isinstance(photo, np.ndarray):
            pixels = photo
        else:
            data = photo if isinstance(photo, bytes) else read_whole(locate(photo))
            pixels = decode(data, max_pixels=options.max_pixels, orientation=options.orientation)
        whole = decode_sample(encode(convert(np.ascontiguousarray(pixels), options)[0], options), options.encoding)
        middle = (options.size_px - self.crop_px) // 2
        views = ten_crops(options.size_px, self.crop_px) if crops > 1 else ((middle, middle, 0),)
        cut = [whole[top : top + self.crop_px, left : left + self.crop_px] for top, left, _ in views]
        seen = [crop[:, ::-1] if flip else crop for crop, (_, _, flip) in zip(cut, views, strict=True)]
        return torch.from_numpy(np.stack(seen).astype(np.float32) - self.mean).movedim(-1, 1).contiguous()


def load_network(run: Path | str, *, checkpoint: str = "newest", report: Report = silent) -> TrainedNetwork:
    """The network of a run's checkpoint, on the CPU.

    Args:
        run: folder that `train` wrote.
        checkpoint: `newest`; `best`, by top-1 error on the validation set in training; or a step.
        report: gets warnings of damaged checkpoints.

    Raises:
        RefusedError: the folder holds no such network, or one of version 0.1, which kept too little.
    """
    folder = Path(run)
    record = read_run(folder)
    if record.conversion is None:
        raise RefusedError(
            f"{folder} does not say how its images were made, because an earlier version trained it; resume it once "
            "with `resume='auto'`, which writes that down"
        )
    found = find_checkpoint(folder, report, checkpoint)
    return TrainedNetwork(found, read_mean(folder), record.conversion, record.class_words)


def find_checkpoint(run: Path, report: Report, which: str = "newest") -> Checkpoint:
    """A checkpoint of a run: `newest`, `best`, or that of a step.

    Raises:
        RefusedError: there is none, or its weights are not finite.
        PipelineError: it is damaged.
    """
    checkpoint = load_chosen(run / CHECKPOINTS, which, report)
    if checkpoint is None:
        raise RefusedError(f"{run} holds no checkpoint; expected a folder that `train` wrote")
    name = find_not_finite(checkpoint)
    if name:
        raise RefusedError(f"{run}: weights or momentum of {name} are not finite at step {checkpoint.state.step:,}")
    return checkpoint
