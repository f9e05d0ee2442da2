"""Top-1 and top-5 error of trained networks on a data set, overall and per class, with the most frequent confusions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from alexnet_pipeline.alexnet.error_rates import PROTOCOLS, ErrorRates, best_classes, error_rates
from alexnet_pipeline.alexnet.options import EvaluateOptions
from alexnet_pipeline.alexnet.predict import BATCH_IMAGES, Predictions, check_count, predict
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.run_folder import utf8
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.dataset.open import ShardSet, open_shards
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import make_folder, write_whole
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.progress import Progress, Report, reporting, warn_to
from alexnet_pipeline.records import from_json, to_json
from alexnet_pipeline.text import html_table

EVALUATIONS = "evaluations"
# Confusions and examples of each that an evaluation keeps.
CONFUSIONS, EXAMPLES = 24, 4


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


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """Error rates of a network, or of an ensemble, on a data set.

    Attributes:
        shards: folder.
        method: downsampling method of the shards.
        runs: run folders; more than one is an ensemble, the mean of their probabilities.
        steps: of each run's checkpoint.
        errors: over all images.
        classes: per class, in label order.
        confusions: the most frequent, most frequent first.
    """

    shards: str
    method: str
    runs: tuple[str, ...]
    steps: tuple[int, ...]
    errors: ErrorRates
    classes: tuple[ClassErrors, ...]
    confusions: tuple[Confusion, ...]

    def __repr__(self) -> str:
        return f"Evaluation({', '.join(self.runs)} on {self.shards}, {self.errors})"

    def _repr_html_(self) -> str:
        rows = [("all images", self.errors.total_images, self.errors.top1_error, self.errors.top5_error)]
        rows += [(row.name, row.images, row.top1_error, row.top5_error) for row in self.classes]
        return html_table(
            ["class", "images", "top-1 error", "top-5 error"],
            [(name, f"{images:,}", f"{top1:.1%}", f"{top5:.1%}") for name, images, top1, top5 in rows],
        )


@takes_options(EvaluateOptions)
def evaluate(
    runs: Path | str | Sequence[Path | str], *, shards: Path | str, progress: Progress = True, **options: Any
) -> Evaluation:
    """Count the errors of a run's newest network, or of the mean of several runs' probabilities.

    The evaluation of a single run is kept in its folder, for its report.

    Args:
        runs: run folder, or several.
        shards: the data set to evaluate on.
        progress: True shows a bar, False nothing; or a function that gets events.
        **options: see `EvaluateOptions`.

    Raises:
        RefusedError: a folder holds no run, or its classes are not the shards'.
        PipelineError: an image was missed or counted twice.
    """
    chosen = make(EvaluateOptions, options)
    folders = [Path(run) for run in ([runs] if isinstance(runs, (str, Path)) else runs)]
    if not folders:
        raise RefusedError("`runs`: found none; expected at least one run folder")
    opened = open_shards(shards)
    with reporting(progress) as report:
        predictions = predict(folders, opened, crops=chosen.crops, device=chosen.device, report=report)
    best = best_classes(predictions.probabilities)
    if chosen.predictions:
        write_whole(chosen.predictions, _prediction_lines(opened, predictions, best))
    evaluation = _evaluation(folders, opened, predictions, best, PROTOCOLS[chosen.crops])
    if len(folders) == 1:
        _keep(folders[0], evaluation)
    return evaluation


def read_evaluations(run: Path, report: Report) -> tuple[Evaluation, ...]:
    """Every evaluation that is kept with a run; a file that is none is left out with a warning."""
    evaluations = []
    for path in sorted((run / EVALUATIONS).glob("*.json")):
        try:
            evaluations.append(from_json(path.read_bytes(), Evaluation))
        except (OSError, ValueError) as error:
            warn_to(report)(f"{path} is not an evaluation ({error}) and is left out; run `evaluate` again")
    return tuple(evaluations)


def measure(
    network: torch.nn.Module, loader: Loader, process: Process, forward: Callable[[Tensor], Tensor]
) -> ErrorRates:
    """Centre-crop errors of a network in training, over all processes.

    Raises:
        PipelineError: an image was missed or counted twice.
    """
    network.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=process.device)
    share = -(-BATCH_IMAGES // process.world)
    with torch.no_grad():
        for step, (mine, my_labels) in enumerate(loader, 1):
            images, labels = process.exchange.batch(mine, my_labels, share, full=step < len(loader))
            if not len(labels):
                continue
            scores = forward(images).float()
            sums[0] += functional.cross_entropy(scores, labels, reduction="sum")
            wrong1, wrong5 = _wrong(best_classes(scores), labels)
            sums[1] += wrong1.sum()
            sums[2] += wrong5.sum()
            sums[3] += len(labels)
    network.train()
    loss, wrong1, wrong5, count = process.sum_over_replicas(sums).tolist()
    check_count(round(count), loader.shards)
    return error_rates(PROTOCOLS[1], round(count), loss, round(wrong1), round(wrong5))


def _wrong(best: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image, whether its best class is wrong, and whether all of its best classes are."""
    return best[:, 0] != labels, (best != labels[:, None]).all(1)


