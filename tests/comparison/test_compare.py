"""Whole comparisons on the sample: nothing is lost, nothing depends on workers."""

import dataclasses
import gc
import os
import shutil
from pathlib import Path

import pytest

from alexnet_pipeline.api import shard
from alexnet_pipeline.compare.compare import compare_methods, compare_shards
from alexnet_pipeline.compare.crew import run_all
from alexnet_pipeline.compare.metrics import TIMES
from alexnet_pipeline.compare.records import Comparison
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.raw.source import open_source
from alexnet_pipeline.records import RawImage, Reject

METHODS = ("nearest", "lanczos", "lanczos3:scaled")


@pytest.fixture(scope="module")
def pictures(raw_folders: Path) -> list[RawImage]:
    """Ten of the sample's, the broken one among them."""
    (listing,) = open_source(raw_folders).listings(("train",))
    images = map(listing.image, range(len(listing)))
    chosen = [image for image in images if int(image.name.split("_")[-1].split(".")[0]) < 10]
    assert len(chosen) == 10
    return chosen


def run(pictures: list[RawImage], methods: tuple[str, ...] = METHODS, workers: int = 1, **given: object) -> Comparison:
    """A comparison at 64 pixels and one scale."""
    return compare_methods(
        pictures,
        methods,
        source="sample",
        size_px=64,
        scales=(1.465,),
        workers=workers,
        **given,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def compared(pictures: list[RawImage]) -> Comparison:
    """By one worker."""
    return run(pictures)


def without_times(found: Comparison) -> Comparison:
    """The same but for what a clock decides."""

    def kept(entries: tuple) -> tuple:
        return tuple(each for each in entries if each.metric not in TIMES)

    return dataclasses.replace(
        found,
        methods=tuple(dataclasses.replace(each, measured=kept(each.measured)) for each in found.methods),
        tests=kept(found.tests),
        pictures=tuple(
            dataclasses.replace(each, values={name: v for name, v in each.values.items() if name not in TIMES})
            for each in found.pictures
        ),
    )


def test_a_broken_picture_is_a_reject(pictures: list[RawImage], compared: Comparison) -> None:
    """Nine are measured, one is named with its reason; order is by key."""
    assert len(compared.pictures) == 9
    (reject,) = compared.rejects
    assert reject.reason == "truncated"
    assert {each.name for each in compared.pictures} | {reject.name} == {each.name for each in pictures}
    keys = [each.key for each in compared.pictures]
    assert keys == sorted(keys)


def test_workers_and_order_change_nothing(pictures: list[RawImage], compared: Comparison) -> None:
    """Two processes, and the pictures the other way round, give the same numbers."""
    seen: list[tuple[int, int]] = []
    other = run(pictures[::-1], workers=2, progress=lambda done, total: seen.append((done, total)))
    assert without_times(other) == without_times(compared)
    assert seen == [(done, 10) for done in range(11)]


def test_two_names_of_one_method_do_not_differ(compared: Comparison) -> None:
    """Every test says identical but for time, and the verdict says so."""
    for test in compared.tests:
        if {test.first, test.second} == {"lanczos", "lanczos3:scaled"} and test.metric not in TIMES:
            assert (test.identical, test.p_value, test.difference) == (True, 1, 0)
    assert "lanczos and lanczos3:scaled do not differ: all 9 pictures are identical" in compared.verdict[1]
    entries = {method.name: {e.metric: e for e in method.measured} for method in compared.methods}
    assert entries["lanczos"]["error_levels"].best
    assert entries["lanczos3:scaled"]["error_levels"].best
    assert not entries["nearest"]["error_levels"].near_best


def test_nearest_and_lanczos_differ_on_the_sample(compared: Comparison) -> None:
    """Fine stripes tell them apart, and the verdict says which is nearer to the ideal."""
    assert "lanczos comes nearest to an ideal low-pass and nearest stays farthest" in compared.verdict[1]
    (test,) = (t for t in compared.tests if (t.metric, t.first, t.second) == ("error_levels", "nearest", "lanczos"))
    assert test.difference > 0
    assert test.p_value < 0.05


def test_everything_is_told(compared: Comparison) -> None:
    """Each method has every metric, response and frequency, and every metric a definition."""
    names = [metric.name for metric in compared.metrics]
    for method in compared.methods:
        assert [entry.metric for entry in method.measured] == names
        assert [response.scale for response in method.responses] == [1.465]
        assert len(method.spectrum) == len(compared.spectrum_frequencies)
    assert all(set(picture.values) == set(names) for picture in compared.pictures)
    assert len(compared.tests) == 3 * len(names)
    assert all(metric.definition.endswith(".") for metric in compared.metrics)
    assert {"numpy", "opencv", "simplejpeg"} <= set(compared.versions)
    assert all(picture.disagreement > 0 for picture in compared.pictures)


def test_earlier_rejects_are_kept(pictures: list[RawImage]) -> None:
    """What the listing rejected comes first."""
    earlier = Reject("x", "empty", "0 bytes")
    found = run(pictures, ("nearest", "area"), rejects=[earlier])
    assert found.rejects[0] == earlier
    assert len(found.rejects) == 2


@pytest.mark.parametrize(
    ("methods", "words"),
    [(("lanczos",), "at least two"), (("area", "area"), "named twice"), (("area", "lanzcos"), "did you mean lanczos")],
)
def test_methods_that_cannot_be_compared_are_refused(
    pictures: list[RawImage], methods: tuple[str, ...], words: str
) -> None:
    """One, the same twice, an unknown one."""
    with pytest.raises(RefusedError, match=words):
        run(pictures, methods)


def test_no_readable_picture_is_an_error(pictures: list[RawImage], tmp_path: Path) -> None:
    """A missing file is a reject; with nothing left there is nothing to say."""
    gone = [dataclasses.replace(pictures[0], path=str(tmp_path / "gone"))]
    with pytest.raises(PipelineError, match="none of the 1 pictures"):
        run(gone)


def test_a_worker_that_dies_is_one_line() -> None:
    """No hang and no traceback of a pool."""
    with pytest.raises(PipelineError, match="a worker process died"):
        run_all(os._exit, [1] * 8, 2, gc.collect, None)


@pytest.fixture(scope="module")
def shard_sets(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Validation sets: two methods, and one of them again in another order and in smaller shards."""
    root = tmp_path_factory.mktemp("sets")
    shard(raw_folders, root / "a", methods=["lanczos", "nearest"], split=["val"], size=64, workers=1)
    shard(raw_folders, root / "b", methods=["lanczos"], split=["val"], size=64, seed=5, shard_size=7, workers=1)
    shard(raw_folders, root / "few", methods=["lanczos"], split=["val"], size=64, limit=12, workers=1)
    return root


def test_shard_sets_are_compared_key_by_key(shard_sets: Path) -> None:
    """Two methods differ; the first differs from itself by nothing."""
    found = compare_shards([shard_sets / "a/lanczos/val", shard_sets / "a/nearest/val"], workers=1)
    assert found.kind == "shards"
    assert len(found.pictures) == 20
    first, second = ({e.metric: e.mean for e in method.measured} for method in found.methods)
    assert first["error_levels"] == 0
    assert second["error_levels"] > 1
    assert 0 < second["differing_share"] <= 1
    assert second["most_levels"] > 1
    assert "nearest differs from lanczos by" in found.verdict[0]
    assert all(picture.scale > 1 for picture in found.pictures)


def test_order_and_shards_do_not_matter(shard_sets: Path) -> None:
    """The same pictures in other shards are the same; names tell the folders apart; workers change nothing."""
    folders = [shard_sets / "a/lanczos/val", shard_sets / "b/lanczos/val"]
    found = compare_shards(folders, workers=1)
    assert [method.name for method in found.methods] == [f"lanczos ({folder})" for folder in folders]
    assert "do not differ: all 20 pictures are identical" in found.verdict[0]
    assert "same room" in found.verdict[1]
    assert compare_shards(folders, workers=2) == found


def test_sets_that_cannot_be_compared_are_refused(shard_sets: Path, tmp_path: Path) -> None:
    """Missing keys are counted on either side; one set, the same twice, and no set at all."""
    whole, few = shard_sets / "a/lanczos/val", shard_sets / "few/lanczos/val"
    with pytest.raises(RefusedError, match=r"few/lanczos/val lacks 8 keys.*lacks 0 of"):
        compare_shards([whole, few], workers=1)
    with pytest.raises(RefusedError, match=r"lacks 0 keys.*lacks 8 of"):
        compare_shards([few, whole], workers=1)
    with pytest.raises(RefusedError, match="at least two"):
        compare_shards([whole], workers=1)
    with pytest.raises(RefusedError, match="named twice"):
        compare_shards([whole, whole], workers=1)
    with pytest.raises(RefusedError, match="is missing"):
        compare_shards([whole, tmp_path], workers=1)


def test_a_damaged_tar_is_told(shard_sets: Path, tmp_path: Path) -> None:
    """A shard cut short is an error with its name, not a smaller comparison."""
    copy = tmp_path / "copy"
    shutil.copytree(shard_sets / "a/lanczos/val", copy)
    (tar,) = copy.glob("*.tar")
    data = tar.read_bytes()
    tar.chmod(0o644)
    tar.write_bytes(data[: len(data) // 3])
    with pytest.raises(PipelineError, match=r"as a tar|lacks"):
        compare_shards([shard_sets / "a/nearest/val", copy], workers=1)
