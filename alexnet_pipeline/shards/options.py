"""What can be asked of the commands that make and check shards; light, because `--help` needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alexnet_pipeline.options import option
from alexnet_pipeline.records import SetOptions

Preset = Literal["cuda-convnet2", "torchvision"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What to make of a source."""

    methods: tuple[str, ...] = option(
        (), "Downsampling methods; see `methods`.", flag="method", also=("--methods",), default_text=SetOptions.method
    )
    splits: tuple[str, ...] = option(
        (), "Splits to write: train, val, test.", name="split", default_text="all that the source has"
    )
    preset: Preset | None = option(
        None, "Prepare images as another tool does; other options still win.", default_text="none"
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. None of it changes a byte of what is written."""

    workers: int | None = option(None, "Number of worker processes.", least=1, metavar="N", default_text="all cores")
    on_error: Literal["skip", "fail"] = option("skip", "Reject a bad image by name and go on, or stop at it.")
    max_rejects: int | None = option(
        None, "Stop when more images than this are rejected.", least=0, metavar="N", default_text="never"
    )
    restart: bool = option(False, "Remove what an earlier run wrote, and begin again.")
    shard_range: tuple[int, int] | None = option(
        None, "Write only shards A to B-1 of each split; `merge` completes the set.", default_text="all"
    )


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How to verify."""

    deep: bool = option(False, "Decode every image, too.")
    workers: int | None = option(None, "Number of threads.", least=1, metavar="N", default_text="all cores")


@dataclass(frozen=True, slots=True)
class InspectOptions:
    """What to look at."""

    limit: int = option(16, "Number of samples to read.", least=1, metavar="N")
    contact_sheet: Path | None = option(None, "Write thumbnails to this PNG file.", default_text="none")
