"""Methods on the sample's images: nothing is lost, nothing depends on workers."""

import dataclasses
from pathlib import Path

import pytest

from alexnet_pipeline.comparison.measure.metrics import TIMES
from alexnet_pipeline.comparison.methods import compare_methods, sample_images
from alexnet_pipeline.comparison.options import CompareOptions
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.progress import Advance, Stage
from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.records import RawImage, Reject

METHODS = ("nearest", "lanczos", "lanczos3:scaled")
CHOICES = CompareOptions(methods=METHODS, size_px=64, scales=(1.465,), workers=1)


@pytest.fixture(scope="module")
def images(raw_folders: Path) -> list[RawImage]:
    """Ten of the sample's, the broken one among them."""
    (listing,) = open_source(raw_folders).read(("train",)).listings
    every = map(listing.image, range(len(listing)))
    chosen = [image for image in every if int(image.name.split("_")[-1].split(".")[0]) < 10]
    assert len(chosen) == 10
    return chosen


def run(images: list[RawImage], **given: object) -> Comparison:
    changes = {name: given.pop(name) for name in ("methods", "workers") if name in given}
    return compare_methods(images, dataclasses.replace(CHOICES, **changes), source="sample", **given)[0]


@pytest.fixture(scope="module")
def compared(images: list[RawImage]) -> Comparison:
    """By one worker."""
    return run(images)


def without_times(comparison: Comparison) -> Comparison:
    """The same without what a clock decides."""

    def kept(entries: tuple) -> tuple:
        return tuple(entry for entry in entries if entry.metric not in TIMES)

    return dataclasses.replace(
        comparison,
        methods=tuple(dataclasses.replace(each, measured=kept(each.measured)) for each in comparison.methods),
        tests=kept(comparison.tests),
        images=tuple(
            dataclasses.replace(each, values={name: v for name, v in each.values.items() if name not in TIMES})
            for each in comparison.images
        ),
    )


def test_a_broken_image_is_a_reject(images: list[RawImage], compared: Comparison) -> None:
    """Nine are measured, one is named with its reason; order is by key."""
    assert len(compared.images) == 9
    (reject,) = compared.rejects
    assert reject.reason == "truncated"
    assert {each.name for each in compared.images} | {reject.name} == {each.name for each in images}
    keys = [each.key for each in compared.images]
    assert keys == sorted(keys)


def test_workers_and_order_change_nothing(images: list[RawImage], compared: Comparison) -> None:
    """Two processes, and the images in reverse, give the same numbers; progress counts every image."""
    events: list = []
    other = run(images[::-1], workers=2, report=events.append)
    assert without_times(other) == without_times(compared)
    assert events[-11] == Stage("measure", 10)
    assert events[-10:] == [Advance(done) for done in range(1, 11)]


def test_two_names_of_one_method_do_not_differ(compared: Comparison) -> None:
    """Every test says identical but for time, and the verdict says so."""
    for test in compared.tests:
        if {test.first, test.second} == {"lanczos", "lanczos3:scaled"} and test.metric not in TIMES:
            assert (test.identical, test.p_value, test.difference) == (True, 1, 0)
    assert "lanczos and lanczos3:scaled do not differ: all 9 images are identical" in compared.verdict[2]
    means = {method.name: {mean.metric: mean for mean in method.measured} for method in compared.methods}
    assert means["lanczos"]["error_levels"].best
    assert means["lanczos3:scaled"]["error_levels"].best
    assert not means["nearest"]["error_levels"].near_best


def test_nearest_and_lanczos_differ_on_the_sample(compared: Comparison) -> None:
    """Fine stripes distinguish them, and the verdict says which is closer to the ideal."""
    assert "lanczos comes closest to an ideal low-pass and nearest is farthest from it" in compared.verdict[2]
    (test,) = (t for t in compared.tests if (t.metric, t.first, t.second) == ("error_levels", "nearest", "lanczos"))
    assert test.difference > 0
    assert test.p_value < 0.05


def test_every_number_is_there(compared: Comparison) -> None:
    """Each method has every metric, response and frequency; pairs are tested by what each has of its own."""
    names = [metric.name for metric in compared.metrics]
    for method in compared.methods:
        assert [mean.metric for mean in method.measured] == names
        assert [response.scale for response in method.responses] == [1.465]
        assert len(method.spectrum) == len(compared.spectrum_frequencies)
    assert all(set(image.values) == set(names) for image in compared.images)
    own = [metric.name for metric in compared.metrics if not metric.shared]
    assert [name for name in names if name not in own] == ["decode_ms"]
    assert len(compared.tests) == 3 * len(own)
    assert {test.metric for test in compared.tests} == set(own)
    assert all(metric.definition.endswith(".") for metric in compared.metrics)
    assert {"numpy", "opencv", "simplejpeg"} <= set(compared.versions)
    assert all(image.disagreement > 0 for image in compared.images)
    assert (compared.size_px, compared.geometry, compared.quality) == (64, "center-crop", 95)


def test_numbers_have_six_digits(compared: Comparison) -> None:
    """Means, responses, spectra, tests and images are rounded; the scale is the caller's."""
    method, image = compared.methods[0], compared.images[0]
    numbers = [mean.mean for mean in method.measured] + [*method.responses[0].gains, *method.spectrum]
    numbers += [test.difference for test in compared.tests] + [value for row in image.values.values() for value in row]
    assert all(float(f"{number:.6g}") == number for number in numbers)


def test_earlier_rejects_are_kept(images: list[RawImage]) -> None:
    """What the listing rejected comes first."""
    earlier = Reject("x", "empty", "0 bytes")
    comparison = run(images, methods=("nearest", "area"), rejects=[earlier])
    assert comparison.rejects[0] == earlier
    assert len(comparison.rejects) == 2


def test_no_readable_image_is_an_error(images: list[RawImage], tmp_path: Path) -> None:
    """Where all are rejected there is nothing to say; a missing file is a fault of the machine."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"x")
    about = {"path": str(broken), "offset": 0, "size_bytes": 1, "version": broken.stat().st_mtime_ns}
    with pytest.raises(PipelineError, match="none of the 1 images"):
        run([dataclasses.replace(images[0], **about)])
    with pytest.raises(PipelineError, match=r"cannot read .*gone"):
        run([dataclasses.replace(images[0], path=str(tmp_path / "gone"))])


@pytest.mark.parametrize(
    ("methods", "words"),
    [(("lanczos",), "at least two"), (("area", "area"), "lists one twice"), (("area", "lanzcos"), "lanczos")],
)
def test_methods_that_cannot_be_compared_are_refused(methods: tuple[str, ...], words: str) -> None:
    """One, the same twice, an unknown one: before any image is read."""
    with pytest.raises(RefusedError, match=words):
        run([], methods=methods)


def test_images_are_the_first_of_shards_order(raw_folders: Path) -> None:
    """The seed decides which images are drawn; the default split is val."""
    source = open_source(raw_folders)
    drawn = {seed: sample_images(source, CompareOptions(images=5, seed=seed))[0] for seed in (0, 1)}
    again, _ = sample_images(source, CompareOptions(images=7))
    assert [image.key for image in again[:5]] == [image.key for image in drawn[0]]
    assert [image.key for image in drawn[0]] != [image.key for image in drawn[1]]
    assert all("val" in image.path for image in again)
    assert all("train" in image.path for image in sample_images(source, CompareOptions(images=5, split="train"))[0])
