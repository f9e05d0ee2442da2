"""Three sentences: they follow the numbers, whichever way those lie."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from alexnet_pipeline.compare.gather import gather
from alexnet_pipeline.compare.measure import MeasuredPicture
from alexnet_pipeline.compare.metrics import method_metrics, shard_metrics
from alexnet_pipeline.compare.records import Comparison, Metric, PictureNumbers, Response, Training
from alexnet_pipeline.compare.responses import dense_weights, response_of
from alexnet_pipeline.compare.verdict import verdict_of
from alexnet_pipeline.pixels.geometry import Axis
from alexnet_pipeline.pixels.kernels import find_method

TOTAL = 30
BASE = np.random.default_rng(0).normal(5, 1, TOTAL)


def response(name: str, weights_of: str) -> Response:
    """The response of one method's weights under a name."""
    return response_of(dense_weights(Axis(375, 256, 0, 256), find_method(weights_of)), name, 1.465)


def compared(
    names: Sequence[str],
    weights_of: Sequence[str],
    errors: Sequence[np.ndarray],
    metrics: Sequence[Metric] | None = None,
) -> Comparison:
    """A comparison of made-up errors; every other metric follows them."""
    metrics = metrics or method_metrics(90)
    pictures = [
        MeasuredPicture(
            PictureNumbers(
                f"{number:04}", "n", "p", 0, 1, "", 1, 1, 1.5, 0.0, (0, 0),
                {metric.name: tuple(float(error[number]) for error in errors) for metric in metrics},
            ),
            tuple((1.0,) for _ in names),
        )
        for number in range(TOTAL)
    ]  # fmt: skip
    shards = metrics[-1].name == "file_bytes"
    return gather(
        pictures,
        kind="shards" if shards else "methods",
        names=names,
        definitions=names,
        responses=[() if shards else (response(*each),) for each in zip(names, weights_of, strict=True)],
        metrics=metrics,
        rejects=(),
        source="s",
        command="",
        size_px=64,
        geometry="center-crop",
        quality=90,
        scales=(1.465,),
    )


def test_it_says_which_way_methods_differ() -> None:
    """Nearest against Lanczos: who aliases, who is nearer to the ideal, and by how much."""
    names = ("nearest", "lanczos")
    analytic, measured, training = compared(names, names, (BASE + 5, BASE)).verdict
    assert "nearest aliases most (0.0 dB" in analytic
    assert "lanczos least (-12.6 dB, with 87 % of the pass band kept)" in analytic
    assert "lanczos comes nearest to an ideal low-pass and nearest stays farthest" in measured
    assert "a difference of 5.00" in measured
    assert "No network was trained" in training
    assert "--train" in training


def test_other_weights_and_errors_change_it() -> None:
    """The same names with each other's weights and errors: the sentences turn round."""
    analytic, measured, _ = compared(("nearest", "lanczos"), ("lanczos", "nearest"), (BASE, BASE + 5)).verdict
    assert "lanczos aliases most" in analytic
    assert "nearest least" in analytic
    assert "nearest comes nearest to an ideal low-pass and lanczos stays farthest" in measured


def test_two_names_of_one_method_do_not_differ() -> None:
    """Alone, and beside another."""
    names = ("lanczos", "lanczos3:scaled")
    analytic, measured, _ = compared(names, names, (BASE, BASE)).verdict
    assert "all methods alias alike" in analytic
    assert measured == "lanczos and lanczos3:scaled do not differ: all 30 pictures are identical."
    names = ("lanczos", "nearest", "lanczos3:scaled")
    analytic, measured, _ = compared(names, names, (BASE, BASE + 5, BASE)).verdict
    assert "lanczos and lanczos3:scaled least" in analytic
    assert "lanczos and lanczos3:scaled do not differ: all 30 pictures are identical" in measured
    assert "lanczos comes nearest" in measured


def test_noise_is_called_noise() -> None:
    """A difference that a test does not find is not told as one."""
    jitter = np.random.default_rng(1).normal(0, 1, TOTAL)
    jitter -= jitter.mean() - 0.01
    measured = compared(("area", "bicubic"), ("area", "bicubic"), (BASE, BASE + jitter)).verdict[1]
    assert "no method's distance from an ideal low-pass differs from another's beyond noise" in measured
    names = ("area", "bicubic", "nearest")
    measured = compared(names, names, (BASE, BASE + jitter, BASE + 9)).verdict[1]
    assert "area comes nearest" in measured
    assert "no difference in it beyond noise between area and bicubic" in measured


def test_the_finding_of_training_takes_the_third_place() -> None:
    """Word for word."""
    found = compared(("area", "nearest"), ("area", "nearest"), (BASE, BASE + 1))
    training = Training("quarter", 1, 1, (0,), 1, (), (), (), (), "No difference was found.")
    assert verdict_of(dataclasses.replace(found, training=training))[2] == "No difference was found."


@pytest.mark.parametrize(("more", "words"), [(0.0, "do not differ"), (3.0, "b differs from a by")])
def test_shard_sets_have_sentences_of_their_own(more: float, words: str) -> None:
    """How far apart, how large, and that accuracy is another matter."""
    zero = np.zeros(TOTAL)
    pixels, sizes, accuracy = compared(("a", "b"), ("area", "area"), (zero, zero + more), shard_metrics("a")).verdict
    assert words in pixels
    assert ("same room" in sizes) == (more == 0)
    assert "no network was trained" in accuracy
