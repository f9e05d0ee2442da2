"""A trained network as a file for others: ONNX, or a plain state dict in safetensors."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from alexnet_pipeline.alexnet.trained import TrainedNetwork, load_network
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import make_folder, write_whole
from alexnet_pipeline.progress import Progress, reporting
from alexnet_pipeline.records import PathText

SUFFIXES = (".onnx", ".safetensors")
# The tensor of a safetensors file that is not the network's.
MEAN = "mean"
# Keys of the text that both kinds of file carry.
ABOUT = ("network", "classes", "words", "conversion", "step")


@dataclass(frozen=True, slots=True)
class Exported:
    """A file of a network.

    Attributes:
        file: path.
        size_bytes: of it.
        step: of the checkpoint.
        classes: how many.
    """

    file: PathText
    size_bytes: int
    step: int
    classes: int


def export(run: Path | str, output: Path | str, *, checkpoint: str = "newest", progress: Progress = True) -> Exported:
    """Write a network of a run to one file.

    `NAME.onnx` takes `images` (N, 3, crop, crop) float32, R, G, B in 0..255, and gives `probabilities` (N, classes);
    the mean is subtracted inside. `NAME.safetensors` holds the parameters and statistics of both towers, as grouped
    layers on one device have them, and `mean`. Both carry the classes, their words, and how the images are made, as
    JSON.

    Args:
        run: folder that `train` wrote.
        output: file; its suffix says which kind. One that exists is replaced.
        checkpoint: `newest`; `best`, by top-1 error on the validation set in training; or a step.
        progress: gets warnings of damaged checkpoints.

    Raises:
        RefusedError: the suffix is another, a package is missing, or the folder holds no such network.
    """
    path = Path(output)
    if path.suffix not in SUFFIXES:
        raise RefusedError(f"{path} ends neither in {' nor in '.join(SUFFIXES)}; the ending says what to write")
    if path.suffix == ".onnx":
        _check_onnx()
    with reporting(progress) as report:
        network = load_network(run, checkpoint=checkpoint, report=report)
    data = to_onnx(network) if path.suffix == ".onnx" else to_safetensors(network)
    make_folder(path.parent)
    write_whole(path, data)
    return Exported(str(path), len(data), network.step, len(network.classes))


def to_safetensors(network: TrainedNetwork) -> bytes:
    """The file's bytes: a state dict of both towers, its names without the name of a stack, and the mean."""
    state = {name: parts[0].contiguous() for name, parts in network.network.local_state().items()}
    return save({**state, MEAN: torch.tensor(network.mean)}, metadata=_about(network))


def to_onnx(network: TrainedNetwork) -> bytes:
    """The file's bytes: the network with its mean and the softmax, for any number of images."""
    side = network.crop_px
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Standalone(network).eval(),
            (torch.zeros(2, 3, side, side),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            input_names=["images"],
            output_names=["probabilities"],
            verbose=False,
        )
    assert program
    model = program.model_proto
    for key, value in _about(network).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return bytes(model.SerializeToString(deterministic=True))


class _Standalone(nn.Module):
    """A network that takes pixels and gives probabilities."""

    mean: Tensor

    def __init__(self, network: TrainedNetwork) -> None:
        super().__init__()
        self.network = network.network
        mean = network.mean[None, None] if network.mean.ndim == 1 else network.mean
        self.register_buffer("mean", torch.tensor(mean.transpose(2, 0, 1)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, crop, crop) in 0..255 to (N, classes)."""
        scores: Tensor = self.network(images - self.mean)
        return scores.softmax(1)


def _about(network: TrainedNetwork) -> dict[str, str]:
    values = (
        asdict(network.network.options),
        network.classes,
        network.words,
        asdict(network.conversion),
        network.step,
    )
    return {key: json.dumps(value, sort_keys=True) for key, value in zip(ABOUT, values, strict=True)}


def _check_onnx() -> None:
    for module in ("onnx", "onnxscript"):
        if importlib.util.find_spec(module) is None:
            raise RefusedError(f"{module} is not installed; pip install 'alexnet-pipeline[onnx]'")


@contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch's exporter warns of operators of packages that are not used here."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
