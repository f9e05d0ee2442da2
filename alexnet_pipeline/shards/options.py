"""The options of the commands that make and check shards; a light module, because `--help` imports it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alexnet_pipeline.options import Part, option
from alexnet_pipeline.records import SetOptions

Preset = Literal["cuda-convnet2", "torchvision"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which data sets to make from a source."""

    methods: tuple[str, ...] = option(
        (), "Downsampling methods; see `methods`.", flag="method", also=("--methods",), default_text=SetOptions.method
    )
    splits: tuple[str, ...] = option(
        (), "Splits to write: train, val, test.", name="split", default_text="all that the source has"
    )
    preset: Preset | None = option(
        None, "Convert images as another tool does; options that are given override it.", default_text="none"
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run; none of these options changes a byte of the shards."""

    workers: int | None = option(None, "Number of worker processes.", least=1, metavar="N", default_text="all cores")
    engine: Literal["local", "ray"] = option(
        "local", "Run on this machine, or on the Ray cluster of RAY_ADDRESS; without one, Ray starts on this machine."
    )
    on_error: Literal["skip", "fail"] = option("skip", "Reject a bad image and go on, or stop with an error.")
    max_rejects: int | None = option(
        None, "Stop when more images than this are rejected.", least=0, metavar="N", default_text="never"
    )
    restart: bool = option(False, "Remove what an earlier run wrote, and begin again.")
    retry_rejects: bool = option(
        False, "Try rejected images again: write the shards that lack them anew, also those of a finished data set."
    )
    other_versions: bool = option(
        False, "Resume with other versions of the libraries that determine the bytes; the manifest will name both."
    )
    shard_range: tuple[int, int] | None = option(
        None, "Write only shards A to B-1 of each split; `merge` completes the set.", default_text="all"
    )
    part: Part | None = option(
        None,
        "Write only part I of N of each split, from 0/N to N-1/N; `merge` completes the set.",
        metavar="I/N",
        default_text="all",
    )
    plan_only: bool = option(False, "List the source and record the plan, for jobs that write parts; write no shards.")
    rescan: bool = option(False, "List the source again, though an earlier run kept its listing in OUT.")

    @property
    def writes_all(self) -> bool:
        """Whether all shards are written, so that the sets are complete afterwards."""
        return self.part is None and self.shard_range is None and not self.plan_only


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How thoroughly and how fast to verify."""

    deep: bool = option(False, "Decode every image as well.")
    workers: int | None = option(None, "Number of threads.", least=1, metavar="N", default_text="all cores")


@dataclass(frozen=True, slots=True)
class InspectOptions:
    """How many samples to read, and where to draw them."""

    limit: int = option(16, "Number of samples to read.", least=1, metavar="N")
    contact_sheet: Path | None = option(None, "Draw the samples on a contact sheet, a PNG file.", default_text="none")
