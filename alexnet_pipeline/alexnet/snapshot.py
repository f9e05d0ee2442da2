"""A process's state in, what a run must find again out: gathered from all processes, and checked on resume."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from alexnet_pipeline.alexnet.processes import Place
from alexnet_pipeline.errors import RefusedError


def random_of_all(place: Place) -> dict[str, Tensor]:
    """Every process's generators; all processes call this together."""
    own = {"cpu": torch.get_rng_state()}
    if place.device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(place.device)
    found = {}
    for kind, value in own.items():
        for rank, state in enumerate(place.from_all(value.to(place.device))):
            found[f"{kind}-{rank}"] = state.cpu()
    return found


def set_random(place: Place, found: dict[str, Tensor]) -> None:
    """Inverse of `random_of_all`, for this process."""
    torch.set_rng_state(found[f"cpu-{place.rank}"])
    if place.device.type == "cuda":
        torch.cuda.set_rng_state(found[f"cuda-{place.rank}"], place.device)


def states_of_all(place: Place, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Every process's record, by rank; all processes call this together."""
    if place.world == 1:
        return [state]
    text = torch.frombuffer(bytearray(json.dumps(state).encode("ascii")), dtype=torch.uint8)
    sizes = [int(size) for size in place.from_all(torch.tensor(len(text), device=place.device))]
    padded = functional.pad(text, (0, max(sizes) - len(text))).to(place.device)
    texts = place.from_all(padded)
    return [json.loads(bytes(t[:size].cpu().tolist())) for t, size in zip(texts, sizes, strict=True)]


def check_same(state: dict[str, Any], mine: dict[str, Any], step: int) -> None:
    """Make sure that a checkpoint is of this very run.

    Args:
        state: of the checkpoint.
        mine: what must be the same, with a `recipe` and a `network`.
        step: of the checkpoint, for the message.

    Raises:
        RefusedError: it was made differently; the message says in what.
    """
    then, now = ({**part, **part.get("recipe", {}), **part.get("network", {})} for part in (state, mine))
    differing = [
        name
        for name in sorted(mine.keys() | mine["recipe"].keys() | mine["network"].keys())
        if name not in {"recipe", "network"} and then.get(name) != now.get(name)
    ]
    if differing:
        parts = ", ".join(f"{name}: {_short(then.get(name))} -> {_short(now.get(name))}" for name in differing)
        raise RefusedError(
            f"checkpoint {step} was made differently: {parts}; repeat those settings, or choose another --run-dir"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def plain(record: Any) -> dict[str, Any]:
    """A record as JSON gives it back."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record)))
    return found
