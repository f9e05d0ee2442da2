"""The network is the paper's, and the same in every arrangement of its towers."""

import dataclasses

import numpy as np
import pytest
import torch

from alexnet_pipeline.alexnet.exchange import Local, Whole
from alexnet_pipeline.alexnet.network import LAYERS, AlexNet, initial_state
from alexnet_pipeline.alexnet.recipe import PAPER, PRESETS, NetworkOptions
from alexnet_pipeline.errors import RefusedError

CPU = torch.device("cpu")
SMALL = NetworkOptions(classes=6, width=0.05, crop_px=67, dropout=0.0, weight_deviations=(0.05,) * 8)


def whole(options: NetworkOptions) -> AlexNet:
    return AlexNet(options, Whole(CPU))


def test_parameters_and_sizes_are_the_papers() -> None:
    """60,965,224 parameters; 55, 27, 13, 13, 13, 6 pixels."""
    model = whole(PAPER.network(1000, 224))
    assert sum(p.numel() for p in model.parameters()) == 60_965_224
    seen = {}
    x = torch.zeros(1, 3, 224, 224)
    for layer in LAYERS:
        x = model.stacks[0](x, layer)
        seen[layer] = tuple(x.shape[1:])
    assert seen == {
        "conv1": (96, 27, 27),
        "conv2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 6, 6),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    }


def test_conv1_overhangs_right_and_below() -> None:
    """55 windows, the last three pixels past the edge, where zero stands."""
    model = whole(dataclasses.replace(SMALL, crop_px=224, norm="none", pooling="plain"))
    stack = model.stacks[0]
    image = torch.randn(1, 3, 224, 224)
    padded = torch.zeros(1, 3, 227, 227)
    padded[:, :, :224, :224] = image
    by_hand = torch.nn.functional.max_pool2d(torch.relu(stack.conv1(padded)), 2, 2)
    torch.testing.assert_close(stack(image, "conv1"), by_hand)


def test_initial_weights_are_section_5s() -> None:
    """Deviation .01, and biases of 1 where the paper has them."""
    state = initial_state(PAPER.network(1000, 224), seed=0)
    for layer, bias in zip(LAYERS, (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
        assert float(state[f"{layer}.weight"].std()) == pytest.approx(0.01, rel=0.03)
        assert (state[f"{layer}.bias"] == bias).all()


def test_narrow_networks_keep_the_size_of_signals() -> None:
    """Their weights grow with the root of what is missing from the fan-in."""
    narrow = initial_state(dataclasses.replace(PAPER, width=0.25).network(1000, 224), seed=0)
    assert float(narrow["conv1.weight"].std()) == pytest.approx(0.01, rel=0.05)
    assert float(narrow["fc7.weight"].std()) == pytest.approx(0.02, rel=0.05)


def test_another_seed_gives_other_weights() -> None:
    """And the same seed the same."""
    first, again, other = (initial_state(SMALL, seed)["fc6.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_towers_meet_at_conv3_fc6_fc7_and_fc8_only() -> None:
    """A change of tower b's conv1 reaches tower a's conv3, without links only the scores, ungrouped all from conv2."""
    for change, reached in (
        ({}, LAYERS[2:]),
        ({"cross_links": False}, LAYERS[-1:]),
        ({"grouped": False}, LAYERS[1:]),
    ):
        model = AlexNet(dataclasses.replace(SMALL, norm="lrn", **change), Local((CPU, CPU))).double()
        images = torch.randn(2, 3, 67, 67, dtype=torch.float64) * 50
        before = _activations(model, images)
        with torch.no_grad():
            model.stacks[1].conv1.weight.add_(0.1)
        changed = {
            layer for layer, value in _activations(model, images).items() if not torch.equal(value, before[layer])
        }
        assert changed == {*reached}


def test_one_tower_of_half_the_kernels_is_section_3_2s() -> None:
    """Conv1 to conv4 have half the kernels, each of which sees all of the layer before; conv5 keeps its 256."""
    model = whole(dataclasses.replace(PAPER, grouped=False, conv_width=0.5).network(1000, 224))
    shapes = [tuple(model.stacks[0].get_parameter(f"{layer}.weight").shape) for layer in LAYERS]
    convolutions = [(48, 3, 11, 11), (128, 48, 5, 5), (192, 128, 3, 3), (192, 192, 3, 3), (256, 192, 3, 3)]
    assert shapes == [*convolutions, (4096, 9216), (4096, 4096), (1000, 4096)]


def test_small_crops_are_seen_at_a_stride_of_2() -> None:
    """A stride of 4 needs 64 pixels; one of 2 gives crops of 56 what 112 have at 4."""
    strides = {crop_px: PAPER.network(10, crop_px).conv1_stride for crop_px in (56, 63, 64, 224)}
    assert strides == {56: 2, 63: 2, 64: 4, 224: 4}
    assert dataclasses.replace(PAPER, pooling="plain").network(10, 56).conv1_stride == 2
    assert dataclasses.replace(PAPER, conv1_stride=3).network(10, 224).conv1_stride == 3
    small, large = (whole(dataclasses.replace(SMALL, crop_px=px, conv1_stride=px // 28)) for px in (56, 112))
    assert small.stacks[0].fc6.weight.shape == large.stacks[0].fc6.weight.shape
    assert small(torch.zeros(2, 3, 56, 56)).shape == (2, 6)


def _activations(model: AlexNet, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Tower a's output of every layer."""
    found: dict[str, torch.Tensor] = {}
    originals = [stack.forward for stack in model.stacks]

    def spy(x: torch.Tensor, layer: str) -> torch.Tensor:
        found[layer] = originals[0](x, layer)
        return found[layer]

    model.stacks[0].forward = spy  # type: ignore[method-assign]
    model(images)
    model.stacks[0].forward = originals[0]  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda r: r.preset)
@pytest.mark.parametrize("change", [{}, {"cross_links": False}, {"grouped": False, "conv_width": 2.0}], ids=str)
def test_one_device_and_two_give_the_same(preset, change: dict) -> None:
    """Scores of two stacks are those of one, in every preset."""
    options = dataclasses.replace(preset.network(7, 67), width=0.05, **change)
    images = torch.randn(3, 3, 67, 67, dtype=torch.float64) * 50
    one, two = whole(options).double().eval(), AlexNet(options, Local((CPU, CPU))).double().eval()
    scores = one(images)
    assert scores.shape == (3, 7)
    torch.testing.assert_close(scores, two(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "tanh"},
        {"pooling": "plain"},
        {"pooling": "max+average"},
        {"pooling": "blur"},
        {"norm": "none"},
        {"spatial_norm": True},
        {"width": 0.1},
        {"conv_width": 2.0},
        {"grouped": False},
        {"conv1_stride": 3},
    ],
    ids=str,
)
def test_ablations_build_another_network(change: dict) -> None:
    """Each option changes the scores."""
    images = torch.randn(2, 3, 67, 67) * 50
    assert not torch.equal(whole(SMALL).eval()(images), whole(dataclasses.replace(SMALL, **change)).eval()(images))


@pytest.mark.parametrize("after", [False, True])
def test_batch_norm_stands_before_or_after_the_activation(after: bool) -> None:
    """What leaves conv3 has mean 0 in every channel if it stands after, and no negative value if before."""
    stack = whole(dataclasses.replace(SMALL, norm="batch", norm_after_activation=after)).stacks[0]
    x = stack(torch.randn(4, stack.conv3.in_channels, 5, 5), "conv3")
    assert (x.min() < 0) == after
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(()), atol=1e-5) == after


def test_images_are_normalised_only_if_asked() -> None:
    """The batch norm of the input is CVGJ's."""
    for input_norm in (True, False):
        options = dataclasses.replace(PRESETS["batchnorm"].network(4, 67), width=0.05, input_norm=input_norm)
        assert ("input.running_mean" in whole(options).stacks[0].state_dict()) == input_norm


@pytest.mark.parametrize("pooling", ["overlapping", "plain", "max+average", "blur"])
@pytest.mark.parametrize("side", [13, 12, 3])
def test_pooling_is_its_definition(pooling: str, side: int) -> None:
    """Window by window, in NumPy."""
    stack = whole(dataclasses.replace(SMALL, pooling=pooling)).stacks[0]
    x = np.random.default_rng(side).normal(size=(2, 3, side, side))
    found = stack._pool(torch.from_numpy(x)).numpy()
    expected = _blur_pooled(x) if pooling == "blur" else _pooled(x, 2 if pooling == "plain" else 3, pooling)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def _pooled(x: np.ndarray, window: int, pooling: str) -> np.ndarray:
    count = (x.shape[-1] - window) // 2 + 1
    pooled = np.empty((*x.shape[:2], count, count))
    for row, column in np.ndindex(count, count):
        seen = x[:, :, 2 * row : 2 * row + window, 2 * column : 2 * column + window]
        pooled[:, :, row, column] = seen.max((2, 3)) + (seen.mean((2, 3)) if pooling == "max+average" else 0)
    return pooled


def _blur_pooled(x: np.ndarray) -> np.ndarray:
    side = x.shape[-1] - 2
    dense = np.empty((*x.shape[:2], side, side))
    for row, column in np.ndindex(side, side):
        dense[:, :, row, column] = x[:, :, row : row + 3, column : column + 3].max((2, 3))
    padded = np.pad(dense, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    count = (side - 1) // 2 + 1
    pooled = np.empty((*x.shape[:2], count, count))
    for row, column in np.ndindex(count, count):
        near = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        pooled[:, :, row, column] = (near * np.outer([1, 2, 1], [1, 2, 1]) / 16).sum((2, 3))
    return pooled


def test_too_small_a_crop_is_refused() -> None:
    """With what would do."""
    whole(dataclasses.replace(SMALL, crop_px=64))
    with pytest.raises(RefusedError, match=r"too small.* expected 64 pixels or more"):
        whole(dataclasses.replace(SMALL, crop_px=60))


def test_building_leaves_torchs_generator_alone() -> None:
    """A user's own draws go on as if no network had been made."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    whole(SMALL)
    assert torch.equal(torch.get_rng_state(), before)
