"""Three sentences: they follow the numbers, whichever way those lie."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from alexnet_pipeline.comparison.gather import gather
from alexnet_pipeline.comparison.measure.image import MeasuredImage
from alexnet_pipeline.comparison.measure.metrics import method_metrics, shard_metrics
from alexnet_pipeline.comparison.measure.responses import dense_weights, response_of
from alexnet_pipeline.comparison.records import Comparison, ImageResult, MethodResult, Metric, NetworkResults, Response
from alexnet_pipeline.comparison.verdict import verdict_of
from alexnet_pipeline.pixels.geometry import Axis
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import Conversion

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
    images = [
        MeasuredImage(
            ImageResult(
                f"{number:04}", "n", "p", 0, 1, "", 1, 1, 1.5, 0.0, (0, 0),
                {metric.name: tuple(float(error[number]) for error in errors) for metric in metrics},
            ),
            tuple((1.0,) for _ in names),
        )
        for number in range(TOTAL)
    ]  # fmt: skip
    shards = metrics[-1].name == "file_bytes"
    responses = [() if shards else (response(*each),) for each in zip(names, weights_of, strict=True)]
    return gather(
        images,
        [MethodResult(name, name, each) for name, each in zip(names, responses, strict=True)],
        metrics,
        kind="shards" if shards else "methods",
        conversion=Conversion(size_px=64),
        rejects=(),
        source="s",
        command="",
        scales=(1.465,),
    )


def test_it_says_which_way_methods_differ() -> None:
    """Nearest against Lanczos: who aliases, who is nearer to the ideal, and by how much."""
    names = ("nearest", "lanczos")
    analytic, measured, training = compared(names, names, (BASE + 5, BASE)).verdict
    assert "nearest aliases most (0.0 dB: nothing above Nyquist is removed)" in analytic
    assert "lanczos least (-12.6 dB, with 87 % of the pass band kept)" in analytic
    assert "lanczos comes closest to an ideal low-pass and nearest is farthest from it" in measured
    assert "a difference of 5.00" in measured
    assert training.startswith("No networks were trained, so this report cannot say which method is more accurate.")
    assert "`train`" in training


def test_other_weights_and_errors_change_it() -> None:
    """The same names with each other's weights and errors: the sentences turn round."""
    analytic, measured, _ = compared(("nearest", "lanczos"), ("lanczos", "nearest"), (BASE, BASE + 5)).verdict
    assert "lanczos aliases most" in analytic
    assert "nearest least" in analytic
    assert "nearest comes closest to an ideal low-pass and lanczos is farthest from it" in measured


def test_two_names_of_one_method_do_not_differ() -> None:
    """Alone, and beside another."""
    names = ("lanczos", "lanczos3:scaled")
    analytic, measured, _ = compared(names, names, (BASE, BASE)).verdict
    assert "all methods alias equally" in analytic
    assert measured == "lanczos and lanczos3:scaled do not differ: all 30 images are identical."
    names = ("lanczos", "nearest", "lanczos3:scaled")
    analytic, measured, _ = compared(names, names, (BASE, BASE + 5, BASE)).verdict
    assert "lanczos and lanczos3:scaled least" in analytic
    assert "lanczos and lanczos3:scaled do not differ: all 30 images are identical" in measured
    assert "lanczos comes closest" in measured


def test_noise_is_called_noise() -> None:
    """A difference that a test does not find is not told as one."""
    jitter = np.random.default_rng(1).normal(0, 1, TOTAL)
    jitter -= jitter.mean() - 0.01
    measured = compared(("area", "bicubic"), ("area", "bicubic"), (BASE, BASE + jitter)).verdict[1]
    assert "no two methods differ significantly in their distance from an ideal low-pass" in measured
    measured = compared(("area", "bicubic"), ("area", "bicubic"), (BASE, BASE[::-1])).verdict[1]
    assert "no two methods differ significantly" in measured  # the means are equal, the images are not
    names = ("area", "bicubic", "nearest")
    measured = compared(names, names, (BASE, BASE + jitter, BASE + 9)).verdict[1]
    assert "area comes closest" in measured
    assert "it does not differ significantly between area and bicubic" in measured


def test_the_finding_of_training_takes_the_third_place() -> None:
    """Word for word."""
    found = compared(("area", "nearest"), ("area", "nearest"), (BASE, BASE + 1))
    training = NetworkResults("quarter", 1, 1, (0,), 1, (), (), (), (), "No difference was found.")
    assert verdict_of(dataclasses.replace(found, training=training))[2] == "No difference was found."


@pytest.mark.parametrize(("more", "words"), [(0.0, "do not differ"), (3.0, "b differs from a by")])
def test_shard_sets_have_sentences_of_their_own(more: float, words: str) -> None:
    """How far apart, how large, and that accuracy is another matter."""
    zero = np.zeros(TOTAL)
    pixels, sizes, accuracy = compared(("a", "b"), ("area", "area"), (zero, zero + more), shard_metrics("a")).verdict
    assert words in pixels
    assert ("same space" in sizes) == (more == 0)
    assert "No networks were trained" in accuracy
