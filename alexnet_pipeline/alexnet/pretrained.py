"""The weights of another run as the first ones of a new run: fine-tuning, also with other classes."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from alexnet_pipeline.alexnet.export import MEAN
from alexnet_pipeline.alexnet.network import initial_state
from alexnet_pipeline.alexnet.recipe import Architecture, NetworkOptions
from alexnet_pipeline.alexnet.run import Run
from alexnet_pipeline.alexnet.trained import find_checkpoint
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Message, Report
from alexnet_pipeline.records import from_json

LAST_LAYER = "fc8."
# What may differ: it shapes the training, not the function that the weights belong to.
FREE = {"dropout", "weight_deviations", "biases"}


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of both towers, and what they belong to.

    Attributes:
        source: run folder or file.
        state: parameters and statistics by name.
        network: that they are of.
        classes: names, in label order.
    """

    source: Path
    state: dict[str, Tensor]
    network: NetworkOptions
    classes: tuple[str, ...]


def read_weights(source: Path, report: Report) -> Weights:
    """Read the newest weights of a run, or a file that `export` wrote.

    Raises:
        RefusedError: it is neither.
    """
    if source.is_file():
        return _read_file(source)
    checkpoint = find_checkpoint(source, report)
    identity = checkpoint.state.identity
    return Weights(source, checkpoint.weights, identity.network, identity.classes)


def take_weights(run: Run, weights: Weights) -> None:
    """Give a new run these weights; the last layer begins anew unless the classes are the same, in the same order.

    Raises:
        RefusedError: they are of another network.
    """
    mine, theirs = run.identity.network, weights.network
    names = [field.name for field in dataclasses.fields(Architecture) if field.name not in FREE]
    differ = [name for name in names if getattr(mine, name) != getattr(theirs, name)]
    state = initial_state(mine, run.options.seed)
    same_classes = run.identity.classes == weights.classes
    wanted = {name for name in state if same_classes or not name.startswith(LAST_LAYER)}
    if not differ and any(
        name not in weights.state or weights.state[name].shape != state[name].shape for name in wanted
    ):
        differ = ["crop_px"]  # the side of the images decides the size of fc6
    if differ:
        found = "; ".join(f"{name} {getattr(theirs, name)}, here {getattr(mine, name)}" for name in differ)
        raise RefusedError(f"{weights.source} is of another network ({found}); repeat its settings")
    run.model.load_grouped(state | {name: weights.state[name] for name in wanted})
    last = "" if same_classes else f"; its {len(weights.classes)} classes are others, so the last layer begins anew"
    run.report(Message(f"first weights from {weights.source}{last}"))


def _read_file(path: Path) -> Weights:
    try:
        with safe_open(path, "pt") as opened:
            about = opened.metadata() or {}
            network = from_json(about["network"].encode(), NetworkOptions)
            classes = tuple(map(str, json.loads(about["classes"])))
            state = {name: opened.get_tensor(name) for name in opened.keys() if name != MEAN}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RefusedError(f"{path} is no file that `export` wrote as .safetensors ({error})") from error
    return Weights(path, state, network, classes)
