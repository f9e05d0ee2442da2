"""A step whose batch is taken in parts is the step of the whole batch."""

from pathlib import Path

import pytest
import torch

from alexnet_pipeline.alexnet.checkpoint import load_newest
from alexnet_pipeline.alexnet.metrics import read_metrics
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import silent
from tests.alexnet.made import FLAGS, finished, run, started, weights

# A rate so low that rounding does not grow; a step moves the weights of conv1 by 5e-5.
LOW = {"norm": "lrn", "learning_rate": 1e-4}


def assert_same_weights(found: Path, expected: Path) -> None:
    """To rounding."""
    wanted = weights(expected)
    for name, value in weights(found).items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=2e-7, msg=name)


def test_micro_batches_add_up_to_the_batch(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, log and counts are those of whole batches, over an epoch's short last one, of 11 images, too."""
    sizes: list[int] = []
    forward = AlexNet.forward

    def counted(network: AlexNet, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return forward(network, images)

    monkeypatch.setattr(AlexNet, "forward", counted)
    whole = run(shards / "train", tmp_path / "whole", steps=7, log_every=1, **LOW)
    assert sizes == [12, 12, 12, 12, 11, 12, 12]
    for parts, first, last in ((2, [6, 6], [6, 5]), (4, [3] * 4, [3, 3, 3, 2]), (12, [1] * 12, [1] * 11)):
        sizes.clear()
        name = str(parts)
        done = run(shards / "train", tmp_path / name, steps=7, log_every=1, grad_accum_steps=parts, **LOW)
        assert sizes == [*first * 4, *last, *first * 2]
        assert (done.images, done.loss) == (whole.images, pytest.approx(whole.loss, rel=1e-5))
        lines = [read_metrics(tmp_path / each).steps for each in ("whole", name)]
        assert [line.loss for line in lines[1]] == pytest.approx([line.loss for line in lines[0]], rel=1e-5)
        assert [line.top1_error for line in lines[1]] == [line.top1_error for line in lines[0]]
        assert_same_weights(tmp_path / name, tmp_path / "whole")


def test_replicas_may_take_different_numbers_of_micro_batches(shards: Path, tmp_path: Path) -> None:
    """59 images in batches of 56 leave 3: two micro-batches for one pair of processes, an empty one for the other."""
    run(shards / "train", tmp_path / "one", steps=4, batch_size=56, **LOW)
    flags = ["--batch-size", "56", "--norm", "lrn", "--learning-rate", "1e-4", "--grad-accum-steps", "14"]
    arguments = ["-q", "train", str(shards / "train"), "--run-dir", str(tmp_path / "four"), *FLAGS, "--steps", "4"]
    with started("alexnet_pipeline", [*arguments, *flags, "--timeout", "60"], world=4) as processes:
        finished(processes)
    assert_same_weights(tmp_path / "four", tmp_path / "one")


def test_statistics_are_those_of_micro_batches(shards: Path, tmp_path: Path) -> None:
    """Batch normalisation sees each of them as a batch."""
    run(shards / "train", tmp_path, steps=1, grad_accum_steps=3)
    assert weights(tmp_path)["conv1_norm.num_batches_tracked"] == 3


def test_micro_batches_that_do_not_fit_are_refused(shards: Path, tmp_path: Path) -> None:
    """Those that are not equal, and those without statistics; before anything is written."""
    with pytest.raises(RefusedError, match="`grad_accum_steps`: 12 images of a network cannot be taken in 5 equal"):
        run(shards, tmp_path / "run", grad_accum_steps=5)
    with pytest.raises(RefusedError, match="at least 2 images"):
        run(shards, tmp_path / "run", grad_accum_steps=12)
    assert not list((tmp_path / "run").glob("[!.]*"))


def test_another_number_of_micro_batches_goes_on(shards: Path, tmp_path: Path) -> None:
    """It is logged where it changes, and stays where it is not given."""
    run(shards / "train", tmp_path, steps=2, grad_accum_steps=3)
    run(shards / "train", tmp_path, steps=3, resume="auto")
    run(shards / "train", tmp_path, steps=4, resume="auto", grad_accum_steps=1)
    assert [line.changes for line in read_metrics(tmp_path).changes] == [
        ("total_steps: 2, now 3",),
        ("total_steps: 3, now 4", "grad_accum_steps: 3, now 1"),
    ]
    assert load_newest(tmp_path / "checkpoints", silent).state.identity.grad_accum_steps == 1
