"""What is computed in which precision."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from alexnet_pipeline.alexnet.checkpoint import load_newest
from alexnet_pipeline.alexnet.exchange import Whole
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.optimizer import backward
from alexnet_pipeline.alexnet.precision import GROWTH_STEPS, LossScale, arithmetic, forward_of, precision_on, unscale
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.recipe import NetworkOptions
from alexnet_pipeline.errors import RefusedError
from tests.alexnet.made import digest, run

CPU = torch.device("cpu")
SMALL = NetworkOptions(classes=6, width=0.05, crop_px=67, dropout=0.0, weight_deviations=(0.05,) * 8)


def test_what_a_device_has() -> None:
    """TF32 is a GPU's."""
    assert precision_on(CPU, "auto") == "fp32"
    assert precision_on(torch.device("cuda:0"), "auto") == "bf16"
    assert precision_on(torch.device("cuda:0"), "tf32") == "tf32"
    with pytest.raises(RefusedError, match="`precision='tf32'` is a GPU's"):
        precision_on(CPU, "tf32")


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True), ("bf16", True)])
def test_float32_means_float32(precision, tf32: bool) -> None:
    """PyTorch's settings say so, also for convolutions, and are put back."""
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    with arithmetic(precision, try_kernels=True):
        assert (torch.get_float32_matmul_precision() == "high") == cudnn.allow_tf32 == tf32
        assert cudnn.benchmark
    assert (torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark) == before


@pytest.mark.parametrize("norm", ["lrn", "none"])
def test_gradients_are_those_of_float32_rounded(norm) -> None:
    """Within what 8 bits of eight layers leave."""
    images, labels, found = torch.randn(4, 3, 67, 67) * 50, torch.arange(4), {}
    for precision in ("fp32", "bf16"):
        model = AlexNet(dataclasses.replace(SMALL, norm=norm), Whole(CPU))
        scores = forward_of(model, CPU, precision)(images)
        assert scores.dtype == (torch.float32 if precision == "fp32" else torch.bfloat16)
        backward(scores, labels, 4, Process("one", 0, 1, Whole(CPU), None))
        found[precision] = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name in ("stacks.0.conv1.weight", "stacks.0.fc8.weight"):
        rounded, exact = found["bf16"][name], found["fp32"][name]
        assert float((rounded - exact).norm() / exact.norm()) < 0.3, name
        assert not torch.equal(rounded, exact)


def test_float16_scales_the_loss_by_what_gradients_bear() -> None:
    """Where one overflows the factor is halved; after enough steps it is doubled."""
    scale = LossScale(64.0)
    assert scale.after(finite=False) == LossScale(32.0)
    for _ in range(GROWTH_STEPS - 1):
        scale = scale.after(finite=True)
    assert scale == LossScale(64.0, GROWTH_STEPS - 1)
    assert scale.after(finite=True) == LossScale(128.0)


def test_overflowing_gradients_are_found() -> None:
    """And others are divided by the factor."""
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad, layer.bias.grad = torch.tensor([[8.0, 16.0]]), torch.tensor([4.0])
    assert unscale(layer, LossScale(4.0))
    assert layer.weight.grad.tolist() == [[2.0, 4.0]]
    layer.weight.grad[0, 1] = -torch.inf
    assert not unscale(layer, LossScale(4.0))


@pytest.mark.parametrize("norm", ["lrn", "batch"])
def test_a_run_in_float16_learns_and_goes_on_exactly(shards: Path, tmp_path: Path, norm: str) -> None:
    """From unnormalised images: steps whose gradients overflow are left out, and the factor is part of a checkpoint."""
    how = {"precision": "fp16", "norm": norm, "log_every": 1}
    whole = run(shards, tmp_path / "whole", steps=12, **how)
    saved = load_newest(tmp_path / "whole" / "checkpoints", pytest.fail)
    assert saved.state.loss_scale.factor != LossScale().factor or saved.state.loss_scale.good_steps == 12
    assert whole.loss < 4
    first = run(shards, tmp_path / "cut", steps=12, checkpoint_every=5, keep_checkpoints=9, **how)
    assert first.steps == 12
    for path in (tmp_path / "cut" / "checkpoints").glob("step-*"):
        if int(path.name[-9:]) > 5:
            shutil.rmtree(path)
    run(shards, tmp_path / "cut", steps=12, resume="auto", **how)
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