def _evaluation(
    runs: Sequence[Path], shards: ShardSet, predictions: Predictions, best: Tensor, protocol: str
) -> Evaluation:
    labels, classes = predictions.labels, shards.manifest.classes
    wrong1, wrong5 = _wrong(best, labels)
    chances = predictions.probabilities[torch.arange(len(labels)), labels].clamp_min(1e-12)
    loss_sum = float(-chances.log().sum())
    return Evaluation(
        shards=utf8(str(shards.folder)),
        method=shards.manifest.options.method,
        runs=tuple(utf8(str(run)) for run in runs),
        steps=predictions.steps,
        errors=error_rates(protocol, len(labels), loss_sum, int(wrong1.sum()), int(wrong5.sum())),
        classes=_class_errors(classes, labels, wrong1, wrong5),
        confusions=_confusions(classes, labels, best[:, 0]),
    )


def _class_errors(classes: Sequence[str], labels: Tensor, wrong1: Tensor, wrong5: Tensor) -> tuple[ClassErrors, ...]:
    images = torch.bincount(labels, minlength=len(classes))
    top1, top5 = (
        torch.bincount(labels, wrong.double(), len(classes)) / images.clamp_min(1) for wrong in (wrong1, wrong5)
    )
    return tuple(map(ClassErrors, classes, images.tolist(), top1.tolist(), top5.tolist()))


def _confusions(classes: Sequence[str], labels: Tensor, first: Tensor) -> tuple[Confusion, ...]:
    positions: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position, (truth, taken) in enumerate(zip(labels.tolist(), first.tolist(), strict=True)):
        if truth != taken:
            positions[truth, taken].append(position)
    ordered = sorted(positions.items(), key=lambda item: (-len(item[1]), item[0]))[:CONFUSIONS]
    return tuple(
        Confusion(classes[truth], classes[taken], len(images), tuple(images[:EXAMPLES]))
        for (truth, taken), images in ordered
    )


def _keep(run: Path, evaluation: Evaluation) -> None:
    """Keep an evaluation with its run, where the report finds it."""
    shards = Path(evaluation.shards).resolve()
    name = f"{evaluation.errors.protocol.replace(' ', '-')}-{shards.parent.name}-{shards.name}.json"
    make_folder(run / EVALUATIONS)
    write_whole(run / EVALUATIONS / name, to_json(replace(evaluation, shards=str(shards)), indent=1))


def _prediction_lines(shards: ShardSet, predictions: Predictions, best: Tensor) -> bytes:
    classes, lines = shards.manifest.classes, []
    images = zip(shards.keys(), predictions.labels.tolist(), best.tolist(), predictions.probabilities, strict=True)
    for key, label, row, shares in images:
        top = [{"class": classes[taken], "probability": round(float(shares[taken]), 6)} for taken in row]
        lines.append(json.dumps({"key": key, "truth": classes[label], "best": top}) + "\n")
    return "".join(lines).encode("ascii")
