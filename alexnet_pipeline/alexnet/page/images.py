"""The images of a run's report: filters of the first layer, and what an evaluation confused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet_pipeline.alexnet.checkpoint import load_newest
from alexnet_pipeline.alexnet.evaluate import Confusion, Evaluation
from alexnet_pipeline.alexnet.exchange import TOWERS
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS
from alexnet_pipeline.dataset.cache import open_sets
from alexnet_pipeline.dataset.npy import read_npy
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import PipelineError
from alexnet_pipeline.pages.charts import data_uri, png_uri
from alexnet_pipeline.progress import Report, warn_to
from alexnet_pipeline.storage.place import locate
from alexnet_pipeline.storage.remote import is_url

FIRST_LAYER = "conv1.weight"
# Confusions that are shown.
SHOWN_CONFUSIONS = 12
MIME = {"jpg": "image/jpeg", "png": "image/png"}
MAGIC = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


def filters_of(folder: Path, report_to: Report) -> list[list[tuple[str, float, float]]]:
    """The first layer's filters by tower, as figure 3 of the paper shows them: image, least and greatest weight."""
    try:
        checkpoint = load_newest(folder / CHECKPOINTS, report_to)
    except PipelineError as error:
        warn_to(report_to)(f"filters are left out: {error}")
        return []
    weights = checkpoint.weights[FIRST_LAYER].double().chunk(TOWERS) if checkpoint else ()
    return [[_filter(filter_) for filter_ in tower.numpy()] for tower in weights]


def confused_images(
    detailed: Evaluation | None, cache: Path | None, report_to: Report
) -> tuple[list[tuple[Confusion, Sequence[str]]], str]:
    """The most frequent confusions with their images; without images and with a note why, where they cannot be read."""
    if detailed is None:
        return [], ""
    shown = detailed.confusions[:SHOWN_CONFUSIONS]
    try:
        (shards,) = open_sets([locate(detailed.shards)], cache if is_url(detailed.shards) else None, report_to)
        return [(confusion, _images(shards, confusion)) for confusion in shown], ""
    except (PipelineError, OSError, ValueError) as error:
        return [(confusion, ()) for confusion in shown], f"Images are left out: {error}"


def _filter(weights: NDArray[np.float64]) -> tuple[str, float, float]:
    """A filter (3, height, width) as an image, and its least and greatest weight, which are drawn black and white."""
    values = np.nan_to_num(weights, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return png_uri(np.rint(scaled * 255).astype(np.uint8).transpose(1, 2, 0)), low, high


def _images(shards: ShardSet, confusion: Confusion) -> list[str]:
    kind, uris = MIME.get(shards.manifest.options.encoding), []
    for position in confusion.examples:
        same = 0 <= position < len(shards)
        if not same or shards.manifest.classes[shards.read_label(position)] != confusion.truth:
            raise PipelineError(f"{shards.origin} has changed since the evaluation; run `evaluate` again")
        data = shards.read_image(position)
        if kind and not data.startswith(MAGIC[kind]):  # a page must not carry a file that only claims to be an image
            raise PipelineError(f"{shards.folder}: image {position} is no {kind}; run `verify`")
        uris.append(data_uri(kind, data) if kind else png_uri(read_npy(data)))
    return uris
