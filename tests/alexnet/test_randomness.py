"""Dropout draws other masks for each tower, wherever the towers are, and goes on as it was."""

import dataclasses
from pathlib import Path

import pytest
import torch

from alexnet_pipeline.alexnet.checkpoint import load_newest, newest_path, save_checkpoint
from alexnet_pipeline.alexnet.exchange import Local, Whole
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.randomness import gather_random, seeded, set_random
from alexnet_pipeline.alexnet.recipe import NetworkOptions
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Message, silent
from tests.alexnet.made import run

CPU, GPUS = torch.device("cpu"), (torch.device("cuda:0"), torch.device("cuda:1"))


@pytest.fixture
def generators(monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Generator, ...]:
    """Those of two GPUs, which are a CPU's here; all else that asks for a GPU would fail."""
    found = (torch.Generator(), torch.Generator())
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "default_generators", found)
    return found


def messages(events: list) -> list[str]:
    """Those that tell of other devices."""
    return [event.text for event in events if isinstance(event, Message) and "devices (" in event.text]


def test_towers_on_one_device_draw_different_masks() -> None:
    """Of equal weights and equal inputs."""
    process = Process("local", 0, 1, Local((CPU, CPU)), None)
    model = AlexNet(NetworkOptions(classes=4, width=0.05, crop_px=67), process.exchange)
    first, second = model.stacks
    second.load_state_dict(first.state_dict())
    inputs = torch.rand(3, first.fc6.in_features)
    with seeded(process, 0):
        assert not torch.equal(first(inputs, "fc6") == 0, second(inputs, "fc6") == 0)
    model.eval()
    assert torch.equal(first(inputs, "fc6"), second(inputs, "fc6"))


def test_towers_on_two_devices_draw_from_different_seeds(generators) -> None:
    """The seeds that towers in two processes have; another run shares none of them."""
    used = []
    for seed in (0, 1):
        for process in [
            Process("local", 0, 1, Local(GPUS), None),
            *(Process("distributed", rank, 2, Whole(GPUS[rank]), None) for rank in range(2)),
        ]:
            with seeded(process, seed):
                used.append([generators[device.index].initial_seed() for device in process.exchange.devices])
    assert used == [[0, 1], [0], [1], [1_000_003, 1_000_004], [1_000_003], [1_000_004]]


def test_every_devices_generator_is_saved_and_restored(generators) -> None:
    """And put back at the end, as the caller had it."""
    process = Process("local", 0, 1, Local(GPUS), None)
    for number, generator in enumerate(generators):
        generator.manual_seed(77 + number)
    with seeded(process, 5):
        saved = gather_random(process)
        assert saved.keys() == {"cpu-0", "gpu0-0", "gpu1-0"}
        drawn = [torch.rand(3, generator=generator) for generator in generators]
        assert set_random(process, saved) == ""
        for generator, numbers in zip(generators, drawn, strict=True):
            assert torch.equal(torch.rand(3, generator=generator), numbers)
    for number, generator in enumerate(generators):
        assert torch.equal(generator.get_state(), torch.Generator().manual_seed(77 + number).get_state())


@pytest.mark.parametrize(
    ("saved", "exchange", "moved"),
    [
        (("cpu-0",), Local(GPUS), "CPU in 1 process, now 2 GPUs in 1 process"),
        (("cpu-0", "gpu0-0", "gpu1-0"), Whole(CPU), "2 GPUs in 1 process, now CPU in 1 process"),
        (("cpu-0", "gpu0-0", "cpu-1", "gpu0-1"), Local(GPUS), "2 GPUs in 2 processes, now 2 GPUs in 1 process"),
        (("cpu-0", "cpu-1"), Whole(CPU), "CPU in 2 processes, now CPU in 1 process"),
        (("cpu-0", "gpu0-0"), Local((GPUS[0], GPUS[0])), ""),
    ],
)
def test_other_devices_are_told(generators, saved: tuple[str, ...], exchange, moved: str) -> None:
    """What was not saved stays as it was seeded, differently on each device."""
    process = Process("local", 0, 1, exchange, None)
    with seeded(process, 0):
        assert set_random(process, dict.fromkeys(saved, torch.Generator().manual_seed(9).get_state())) == moved
        assert torch.default_generator.initial_seed() == 9
        if "gpu1-0" not in saved and GPUS[1] in exchange.devices:
            assert generators[1].initial_seed() == 1


def test_a_gpus_checkpoint_goes_on_on_a_cpu(shards: Path, tmp_path: Path) -> None:
    """In its precision, with a message that it is not exact; a checkpoint of the same device has none."""
    events: list = []
    run(shards, tmp_path, steps=2, dropout=0.5, precision="bf16")
    saved = load_newest(tmp_path / "checkpoints", silent)
    gpu = torch.zeros(16, dtype=torch.uint8)  # a GPU's generator: seed and offset
    elsewhere = dataclasses.replace(saved, random={"cpu-0": saved.random["cpu-0"], "gpu0-0": gpu})
    save_checkpoint(tmp_path / "checkpoints", elsewhere, keep=1)
    assert run(shards, tmp_path, steps=4, dropout=0.5, resume="auto", progress=events.append).steps == 4
    (message,) = messages(events)
    assert message.startswith("resumed on other devices (1 GPU in 1 process, now CPU in 1 process)")
    assert newest_path(tmp_path / "checkpoints").name == "step-000000004"
    run(shards, tmp_path, steps=5, dropout=0.5, resume="auto", progress=events.append)
    assert len(messages(events)) == 1
    with pytest.raises(RefusedError, match="precision: bf16, now fp32"):
        run(shards, tmp_path, steps=6, dropout=0.5, resume="auto", precision="fp32")
