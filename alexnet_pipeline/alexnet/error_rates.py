"""Error rates over a set of images, with their 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from alexnet_pipeline.alexnet.options import Crops
from alexnet_pipeline.text import counted, percent, percent_range

# What the rates are of, by the number of crops.
PROTOCOLS: dict[Crops, str] = {1: "centre crop", 10: "10 crops"}
TOP = 5
# Two-sided 95 % of the normal distribution.
Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """Error rates over a set of images.

    Attributes:
        protocol: `centre crop` or `10 crops`.
        total_images: counted.
        loss: mean cross-entropy of the mean probabilities; None where it is not finite.
        top1_error: share of images whose best class is wrong.
        top5_error: share of images whose five best classes miss the right one.
        top1_interval: 95 % Wilson interval, for another draw of as many images.
        top5_interval: likewise.
    """

    protocol: str
    total_images: int
    loss: float | None
    top1_error: float
    top5_error: float
    top1_interval: tuple[float, float]
    top5_interval: tuple[float, float]

    def __str__(self) -> str:
        """Like `centre crop, 100 images: top-1 error 14.0 % (8.5 to 22.1), top-5 error 2.0 % (0.6 to 7.0)`."""
        rates = ((1, self.top1_error, self.top1_interval), (5, self.top5_error, self.top5_interval))
        texts = [f"top-{n} error {percent(share)} % ({percent_range(ends)})" for n, share, ends in rates]
        return f"{self.protocol}, {counted(self.total_images, 'image')}: {', '.join(texts)}"


def error_rates(protocol: str, total_images: int, loss_sum: float, wrong1: int, wrong5: int) -> ErrorRates:
    """Rates from the summed loss and the numbers of wrong images."""
    total = max(1, total_images)
    return ErrorRates(
        protocol=protocol,
        total_images=total_images,
        loss=loss_sum / total if math.isfinite(loss_sum) else None,
        top1_error=wrong1 / total,
        top5_error=wrong5 / total,
        top1_interval=wilson_interval(wrong1, total_images),
        top5_interval=wilson_interval(wrong5, total_images),
    )


def best_classes(scores: Tensor) -> Tensor:
    """(N, 5) classes of the highest scores, best first; fewer where there are fewer classes."""
    return scores.topk(min(TOP, scores.shape[1])).indices


def wilson_interval(wrong: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); unlike the normal interval, it holds near 0 and 1."""
    if not total:
        return (0.0, 1.0)
    share, square = wrong / total, Z_95**2 / total
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return (max(0.0, centre - half), min(1.0, centre + half))
