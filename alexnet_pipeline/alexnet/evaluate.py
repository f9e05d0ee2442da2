"""Networks and a validation set in, error rates out, each with its protocol and its interval."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from alexnet_pipeline.alexnet.predict import BATCH_IMAGES, Crops, check_count, predict
from alexnet_pipeline.alexnet.processes import Place
from alexnet_pipeline.dataset.open import ShardSet, open_shards, sample_keys
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.files import write_whole

LOG = logging.getLogger(__name__)

PROTOCOLS: dict[int, str] = {1: "centre crop", 10: "10 crops"}
# Two-sided 95 % of the normal distribution.
Z_95 = 1.959964
TOP = 5
# Confusions and their examples that are kept for the report.
CONFUSIONS, EXAMPLES = 24, 4


@dataclass(frozen=True, slots=True)
class Errors:
    """Error rates over a set of images.

    Attributes:
        protocol: `centre crop` or `10 crops`.
        total_images: counted.
        loss: mean cross-entropy of the mean probabilities.
        top1_error: share of images whose best class is wrong.
        top5_error: share of images whose five best classes miss the right one.
        top1_interval: 95 % Wilson interval, for another draw of so many images.
        top5_interval: likewise.
    """

    protocol: str
    total_images: int
    loss: float
    top1_error: float
    top5_error: float
    top1_interval: tuple[float, float]
    top5_interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """Error rates of one class's images."""

    name: str
    images: int
    top1_error: float
    top5_error: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """A class taken for another.

    Attributes:
        truth: class name.
        predicted: class name.
        count: images.
        examples: some of their positions in the shards.
    """

    truth: str
    predicted: str
    count: int
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        shards: folder.
        method: downsampling method of the shards.
        models: run folders; more than one is an ensemble, the mean of their probabilities.
        steps: of each model's checkpoint.
        errors: over all images.
        classes: per class, in label order.
        confusions: the most frequent.
    """

    shards: str
    method: str
    models: tuple[str, ...]
    steps: tuple[int, ...]
    errors: Errors
    classes: tuple[ClassErrors, ...]
    confusions: tuple[Confusion, ...]


def evaluate(
    runs: Sequence[Path],
    shards: Path,
    *,
    crops: Crops = 1,
    device: str = "auto",
    predictions: Path | None = None,
    warn: Callable[[str], None] = LOG.warning,
) -> Evaluation:
    """Measure one run's newest network, or the mean of several runs', on a data set.

    Args:
        runs: run folders.
        shards: folder of the data set.
        crops: 1 for the centre, 10 for corners, centre and their flips (section 4.1).
        device: `auto`, `cpu` or `cuda`.
        predictions: where to write a line per image: key, label, five best classes with probabilities.
        warn: told of damaged checkpoints.

    Raises:
        RefusedError: a folder holds no run, or its classes are not the shards'.
        PipelineError: an image was missed or counted twice.
    """
    opened = open_shards(shards)
    found = predict(runs, opened, crops=crops, device=device, warn=warn)
    probabilities, labels = found.probabilities, found.labels
    best = probabilities.topk(min(TOP, probabilities.shape[1])).indices
    if predictions:
        write_whole(predictions, _prediction_lines(opened, probabilities, labels, best))
    return Evaluation(
        shards=str(shards),
        method=opened.manifest.options.method,
        models=tuple(map(str, runs)),
        steps=found.steps,
        errors=_errors(probabilities, labels, best, PROTOCOLS[crops]),
        classes=_class_errors(opened.manifest.classes, labels, best),
        confusions=_confusions(opened.manifest.classes, labels, best[:, 0]),
    )


def record_evaluation(run: Path, found: Evaluation) -> Path:
    """Keep an evaluation with its run, where the report finds it."""
    protocol = found.errors.protocol.replace(" ", "-")
    where = Path(found.shards).resolve()
    path = run / "evaluations" / f"{protocol}-{where.parent.name}-{where.name}.json"
    path.parent.mkdir(exist_ok=True)
    record: dict[str, Any] = {
        **asdict(found.errors),
        "shards": str(where),
        "models": found.models,
        "steps": found.steps,
        "per_class": [
            {"class": row.name, "images": row.images, "top1_error": row.top1_error, "top5_error": row.top5_error}
            for row in found.classes
        ],
        "confusions": [asdict(confusion) for confusion in found.confusions],
    }
    write_whole(path, (json.dumps(record, indent=1) + "\n").encode("ascii"))
    return path


def measure(network: torch.nn.Module, loader: Loader, place: Place, forward: Callable[[Tensor], Tensor]) -> Errors:
    """Centre-crop errors of a network in training, over all processes.

    Raises:
        PipelineError: an image was missed or counted twice.
    """
    network.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=place.device)
    share = -(-BATCH_IMAGES // place.world)
    with torch.no_grad():
        for step, (mine, my_labels) in enumerate(loader, 1):
            images, labels = place.exchange.batch(mine, my_labels, share, full=step < len(loader))
            if not len(labels):
                continue
            scores = forward(images).float()
            sums[0] += functional.cross_entropy(scores, labels, reduction="sum")
            hits = scores.topk(min(TOP, scores.shape[1])).indices == labels[:, None]
            sums[1] += len(labels) - hits[:, 0].sum()
            sums[2] += len(labels) - hits.any(1).sum()
            sums[3] += len(labels)
    network.train()
    loss, top1, top5, count = place.sum_over_replicas(sums).tolist()
    check_count(round(count), loader.shards)
    return _rates("centre crop", round(count), loss, round(top1), round(top5))


def wilson_interval(wrong: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): honest near 0 and 1, where the normal one is not."""
    if not total:
        return (0.0, 1.0)
    share, square = wrong / total, Z_95**2 / total
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return (max(0.0, centre - half), min(1.0, centre + half))


