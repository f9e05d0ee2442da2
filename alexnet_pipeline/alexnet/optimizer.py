"""Scores and labels in, an updated network out: section 5's rule, v <- .9 v - .0005 e w - e g, w <- w + v."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from alexnet_pipeline.alexnet.exchange import TOWERS
from alexnet_pipeline.alexnet.network import AlexNet, take_towers
from alexnet_pipeline.alexnet.processes import Place
from alexnet_pipeline.alexnet.recipe import Recipe


def backward(scores: Tensor, labels: Tensor, count: int, place: Place) -> Tensor:
    """Add this process's gradients of the mean loss over a step's images.

    Args:
        scores: (N, classes) of this process's network.
        labels: (N,); what is below 0 counts for nothing.
        count: images of the step in all networks.
        place: of this process.

    Returns:
        The summed loss of this network's images, detached.
    """
    loss = functional.cross_entropy(
        scores.float() if scores.dtype != torch.float64 else scores, labels, reduction="sum", ignore_index=-1
    )
    # Replicas' gradients are averaged, so each needs its share of the sum that many times; and where each tower's
    # process computes the same loss, what comes back through the exchange is added up.
    share = place.replica_count / (TOWERS if place.towers == "distributed" else 1)
    (loss * (share / count)).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def make_optimiser(model: AlexNet, recipe: Recipe) -> torch.optim.SGD:
    """Momentum and weight decay; biases may have a rate and a decay of their own."""
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    weights = [p for name, p in model.named_parameters() if not name.endswith("bias")]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay, "factor": 1.0},
        {"params": biases, "weight_decay": recipe.bias_decay, "factor": recipe.bias_rate_factor},
    ]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, fused=True)


def set_learning_rate(optimiser: torch.optim.SGD, rate: float) -> None:
    """Set the learning rate as the paper's rule means it.

    The paper's velocity holds the rate of each step it was made at, PyTorch's buffer is multiplied by the rate of
    now: after a change the buffer must shrink or grow so that the velocity stays.
    """
    for group in optimiser.param_groups:
        new = rate * group["factor"]
        if new == group["lr"]:
            continue
        for parameter in group["params"]:
            buffer = optimiser.state[parameter].get("momentum_buffer")
            if buffer is not None:
                buffer.mul_(group["lr"] / new)
        group["lr"] = new


def momentum(model: AlexNet, optimiser: torch.optim.SGD) -> dict[str, Tensor]:
    """The optimiser's buffers of both towers by parameter, on the CPU; all processes call this together."""
    found = {}
    for name, parameters in model.parameters_by_name().items():
        buffers = [optimiser.state[parameter].get("momentum_buffer") for parameter in parameters]
        if buffers[0] is not None:
            found[name] = model.exchange.rows(buffers)
    return found


def load_momentum(model: AlexNet, optimiser: torch.optim.SGD, state: dict[str, Tensor], rate: float) -> None:
    """Inverse of `momentum`, whatever the arrangement of towers; `rate` is the one of the step that left it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    exchange = model.exchange
    for name, parameters in model.parameters_by_name().items():
        for parameter, tower in zip(parameters, exchange.towers, strict=True):
            if name in state:
                rows = take_towers({name: state[name]}, tower, exchange.groups)[name]
                optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter.detach()).copy_(rows)
