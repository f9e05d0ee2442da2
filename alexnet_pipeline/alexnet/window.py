"""Steps in, lines of metrics out; and the signals that end a run between two steps."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from alexnet_pipeline.alexnet.processes import Place


class Window:
    """Sums over the steps since the last line of metrics, kept on the device."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._started = time.perf_counter()
        self._rate = 0.0
        self.waited_s = 0.0
        self.steps = 0

    def add(self, loss_sum: Tensor, scores: Tensor, labels: Tensor, rate: float) -> None:
        """Count a step."""
        counted = labels >= 0
        self._sums[0] += loss_sum
        self._sums[1] += (scores.argmax(1) != labels).logical_and_(counted).sum()
        self._sums[2] += counted.sum()
        self._rate = rate
        self.steps += 1

    def loss(self, place: Place) -> float:
        """Mean loss so far; waits for the device."""
        sums = place.sum_over_replicas(self._sums.clone()).tolist()
        return float(sums[0] / max(1.0, sums[2]))

    def line(self, place: Place) -> dict[str, Any]:
        """The window as metrics."""
        loss, wrong, count = place.sum_over_replicas(self._sums.clone()).tolist()
        spent_s = max(1e-9, time.perf_counter() - self._started)
        return {
            "loss": loss / max(1.0, count),
            "top1_error": wrong / max(1.0, count),
            "learning_rate": self._rate,
            "images_per_s": count / spent_s,
            "input_wait": self.waited_s / spent_s,
        }


class Stop:
    """Remembers the first SIGTERM or SIGINT instead of dying of it, so that a checkpoint can be made."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)

    def __exit__(self, *details: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number:
            raise KeyboardInterrupt  # asked twice: leave now
        self.signal_number = number
