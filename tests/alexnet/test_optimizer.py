"""The update is section 5's rule, for weights and for biases."""

import dataclasses

import pytest
import torch

from alexnet_pipeline.alexnet.exchange import Whole
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.optimizer import backward, load_momentum, make_optimizer, momentum, set_learning_rate
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.recipe import PAPER, SOURCE2012, NetworkOptions

CPU = torch.device("cpu")
SMALL = NetworkOptions(classes=4, width=0.05, crop_px=67, dropout=0.0)


def test_the_velocity_survives_a_drop_of_the_rate() -> None:
    """The paper's rule, step by step, against PyTorch's with the buffer corrected."""
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    groups = [{"params": [weight], "weight_decay": 5e-4, "factor": 1.0, "falls": True}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, fused=True)
    by_hand, velocity = 2.0, 0.0
    for rate, gradient in zip((0.1, 0.1, 0.01, 0.01, 0.001), (1.0, -2.0, 0.5, 0.25, 3.0), strict=True):
        set_learning_rate(optimizer, rate)
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        velocity = 0.9 * velocity - 5e-4 * rate * by_hand - rate * gradient
        by_hand += velocity
        assert float(weight.detach()) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("recipe", [PAPER, SOURCE2012], ids=lambda recipe: recipe.preset)
def test_biases_have_their_own_rate_and_decay(recipe) -> None:
    """Two steps of every parameter by hand: the source's biases move twice as fast, never slower, and do not decay."""
    model = AlexNet(SMALL, Whole(CPU)).double()
    optimizer = make_optimizer(model, recipe)
    by_hand = {name: (p.detach().clone(), torch.zeros_like(p)) for name, p in model.named_parameters()}
    for rate in (0.01, 0.001):
        set_learning_rate(optimizer, rate)
        for name, parameter in model.named_parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
            bias = name.endswith("bias")
            own_rate = rate
            if bias:
                own_rate = (rate if recipe.bias_rate_falls else recipe.learning_rate) * recipe.bias_rate_factor
            decay = recipe.bias_decay if bias else recipe.weight_decay
            value, velocity = by_hand[name]
            velocity = recipe.momentum * velocity - decay * own_rate * value - own_rate * 0.5
            by_hand[name] = (value + velocity, velocity)
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), by_hand[name][0], rtol=1e-12, atol=1e-14, msg=name)
    assert (SOURCE2012.bias_rate_factor, SOURCE2012.bias_rate_falls, SOURCE2012.bias_decay) == (2.0, False, 0.0)
    assert (PAPER.bias_rate_factor, PAPER.bias_decay) == (1.0, PAPER.weight_decay)


def test_biases_are_warmed_up_though_their_rate_stays() -> None:
    """The source's: to twice the first rate, whatever that of the weights falls to."""
    optimizer = make_optimizer(AlexNet(SMALL, Whole(CPU)), SOURCE2012)
    for rate, share, expected in ((0.0025, 0.25, 0.005), (0.01, 1.0, 0.02), (0.001, 1.0, 0.02)):
        set_learning_rate(optimizer, rate, share)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate, expected])


def test_momentum_is_saved_and_loaded() -> None:
    """An optimizer that loads another's buffers takes the same next step."""
    models = [AlexNet(SMALL, Whole(CPU), seed=1).double() for _ in range(2)]
    first, second = (make_optimizer(model, SOURCE2012) for model in models)
    _step(models[0], first, 0.01)
    models[1].load_grouped({name: parts[0] for name, parts in models[0].local_state().items()})
    load_momentum(models[1], second, momentum(models[0], first), 0.01)
    for model, optimizer in zip(models, (first, second), strict=True):
        _step(model, optimizer, 0.002)
    for (name, one), (_, other) in zip(*(model.named_parameters() for model in models), strict=True):
        assert torch.equal(one, other), name


def _step(model: AlexNet, optimizer: torch.optim.SGD, rate: float) -> None:
    set_learning_rate(optimizer, rate)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()


def test_gradients_are_of_the_mean_loss() -> None:
    """Over the images of the step; images with a label below 0 do not count."""
    scores = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 2, -1, 1, 1])
    summed = backward(scores, labels, 4, Process("one", 0, 1, Whole(CPU), None))
    own = scores.detach().clone().requires_grad_()
    mean = torch.nn.functional.cross_entropy(own[labels >= 0], labels[labels >= 0])
    mean.backward()
    torch.testing.assert_close(scores.grad, own.grad)
    torch.testing.assert_close(summed / 4, mean.detach())


def test_smoothed_labels_are_spread_over_all_classes() -> None:
    """The loss of .7 of each label, and of .3 of the mean over classes."""
    scores = torch.randn(4, 3, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1])
    summed = backward(scores.requires_grad_(), labels, 4, Process("one", 0, 1, Whole(CPU), None), smoothing=0.3)
    target = 0.7 * torch.eye(3, dtype=torch.float64)[labels] + 0.3 / 3
    torch.testing.assert_close(summed, -(target * scores.detach().log_softmax(1)).sum())


def test_weights_and_biases_are_all_updated() -> None:
    """No parameter is left out of both groups."""
    model = AlexNet(dataclasses.replace(SMALL, norm="batch"), Whole(CPU))
    grouped = [parameter for group in make_optimizer(model, PAPER).param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in model.parameters()}
