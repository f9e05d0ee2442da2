"""Response normalisation against the paper's sum, and its gradient against finite differences."""

import numpy as np
import pytest
import torch

from alexnet_pipeline.alexnet.normalize import LocalResponseNorm, SpatialResponseNorm


def oracle(x: np.ndarray, alpha: float, groups: int) -> np.ndarray:
    """Section 3.3, term by term, in float64."""
    y = np.empty_like(x)
    part = x.shape[1] // groups
    for channel in range(x.shape[1]):
        first = channel // part * part
        near = range(max(first, channel - 2), min(first + part, channel + 3))
        total = sum(x[:, other] ** 2 for other in near)
        y[:, channel] = x[:, channel] / (2 + alpha / 5 * total) ** 0.75
    return y


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (8, 2), (6, 2), (96, 2)])
def test_is_the_papers_sum_within_each_tower(channels: int, groups: int) -> None:
    """Against the formula, term by term."""
    x = np.random.default_rng(0).normal(0, 60, (2, channels, 3, 4))
    found = LocalResponseNorm(channels, 5e-4, groups)(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), oracle(x, 5e-4, groups), rtol=1e-12)


def test_alpha_means_what_torch_means_by_it() -> None:
    """Five times the paper's."""
    x = torch.randn(2, 10, 4, 4, dtype=torch.float64) * 50
    theirs = torch.nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
    torch.testing.assert_close(LocalResponseNorm(10, 5e-4)(x), theirs(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("groups", [1, 2])
def test_gradient_is_exact(groups: int) -> None:
    """Against finite differences."""
    x = (torch.randn(1, 8, 1, 2, dtype=torch.float64) * 5).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(8, 0.05, groups), (x,))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bf16_stays_bf16_and_close(layout: torch.memory_format) -> None:
    """Also under autocast, in either memory layout."""
    x = (torch.randn(4, 96, 7, 7) * 40).to(memory_format=layout)
    norm = LocalResponseNorm(96, 5e-4, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found.float(), norm(x), rtol=0.03, atol=0.05)


def test_only_the_input_is_saved() -> None:
    """Beside the constants; torch's own saves the squares and the denominators too."""
    x = torch.randn(1, 96, 5, 5, requires_grad=True)
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        LocalResponseNorm(96, 5e-4, 2)(x)
    assert [tuple(t.shape) for t in saved if t.numel() >= x.numel() and t.shape[0] == 1] == [tuple(x.shape)]


def test_spatial_norm_is_the_sources_sum() -> None:
    """Over 5x5 pixels of one channel, of which those beyond the edges are zero."""
    x = np.random.default_rng(0).normal(0, 60, (2, 3, 6, 7))
    expected = np.empty_like(x)
    for row, column in np.ndindex(6, 7):
        near = x[:, :, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        expected[:, :, row, column] = x[:, :, row, column] / (1 + 0.001 / 25 * (near**2).sum((2, 3))) ** 0.75
    np.testing.assert_allclose(SpatialResponseNorm()(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)
