"""Towers in several processes learn what one device learns."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from alexnet_pipeline.alexnet.exchange import Whole
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.recipe import NetworkOptions
from alexnet_pipeline.records import to_json
from tests.alexnet.made import finished, started
from tests.alexnet.towers_worker import five_steps

SMALL = NetworkOptions(classes=6, width=0.05, crop_px=67, dropout=0.0, weight_deviations=(0.05,) * 8)


@pytest.mark.parametrize(
    ("towers", "world"),
    [("distributed", 2), ("distributed", 4), ("one", 3)],
    ids=["two towers", "two pairs", "three copies with unequal parts"],
)
def test_processes_learn_what_one_device_learns(towers: str, world: int, tmp_path: Path) -> None:
    """Scores, every gradient, and weights and momentum after five steps, to 1e-12 in float64."""
    random = torch.Generator().manual_seed(0)
    batches = {}
    for step in range(5):
        batches[f"images-{step}"] = torch.randn(4, 3, 67, 67, dtype=torch.float64, generator=random) * 50
        batches[f"labels-{step}"] = torch.randint(0, 6, (4,), generator=random)
    save_file(batches, tmp_path / "batches.safetensors")
    arguments = [towers, str(tmp_path), to_json(SMALL).decode(), str(tmp_path / "found.safetensors")]
    with started("tests.alexnet.towers_worker", arguments, world) as processes:
        finished(processes)
    found = load_file(tmp_path / "found.safetensors")
    expected = five_steps(Process("one", 0, 1, Whole(torch.device("cpu")), None), SMALL, batches)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        same = value[: len(found[name])] if name == "scores" else value
        torch.testing.assert_close(found[name], same, rtol=1e-12, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")
