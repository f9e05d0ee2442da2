"""Finished data sets are compared key by key."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from alexnet_pipeline.comparison.options import CompareOptions
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.comparison.sets import compare_sets
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.shards.build import shard


@pytest.fixture(scope="module")
def sets(raw_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Validation sets: two methods, and one of them in another order, fewer, and of another shape."""
    root = tmp_path_factory.mktemp("sets")
    common = {"split": ["val"], "size": 64, "workers": 1, "progress": False}
    shard(raw_folders, root / "a", methods=["lanczos", "nearest"], **common)
    shard(raw_folders, root / "b", methods=["lanczos"], **common | {"seed": 5, "shard_size": 7})
    shard(raw_folders, root / "few", methods=["lanczos"], **common | {"limit": 12})
    shard(raw_folders, root / "small", methods=["lanczos"], **common | {"size": 32})
    return root


def run(*folders: Path, workers: int = 1) -> Comparison:
    return compare_sets(CompareOptions(shards=folders, workers=workers))[0]


def test_sets_are_compared_key_by_key(sets: Path) -> None:
    """Two methods differ; the first does not differ from itself; raw sizes come from the records."""
    comparison = run(sets / "a/lanczos/val", sets / "a/nearest/val")
    assert comparison.kind == "shards"
    assert len(comparison.images) == 20
    first, second = ({mean.metric: mean.mean for mean in method.measured} for method in comparison.methods)
    assert first["error_levels"] == 0
    assert second["error_levels"] > 1
    assert 0 < second["differing_share"] <= 1
    assert second["most_levels"] > 1
    assert "nearest differs from lanczos by" in comparison.verdict[1]
    assert all(image.scale > 1 and min(image.height_px, image.width_px) > 64 for image in comparison.images)


def test_provenance_is_the_first_sets(sets: Path) -> None:
    """Path, offset and size lead to the bytes of the sample whose digest is given."""
    import hashlib

    for image in run(sets / "b/lanczos/val", sets / "a/lanczos/val").images:
        data = Path(image.path).read_bytes()[image.offset : image.offset + image.size_bytes]
        assert hashlib.sha256(data).hexdigest() == image.sha256


def test_order_and_shards_do_not_matter(sets: Path) -> None:
    """The same images in other shards are the same; names have the folders; workers change nothing."""
    folders = [sets / "a/lanczos/val", sets / "b/lanczos/val"]
    comparison = run(*folders)
    assert [method.name for method in comparison.methods] == [f"lanczos ({folder})" for folder in folders]
    assert "do not differ: all 20 images are identical" in comparison.verdict[1]
    assert "same space" in comparison.verdict[2]
    assert run(*folders, workers=2) == comparison


def test_samples_are_read_again_for_the_gallery(sets: Path) -> None:
    """The reader gives one output per set, of the key that is asked for."""
    folders = (sets / "a/lanczos/val", sets / "a/nearest/val")
    comparison, read = compare_sets(CompareOptions(shards=folders, workers=1))
    worst = max(comparison.images, key=lambda image: image.values["most_levels"][1])
    first, second = read(worst)
    assert first.shape == second.shape == (64, 64, 3)
    assert abs(first.astype(int) - second).max() == worst.values["most_levels"][1]


def test_sets_that_cannot_be_compared_are_refused(sets: Path, tmp_path: Path) -> None:
    """Missing keys are counted on either side; one set, the same twice, no set, and another shape."""
    whole, few = sets / "a/lanczos/val", sets / "few/lanczos/val"
    with pytest.raises(RefusedError, match=r"few/lanczos/val lacks 8 keys.*lacks 0 of"):
        run(whole, few)
    with pytest.raises(RefusedError, match=r"lacks 0 keys.*lacks 8 of"):
        run(few, whole)
    with pytest.raises(RefusedError, match="at least two"):
        run(whole)
    with pytest.raises(RefusedError, match="lists one twice"):
        run(whole, whole)
    with pytest.raises(RefusedError, match="is missing"):
        run(whole, tmp_path)
    with pytest.raises(RefusedError, match=r"center-crop to 32 px.*center-crop to 64 px"):
        run(whole, sets / "small/lanczos/val")


def damaged(folder: Path, copy: Path, change) -> Path:
    """A copy of a set whose only tar is changed."""
    shutil.copytree(folder, copy)
    (tar,) = copy.glob("*.tar")
    tar.chmod(0o644)
    tar.write_bytes(change(tar.read_bytes()))
    return copy


def test_a_damaged_tar_is_an_error(sets: Path, tmp_path: Path) -> None:
    """A shard cut short is an error with its name, not a smaller comparison."""
    copy = damaged(sets / "a/lanczos/val", tmp_path / "copy", lambda data: data[: len(data) // 3])
    with pytest.raises(PipelineError, match=r"\.tar has"):
        run(sets / "a/nearest/val", copy)


def test_a_damaged_sample_is_a_reject(sets: Path, tmp_path: Path) -> None:
    """A sample that cannot be decoded is named by its key, and the others are compared."""
    comparison = run(sets / "a/lanczos/val", sets / "a/nearest/val")
    image = comparison.images[3]

    def change(data: bytes) -> bytes:
        end = image.offset + image.size_bytes
        return data[: end - 200] + bytes(200) + data[end:]

    copy = damaged(sets / "a/lanczos/val", tmp_path / "copy", change)
    again = run(copy, sets / "a/nearest/val")
    assert [reject.name for reject in again.rejects] == [image.key]
    assert [each.key for each in again.images] == [each.key for each in comparison.images if each.key != image.key]
    assert dataclasses.replace(again.images[0], path="") == dataclasses.replace(comparison.images[0], path="")
