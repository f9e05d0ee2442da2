"""Gradients and the update of section 5: v <- .9 v - .0005 e w - e g, w <- w + v."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from alexnet_pipeline.alexnet.exchange import TOWERS
from alexnet_pipeline.alexnet.network import AlexNet, take_towers
from alexnet_pipeline.alexnet.precision import LossScale, unscale
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.recipe import Recipe


def backward(
    scores: Tensor, labels: Tensor, count: int, process: Process, smoothing: float = 0.0, scale: float = 1.0
) -> Tensor:
    """Add this process's gradients of the mean loss over the images of a step.

    Args:
        scores: (N, classes) of this process's network.
        labels: (N,); an image with a label below 0 does not count.
        count: images of the step, over all networks.
        process: this one.
        smoothing: share of every label that is spread over all classes.
        scale: factor on the gradients.

    Returns:
        The summed loss of this network's images, detached.
    """
    wide = scores if scores.dtype == torch.float64 else scores.float()
    loss = functional.cross_entropy(wide, labels, reduction="sum", ignore_index=-1, label_smoothing=smoothing)
    # Replicas' gradients are averaged, so each needs its share of the sum that many times; and where each tower's
    # process computes the same loss, the exchange adds up the gradients of both.
    share = process.replica_count / (TOWERS if process.towers == "distributed" else 1)
    (loss * (scale * share / count)).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def make_optimizer(model: AlexNet, recipe: Recipe) -> torch.optim.SGD:
    """SGD with momentum and weight decay; biases may have their own learning rate and decay."""
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    weights = [p for name, p in model.named_parameters() if not name.endswith("bias")]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay, "factor": 1.0, "falls": True},
        {
            "params": biases,
            "weight_decay": recipe.bias_decay,
            "factor": recipe.bias_rate_factor,
            "falls": recipe.bias_rate_falls,
            "steady": recipe.learning_rate * recipe.bias_rate_factor,
        },
    ]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, fused=True)


def update(model: AlexNet, optimizer: torch.optim.SGD, scale: LossScale | None, process: Process) -> LossScale | None:
    """Take a step with the gradients; all processes call this together.

    Args:
        model: whose gradients are ready.
        optimizer: of its parameters.
        scale: of the loss that they are of; None where it was not scaled. A step whose gradients overflowed is left out
            in every process, or they would no longer have one network.
        process: this one.

    Returns:
        The scale of the next step.
    """
    finite = scale is None or not process.any(not unscale(model, scale))
    if finite:
        optimizer.step()
    return scale.after(finite=finite) if scale else None


def set_learning_rate(optimizer: torch.optim.SGD, rate: float, warmup_share: float = 1.0) -> None:
    """Set the learning rate as the paper's rule means it.

    Args:
        optimizer: of `make_optimizer`.
        rate: of weights.
        warmup_share: that `rate` contains; the rates that do not fall with it are warmed up all the same.

    The paper's velocity includes the rate of each step that it sums up; PyTorch multiplies its whole buffer by the
    current rate. So after a change of the rate the buffer is scaled, and the velocity stays.
    """
    for group in optimizer.param_groups:
        old, new = group["lr"], _rate_of(group, rate, warmup_share)
        if new == old:
            continue
        buffers = [optimizer.state[parameter].get("momentum_buffer") for parameter in group["params"]]
        held = [buffer for buffer in buffers if buffer is not None]
        if held:
            torch._foreach_mul_(held, old / new)  # on a GPU a launch for all of them, not one for each
        group["lr"] = new


def momentum(model: AlexNet, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """Momentum buffers of both towers by parameter, on the CPU; all processes call this together."""
    found = {}
    for name, parameters in model.parameters_by_name().items():
        buffers = [optimizer.state[parameter].get("momentum_buffer") for parameter in parameters]
        if buffers[0] is not None:
            found[name] = model.exchange.rows(buffers)
    return found


def _rate_of(group: dict[str, Any], rate: float, warmup_share: float) -> float:
    return float(rate * group["factor"] if group["falls"] else group["steady"] * warmup_share)


def load_momentum(
    model: AlexNet, optimizer: torch.optim.SGD, state: dict[str, Tensor], rate: float, warmup_share: float = 1.0
) -> None:
    """Inverse of `momentum`, for any arrangement of towers; rate and share of warm-up are those of the last step."""
    for group in optimizer.param_groups:
        group["lr"] = _rate_of(group, rate, warmup_share)
    exchange = model.exchange
    for name, parameters in model.parameters_by_name().items():
        for parameter, tower in zip(parameters, exchange.towers, strict=True):
            if name in state:
                rows = take_towers({name: state[name]}, tower, exchange.groups)[name]
                optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter.detach()).copy_(rows)
