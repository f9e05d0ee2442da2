"""Advice and three sentences: they follow the numbers, whichever way those lie."""

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
    shifts: Sequence[np.ndarray] | None = None,
) -> Comparison:
    """A comparison of made-up errors; every other metric follows them, but for the errors of shifts where given."""
    metrics = metrics or method_metrics(90)
    values = {metric.name: errors for metric in metrics} | ({"shift_error_levels": shifts} if shifts else {})
    images = [
        MeasuredImage(
            ImageResult(
                f"{number:04}", "n", "p", 0, 1, "", 1, 1, 1.5, 0.0, (0, 0),
                {name: tuple(float(error[number]) for error in of_methods) for name, of_methods in values.items()},
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
    _, analytic, measured, training = compared(names, names, (BASE + 5, BASE)).verdict
    assert "nearest aliases most (0.0 dB: nothing above Nyquist is removed)" in analytic
    assert "lanczos least (-12.6 dB, with 87 % of the pass band kept)" in analytic
    assert "lanczos comes closest to an ideal low-pass and nearest is farthest from it" in measured
    assert "a difference of 5.00" in measured
    assert training.startswith("No networks were trained, so this report cannot say which method is more accurate.")
    assert "`compare --train`" in training


def test_images_of_another_scale_are_no_surprise() -> None:
    """The weights are judged at one scale; the images may be shrunk by another, or enlarged."""
    found = compared(("a", "b"), ("nearest", "lanczos"), (BASE + 5, BASE))
    for scales, words in (
        ([1.5] * TOTAL, ""),
        ([3.5] * TOTAL, " the images of this comparison have 3.5 source pixels per output pixel (median)."),
        ([0.875] * TOTAL, f"0.875 source pixels per output pixel (median), and {TOTAL} of {TOTAL} are enlarged"),
        ([1.5] * (TOTAL - 1) + [0.9], ""),
    ):
        pairs = zip(found.images, scales, strict=True)
        images = tuple(dataclasses.replace(image, scale=scale) for image, scale in pairs)
        analytic = verdict_of(dataclasses.replace(found, images=images))[1]
        assert words in analytic
        assert ("of this comparison" in analytic) == bool(words)


def test_advice_names_a_method_for_each_purpose_and_the_price() -> None:
    """With the interval of the difference in either respect."""
    names = ("sharp", "middle", "soft")
    shifts = (BASE + 2, BASE + 1, BASE)
    advice = compared(names, ("lanczos", "area", "antialias"), (BASE, BASE + 1, BASE + 4), None, shifts).verdict[0]
    assert advice == (
        "Use sharp for fidelity, soft for stability under shifts. soft is 4.00 of 255 levels (4.00 to 4.00) further "
        "from an ideal low-pass than sharp; when an image moves by one pixel, sharp changes 2.00 of 255 levels (2.00 "
        "to 2.00) more than soft."
    )


def test_advice_says_no_more_than_the_tests() -> None:
    """Methods that are not clearly worse are named as well, also where they differ by rounding; or all, or one."""
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, TOTAL)
    noise -= noise.mean() - 0.2
    names, weights_of = ("sharp", "noisy", "rounded", "soft"), ("lanczos", "area", "lanczos", "antialias")
    errors = (BASE, BASE + noise, BASE + 0.02, BASE + 4)
    advice = compared(names, weights_of, errors, None, (BASE + 3, BASE + 3, BASE + 3, BASE)).verdict[0]
    assert advice.startswith(
        "Use sharp, rounded or noisy for fidelity, soft for stability under shifts. soft is 4.00 of"
    )
    undecided = compared(names[:2], weights_of[:2], errors[:2]).verdict[0]
    assert undecided.startswith("Use any of these methods: on these images no two differ clearly")
    best = compared(("a", "b"), ("area", "area"), (BASE, BASE + 1)).verdict[0]
    assert best == (
        "Use a: it is clearly the closest to an ideal low-pass, and changes clearly the least when an image moves by "
        "one pixel. a leads b by 1.00 of 255 levels (1.00 to 1.00) in fidelity and b by 1.00 of 255 levels (1.00 to "
        "1.00) in stability."
    )


def test_other_weights_and_errors_change_it() -> None:
    """The same names with each other's weights and errors: the sentences turn round."""
    _, analytic, measured, _ = compared(("nearest", "lanczos"), ("lanczos", "nearest"), (BASE, BASE + 5)).verdict
    assert "lanczos aliases most" in analytic
    assert "nearest least" in analytic
    assert "nearest comes closest to an ideal low-pass and lanczos is farthest from it" in measured


def test_two_names_of_one_method_do_not_differ() -> None:
    """Alone, and beside another."""
    names = ("lanczos", "lanczos3:scaled")
    advice, analytic, measured, _ = compared(names, names, (BASE, BASE)).verdict
    assert advice == "Use any of these methods: they give the same images."
    assert "all methods alias equally" in analytic
    assert measured == "lanczos and lanczos3:scaled do not differ: all 30 images are identical."
    names = ("lanczos", "nearest", "lanczos3:scaled")
    _, analytic, measured, _ = compared(names, names, (BASE, BASE + 5, BASE)).verdict
    assert "lanczos and lanczos3:scaled least" in analytic
    assert "lanczos and lanczos3:scaled do not differ: all 30 images are identical" in measured
    assert "lanczos comes closest" in measured


def test_noise_is_called_noise() -> None:
    """A difference that a test does not find is not told as one."""
    jitter = np.random.default_rng(1).normal(0, 1, TOTAL)
    jitter -= jitter.mean() - 0.01
    measured = compared(("area", "bicubic"), ("area", "bicubic"), (BASE, BASE + jitter)).verdict[2]
    assert "no two methods differ significantly in their distance from an ideal low-pass" in measured
    measured = compared(("area", "bicubic"), ("area", "bicubic"), (BASE, BASE[::-1])).verdict[2]
    assert "no two methods differ significantly" in measured  # the means are equal, the images are not
    names = ("area", "bicubic", "nearest")
    measured = compared(names, names, (BASE, BASE + jitter, BASE + 9)).verdict[2]
    assert "area comes closest" in measured
    assert "the error does not differ significantly between area and bicubic" in measured


def test_the_finding_of_training_takes_the_last_place() -> None:
    """Word for word."""
    found = compared(("area", "nearest"), ("area", "nearest"), (BASE, BASE + 1))
    training = NetworkResults("quarter", 1, 1, (0,), 1, (), (), (), (), "No difference was found.")
    assert verdict_of(dataclasses.replace(found, training=training))[3] == "No difference was found."


@pytest.mark.parametrize(("more", "words"), [(0.0, "do not differ"), (3.0, "b differs from a by")])
def test_shard_sets_have_sentences_of_their_own(more: float, words: str) -> None:
    """How far apart, how large, and that accuracy is another matter."""
    zero = np.zeros(TOTAL)
    advice, pixels, sizes, accuracy = compared(
        ("a", "b"), ("area", "area"), (zero, zero + more), shard_metrics("a")
    ).verdict
    assert advice.startswith("Do not mix these sets" if more else "Use any of these sets: they hold the same images.")
    assert words in pixels
    assert ("same space" in sizes) == (more == 0)
    assert "No networks were trained" in accuracy
