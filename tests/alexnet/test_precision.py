"""What is computed in which precision."""

import dataclasses

import pytest
import torch

from alexnet_pipeline.alexnet.exchange import Whole
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.optimizer import backward
from alexnet_pipeline.alexnet.precision import arithmetic, forward_of, precision_on
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.recipe import NetworkOptions
from alexnet_pipeline.errors import RefusedError

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
