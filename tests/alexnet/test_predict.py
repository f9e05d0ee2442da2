"""Probabilities of networks, and of their means."""

from pathlib import Path

import pytest
import torch

from alexnet_pipeline import open_shards
from alexnet_pipeline.alexnet.predict import check_alike, check_count, mean_probabilities, predict
from alexnet_pipeline.errors import PipelineError, RefusedError
from tests.alexnet.made import run, with_words


def test_predictions_are_probabilities_of_every_image(shards: Path, uninterrupted: Path) -> None:
    """In the shards' order, with the labels' truth; a moved crop and ten crops give others."""
    val = open_shards(shards / "val")
    first, moved = (predict([uninterrupted], val, shift_px=shift_px, device="cpu") for shift_px in (0, 1))
    torch.testing.assert_close(first.probabilities.sum(1), torch.ones(20))
    assert first.labels.tolist() == [val.read_label(sample) for sample in range(20)]
    assert first.steps == (50,)
    assert not torch.equal(first.probabilities, moved.probabilities)
    ten = predict([uninterrupted], val, crops=10, device="cpu").probabilities
    torch.testing.assert_close(ten.sum(1), torch.ones(20))
    assert not torch.allclose(ten, first.probabilities)


def test_an_ensemble_is_the_mean_of_its_networks(shards: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Of their probabilities, not of their scores."""
    run(shards, tmp_path, seed=1, steps=5)
    val = open_shards(shards / "val")
    one, other, both = (
        predict(runs, val, device="cpu") for runs in ([uninterrupted], [tmp_path], [uninterrupted, tmp_path])
    )
    torch.testing.assert_close(both.probabilities, (one.probabilities + other.probabilities) / 2)


def test_crops_are_averaged() -> None:
    """Each image's own."""
    images = torch.arange(12.0).reshape(2, 3, 2, 1, 1)
    found = mean_probabilities([lambda x: x.flatten(1)], images)
    torch.testing.assert_close(found, images.flatten(2).softmax(2).mean(1))


def test_torchs_generator_is_left_alone(shards: Path, uninterrupted: Path) -> None:
    """Networks that are loaded draw no weights of the user's."""
    before = torch.get_rng_state()
    predict([uninterrupted], open_shards(shards / "val"), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missed_image_is_an_error(shards: Path) -> None:
    """With both counts."""
    with pytest.raises(PipelineError, match="counted 19 images of 20"):
        check_count(19, open_shards(shards / "val"))


@pytest.mark.parametrize(("classes", "size_px", "words"), [(("n1",), 80, "other classes"), (None, 64, "80 pixels")])
def test_a_set_unlike_the_training_set_is_refused(shards: Path, classes, size_px: int, words: str) -> None:
    """Its labels or its crops would be others."""
    val = open_shards(shards / "val")
    check_alike(val, val.manifest.classes, 80, "the training set of runs/a")
    with pytest.raises(RefusedError, match=f"{val.folder} has .*{words}.* the training set of runs/a"):
        check_alike(val, classes or val.manifest.classes, size_px, "the training set of runs/a")


def test_words_do_not_make_sets_differ(shards: Path, tmp_path: Path) -> None:
    """A set sharded before words were kept, or from a source with other ones, has the same classes."""
    before, after = (with_words(shards / "val", tmp_path / name, name) for name in ("disc", "disk, disc"))
    for val in (before, after):
        check_alike(open_shards(val), open_shards(shards / "train").manifest.classes, 80, "the training set of runs/a")
    assert run(shards, tmp_path / "run", val=after, steps=1).errors