def _errors(probabilities: Tensor, labels: Tensor, best: Tensor, protocol: str) -> Errors:
    hits = best == labels[:, None]
    chosen = probabilities[torch.arange(len(labels)), labels].clamp_min(1e-12)
    wrong1, wrong5 = int((~hits[:, 0]).sum()), int((~hits.any(1)).sum())
    return _rates(protocol, len(labels), float(-chosen.log().sum()), wrong1, wrong5)


def _rates(protocol: str, count: int, loss: float, wrong1: int, wrong5: int) -> Errors:
    return Errors(
        protocol=protocol,
        total_images=count,
        loss=loss / max(1, count),
        top1_error=wrong1 / max(1, count),
        top5_error=wrong5 / max(1, count),
        top1_interval=wilson_interval(wrong1, count),
        top5_interval=wilson_interval(wrong5, count),
    )


def _class_errors(classes: Sequence[str], labels: Tensor, best: Tensor) -> tuple[ClassErrors, ...]:
    hits = best == labels[:, None]
    rows = []
    for label, name in enumerate(classes):
        mine = hits[labels == label]
        wrong = (1 - mine[:, :1].any(1).double()).mean(), (1 - mine.any(1).double()).mean()
        rows.append(ClassErrors(name, len(mine), *(float(share) if len(mine) else 0.0 for share in wrong)))
    return tuple(rows)


def _confusions(classes: Sequence[str], labels: Tensor, first: Tensor) -> tuple[Confusion, ...]:
    pairs = list(zip(labels.tolist(), first.tolist(), strict=True))
    counts = Counter(pair for pair in pairs if pair[0] != pair[1])
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    return tuple(
        Confusion(classes[truth], classes[taken], count, tuple(_where(pairs, (truth, taken))))
        for (truth, taken), count in ordered
    )


def _where(pairs: list[tuple[int, int]], wanted: tuple[int, int]) -> list[int]:
    return [position for position, pair in enumerate(pairs) if pair == wanted][:EXAMPLES]


def _prediction_lines(shards: ShardSet, probabilities: Tensor, labels: Tensor, best: Tensor) -> bytes:
    def lines() -> Iterator[str]:
        classes = shards.manifest.classes
        for key, label, row, shares in zip(
            sample_keys(shards), labels.tolist(), best.tolist(), probabilities, strict=True
        ):
            top = [{"class": classes[taken], "probability": round(float(shares[taken]), 6)} for taken in row]
            yield json.dumps({"key": key, "truth": classes[label], "best": top}) + "\n"

    return "".join(lines()).encode("ascii")
