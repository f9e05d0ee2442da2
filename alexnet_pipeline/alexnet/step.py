"""A step of the optimizer: its batch, the gradients of it, at once or in parts, and the update."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from alexnet_pipeline.alexnet.optimizer import backward, set_learning_rate, update
from alexnet_pipeline.alexnet.run import Run
from alexnet_pipeline.alexnet.schedule import learning_rate, warmup_share
from alexnet_pipeline.alexnet.state import TrainState
from alexnet_pipeline.batches.crops import Crops


def joined(run: Run, crops: Crops, *, full: bool) -> tuple[Tensor, Tensor]:
    """The batch of this process's network, of which its towers' processes decoded a part each.

    Returns:
        images (N, 3, crop, crop) and labels (N,).
    """
    share = run.recipe.batch_images // run.process.world
    crops = run.process.exchange.batch(crops, share, full=full)
    labels = crops.labels
    if len(labels):
        return run.loader.normalise(crops), labels
    # A replica with nothing left at an epoch's end still takes part, with an image that does not count.
    side = run.identity.network.crop_px
    return torch.zeros(1, 3, side, side, device=labels.device), labels.new_full((1,), -1)


def take_step(run: Run, state: TrainState, images: Tensor, labels: Tensor, waited_s: float) -> TrainState:
    """Update the weights by the mean loss over a batch; all processes call this together.

    Args:
        run: of these weights.
        state: before the step.
        images: (N, 3, crop, crop) of this process's network.
        labels: (N,); an image with a label below 0 does not count.
        waited_s: time that the step waited for them.

    Returns:
        The state after it.
    """
    rate = learning_rate(run.recipe, state.step, len(run.loader), run.identity.total_steps, state.plateau)
    set_learning_rate(run.optimizer, rate, warmup_share(run.recipe, state.step, len(run.loader)))
    count = run.recipe.batch_images
    if not run.is_full(state.step):  # asking for the number waits for the device
        count = int(run.process.sum_over_replicas((labels >= 0).sum().double()))
    scale = state.loss_scale if run.half else None
    loss_sum, scores = _add_gradients(run, images, labels, count, scale.factor if scale else 1.0)
    scale = update(run.model, run.optimizer, scale, run.process)
    return replace(
        state,
        loss_scale=scale or state.loss_scale,
        step=state.step + 1,
        images=state.images + count,
        learning_rate=rate,
        sums=state.sums.add(loss_sum, scores, labels, waited_s),
    )


def _add_gradients(run: Run, images: Tensor, labels: Tensor, count: int, scale: float) -> tuple[Tensor, Tensor]:
    """Gradients of the mean loss over `count` images, times `scale`.

    Replicas average their gradients in the last micro-batch only. So they may have different numbers of micro-batches,
    as in an epoch's last batch.

    Returns:
        The summed loss, and the scores, of this network's images.
    """
    size = run.micro_batch_images
    parts = [slice(first, first + size) for first in range(0, len(labels), size)]
    run.optimizer.zero_grad(set_to_none=True)
    if run.options.grad_accum_steps > 1:  # in memory of their own: a CUDA graph reuses its own in the next part
        for parameter in run.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
    losses, scores = [], []
    for part in parts:
        with nullcontext() if part == parts[-1] else run.unsynced():
            found = run.forward(images[part])
            losses.append(backward(found, labels[part], count, run.process, run.recipe.label_smoothing, scale))
        scores.append(found.detach().clone() if len(parts) > 1 else found.detach())
    return torch.stack(losses).sum(), torch.cat(scores)
