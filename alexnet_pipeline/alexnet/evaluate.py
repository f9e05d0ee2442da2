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
from alexnet_pipeline.dataset.cache import check_cache, open_sets
from alexnet_pipeline.dataset.choose import choose_set
from alexnet_pipeline.dataset.manifest import Manifest
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.files import make_folder, read_whole, write_whole
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.progress import Progress, Report, reporting, warn_to
from alexnet_pipeline.records import PathText, Steps, from_json, to_json
from alexnet_pipeline.storage.place import StrPath, locate, resolved
from alexnet_pipeline.text import html_table

EVALUATIONS = "evaluations"
# Confusions and examples of each that an evaluation keeps.
CONFUSIONS, EXAMPLES = 24, 4
# Classes up to which it keeps all counts of its confusions.
MATRIX_CLASSES = 20


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """Error rates of one class's images.

    Attributes:
        name: of the class.
        images: of it.
        top1_error: share of them.
        top5_error: share of them.
        words: of the class, like `tench, Tinca tinca`; empty where they are unknown.
    """

    name: str
    images: int
    top1_error: float
    top5_error: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class Confusion:
    """A class taken for another.

    Attributes:
        truth: class name.
        predicted: class name.
        count: images.
        examples: some of their positions in the shards.
        truth_words: words of the class; empty where they are unknown.
        predicted_words: likewise.
    """

    truth: str
    predicted: str
    count: int
    examples: tuple[int, ...]
    truth_words: str = ""
    predicted_words: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """Error rates of a network, or of an ensemble, on a data set.

    Attributes:
        shards: folder or URL.
        method: downsampling method of the shards.
        runs: run folders; more than one is an ensemble, the mean of their probabilities.
        steps: of each run's checkpoint.
        errors: over all images.
        classes: per class, in label order.
        confusions: the most frequent, most frequent first.
        matrix: images by class (row) and by the class that they were taken for (column), in label order; empty where
            classes are more than 20.
    """

    shards: PathText
    method: str
    runs: tuple[PathText, ...]
    steps: Steps
    errors: ErrorRates
    classes: tuple[ClassErrors, ...]
    confusions: tuple[Confusion, ...]
    matrix: tuple[tuple[int, ...], ...] = ()

    def __repr__(self) -> str:
        return f"Evaluation({', '.join(self.runs)} on {self.shards}, {self.errors})"

    def _repr_html_(self) -> str:
        overall = self.errors
        rows = [ClassErrors("all images", overall.total_images, overall.top1_error, overall.top5_error), *self.classes]
        return html_table(
            ["class", "words", "images", "top-1 error", "top-5 error"],
            [
                (row.name, row.words, f"{row.images:,}", f"{row.top1_error:.1%}", f"{row.top5_error:.1%}")
                for row in rows
            ],
        )


@takes_options(EvaluateOptions)
def evaluate(
    runs: Path | str | Sequence[Path | str], *, shards: StrPath, progress: Progress = True, **options: Any
) -> Evaluation:
    """Count the errors of a run's network, or of the mean of several runs' probabilities.

    The evaluation of a single run is kept in its folder, for its report.

    Args:
        runs: run folder, or several.
        shards: the data set to evaluate on, or a folder above it that `shard` wrote, of which the validation set is
            taken; a path, or a URL together with `cache`.
        progress: True shows a bar, False nothing; or a function that gets events.
        **options: see `EvaluateOptions`.

    Raises:
        RefusedError: a folder holds no run or no such checkpoint, or its classes are not the shards'.
        PipelineError: an image was missed or counted twice, or the checkpoint is damaged.
    """
    chosen = make(EvaluateOptions, options)
    folders = [Path(run) for run in ([runs] if isinstance(runs, (str, Path)) else runs)]
    if not folders:
        raise RefusedError("`runs`: found none; expected at least one run folder")
    with reporting(progress) as report:
        where = locate(shards)
        check_cache([where], chosen.cache)  # before a store is asked
        (opened,) = open_sets([choose_set(where, "val", "train")], chosen.cache, report)
        predictions = predict(
            folders,
            opened,
            checkpoint=chosen.checkpoint,
            crops=chosen.crops,
            device=chosen.device,
            report=report,
        )
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
            evaluations.append(from_json(read_whole(path), Evaluation))
        except (OSError, ValueError) as error:
            warn_to(report)(f"{path} is not an evaluation ({error}) and is left out; run `evaluate` again")
    return tuple(evaluations)


