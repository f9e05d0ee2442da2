"""The precision of the arithmetic: what convolutions and products of matrices are computed in; weights stay float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet_pipeline.alexnet.options import Precision
from alexnet_pipeline.errors import RefusedError

Forward = Callable[[Tensor], Tensor]

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Steps without an overflow after which the loss is scaled by twice as much.
GROWTH_STEPS = 2000


@dataclass(frozen=True, slots=True)
class LossScale:
    """The factor by which fp16 multiplies the loss, because gradients below 6e-8 would be 0.

    Attributes:
        factor: a power of 2; halved whenever a gradient overflows, and then the step is left out.
        good_steps: since the factor changed.
    """

    factor: float = 1024.0
    good_steps: int = 0

    def after(self, *, finite: bool) -> LossScale:
        """The scale of the next step."""
        if not finite:
            return LossScale(self.factor / 2)
        if self.good_steps + 1 == GROWTH_STEPS:
            return LossScale(self.factor * 2)
        return LossScale(self.factor, self.good_steps + 1)


# Of a run's first step.
FIRST_SCALE = LossScale()


def unscale(module: nn.Module, scale: LossScale) -> bool:
    """Divide a network's gradients by the factor of the loss; whether all are finite, which waits for the device."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    torch._foreach_div_(gradients, scale.factor)
    sums = [gradient.sum().to(gradients[0].device) for gradient in gradients]  # waited for once, not each
    return bool(torch.stack(sums).isfinite().all())


def precision_on(device: torch.device, asked: Precision) -> Precision:
    """The precision that is asked for; `auto` is bf16 on a GPU and fp32 on a CPU.

    Raises:
        RefusedError: the device does not have it.
    """
    on_gpu = device.type == "cuda"
    if asked == "tf32" and not on_gpu:
        raise RefusedError("`precision='tf32'` is a GPU's; choose fp32 or bf16 on a CPU")
    return asked if asked != "auto" else "bf16" if on_gpu else "fp32"


@contextmanager
def arithmetic(precision: Precision, *, try_kernels: bool = False) -> Iterator[None]:
    """Have GPUs compute in a precision; PyTorch's settings are put back at the end.

    `fp32` means it: by default PyTorch computes float32 convolutions in TF32, with 10 bits of mantissa rather than 23.

    Args:
        precision: of products of float32 numbers: rounded to TF32 before, or not.
        try_kernels: whether cuDNN times several kernels for each shape and takes the fastest, which may be another one
            in the next run.
    """
    cudnn, before = torch.backends.cudnn, torch.get_float32_matmul_precision()
    settings = cudnn.allow_tf32, cudnn.benchmark
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    cudnn.allow_tf32, cudnn.benchmark = precision != "fp32", try_kernels
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        cudnn.allow_tf32, cudnn.benchmark = settings


def forward_of(module: nn.Module, device: torch.device, precision: Precision, *, compiled: bool = False) -> Forward:
    """The network as a function: in a precision, and compiled where asked; on a GPU then launched as CUDA graphs."""
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    called: Forward = torch.compile(module, mode=mode) if compiled else module

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(device.type, HALF[precision]) if precision in HALF else nullcontext():
            return called(images)

    return forward
