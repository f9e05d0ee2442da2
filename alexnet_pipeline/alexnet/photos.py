"""The classes of single photographs, by a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from alexnet_pipeline.alexnet.options import PredictOptions
from alexnet_pipeline.alexnet.predict import mean_probabilities
from alexnet_pipeline.alexnet.processes import alone
from alexnet_pipeline.alexnet.trained import TrainedNetwork, load_network
from alexnet_pipeline.errors import RefusedError, RejectedImageError
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.progress import Advance, Progress, Stage, reporting
from alexnet_pipeline.records import PathText


@dataclass(frozen=True, slots=True)
class ClassProbability:
    """A class that a photo may show.

    Attributes:
        name: of the class.
        words: of the class, like `tench, Tinca tinca`; empty where they are unknown.
        probability: 0 to 1.
    """

    name: str
    words: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network says of a photo.

    Attributes:
        photo: path or URL.
        classes: the most probable ones, most probable first; empty if the photo cannot be read.
        error: why it cannot be read; else empty.
    """

    photo: PathText
    classes: tuple[ClassProbability, ...]
    error: str = ""


@takes_options(PredictOptions)
def predict(
    run: Path | str, photos: Sequence[Path | str], *, progress: Progress = True, **options: Any
) -> tuple[Prediction, ...]:
    """Name what photographs show, by a network of a run.

    A photo is prepared as the training images were: by the method, the geometry and the encoding of their shards, which
    the run's folder knows. So it may be of any size and format that `shard` takes.

    Args:
        run: folder that `train` wrote.
        photos: paths or URLs.
        progress: True shows a bar, False nothing; or a function that gets events.
        **options: see `PredictOptions`.

    Returns:
        A prediction of each photo, in order. One that cannot be read does not stop the others.

    Raises:
        RefusedError: the folder holds no such network.
    """
    chosen = make(PredictOptions, options)
    photos = [photos] if isinstance(photos, (str, Path)) else photos
    if not photos:
        raise RefusedError("`photos`: found none; expected at least one")
    with reporting(progress) as report:
        device = alone(chosen.device).device
        network = load_network(run, checkpoint=chosen.checkpoint, report=report)
        network.to(device)
        report(Stage("predict", total=len(photos)))
        predictions = []
        for done, photo in enumerate(photos, 1):
            predictions.append(_predict(network, photo, chosen, device))
            report(Advance(done))
    return tuple(predictions)


def _predict(network: TrainedNetwork, photo: Path | str, options: PredictOptions, device: torch.device) -> Prediction:
    try:
        images = network.preprocess(photo, crops=options.crops).to(device)
    except RejectedImageError as error:
        return Prediction(str(photo), (), str(error))
    except IsADirectoryError:
        return Prediction(str(photo), (), f"is a folder; name its files, like {photo}/*.jpg")
    except OSError as error:
        return Prediction(str(photo), (), error.strerror or str(error))
    (probabilities,) = mean_probabilities([network], images[None])
    found = probabilities.cpu().topk(min(options.top, len(network.classes)))
    return Prediction(
        str(photo),
        tuple(
            ClassProbability(network.classes[label], network.words[label], probability)
            for probability, label in zip(found.values.tolist(), found.indices.tolist(), strict=True)
        ),
    )