def measure(
    network: torch.nn.Module,
    loader: Loader,
    process: Process,
    forward: Callable[[Tensor], Tensor],
    tell: Callable[[int], None],
) -> ErrorRates:
    """Centre-crop errors of a network in training, over all processes.

    Args:
        network: that is put in evaluation mode, and back.
        loader: of the validation set.
        process: this one.
        forward: runs the network.
        tell: gets the number of images that all processes have done, after each batch.

    Raises:
        PipelineError: an image was missed or counted twice.
    """
    network.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=process.device)
    share = -(-BATCH_IMAGES // process.world)
    with torch.no_grad():
        for step, mine in enumerate(loader.crops(), 1):
            crops = process.exchange.batch(mine, share, full=step < len(loader))
            tell(min(step * share * process.world, len(loader.shards)))
            labels = crops.labels
            if not len(labels):
                continue
            scores = forward(loader.normalise(crops)).float()
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
    labels, manifest = predictions.labels, shards.manifest
    wrong1, wrong5 = _wrong(best, labels)
    chances = predictions.probabilities[torch.arange(len(labels)), labels].clamp_min(1e-12)
    loss_sum = float(-chances.log().sum())
    return Evaluation(
        shards=utf8(str(shards.origin)),
        method=manifest.options.method,
        runs=tuple(utf8(str(run)) for run in runs),
        steps=predictions.steps,
        errors=error_rates(protocol, len(labels), loss_sum, int(wrong1.sum()), int(wrong5.sum())),
        classes=_class_errors(manifest, labels, wrong1, wrong5),
        confusions=_confusions(manifest, labels, best[:, 0]),
        matrix=_matrix(len(manifest.classes), labels, best[:, 0]),
    )


def _class_errors(manifest: Manifest, labels: Tensor, wrong1: Tensor, wrong5: Tensor) -> tuple[ClassErrors, ...]:
    count = len(manifest.classes)
    images = torch.bincount(labels, minlength=count)
    top1, top5 = (torch.bincount(labels, wrong.double(), count) / images.clamp_min(1) for wrong in (wrong1, wrong5))
    words = map(manifest.words, range(count))
    return tuple(map(ClassErrors, manifest.classes, images.tolist(), top1.tolist(), top5.tolist(), words))


def _confusions(manifest: Manifest, labels: Tensor, first: Tensor) -> tuple[Confusion, ...]:
    positions: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position, (truth, taken) in enumerate(zip(labels.tolist(), first.tolist(), strict=True)):
        if truth != taken:
            positions[truth, taken].append(position)
    ordered = sorted(positions.items(), key=lambda item: (-len(item[1]), item[0]))[:CONFUSIONS]
    return tuple(
        Confusion(
            truth=manifest.classes[truth],
            predicted=manifest.classes[taken],
            count=len(images),
            examples=tuple(images[:EXAMPLES]),
            truth_words=manifest.words(truth),
            predicted_words=manifest.words(taken),
        )
        for (truth, taken), images in ordered
    )


def _matrix(classes: int, labels: Tensor, first: Tensor) -> tuple[tuple[int, ...], ...]:
    if classes > MATRIX_CLASSES:
        return ()
    counts = torch.bincount(labels * classes + first, minlength=classes**2).reshape(classes, classes)
    return tuple(tuple(row) for row in counts.tolist())


def _keep(run: Path, evaluation: Evaluation) -> None:
    """Keep an evaluation with its run, where the report finds it."""
    shards = resolved(locate(evaluation.shards))
    name = f"{evaluation.errors.protocol.replace(' ', '-')}-{shards.parent.name}-{shards.name}.json"
    make_folder(run / EVALUATIONS)
    write_whole(run / EVALUATIONS / name, to_json(replace(evaluation, shards=str(shards)), indent=1))


def _prediction_lines(shards: ShardSet, predictions: Predictions, best: Tensor) -> bytes:
    classes, lines = shards.manifest.classes, []
    words = [_words(shards.manifest, label) for label in range(len(classes))]
    images = zip(shards.keys(), predictions.labels.tolist(), best.tolist(), predictions.probabilities, strict=True)
    for key, label, row, shares in images:
        top = [
            {"class": classes[taken], **words[taken], "probability": round(float(shares[taken]), 6)} for taken in row
        ]
        lines.append(json.dumps({"key": key, "truth": classes[label], **words[label], "best": top}) + "\n")
    return "".join(lines).encode("ascii")


def _words(manifest: Manifest, label: int) -> dict[str, str]:
    """A class's words as a field of a JSON object, or no field where they are unknown."""
    words = manifest.words(label)
    return {"words": words} if words else {}
