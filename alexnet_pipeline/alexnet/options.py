"""The options of training, evaluating and measuring, importable without torch; those of a recipe are `recipe`'s."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alexnet_pipeline.options import MAX_SEED, option

Towers = Literal["auto", "one", "local", "distributed"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]
Decode = Literal["auto", "cpu", "gpu"]
Crops = Literal[1, 10]

# Ten days: longer than any process should be silent, and within what a timedelta holds.
MAX_TIMEOUT_S = 864_000
# More threads than this only wait for each other.
MAX_THREADS = 1024

# The value of `val` that turns validation off.
NO_VAL = Path("none")

DEVICE_HELP = "Device; auto takes GPUs where PyTorch finds any."
PRECISION_HELP = (
    "Precision of the arithmetic; weights stay float32. fp32 means all 24 bits, tf32 a GPU's 11 of them; fp16, for "
    "GPUs without bf16, scales the loss. auto is bf16 on a GPU and fp32 on a CPU."
)
TOWERS_HELP = (
    "Where the two towers run: side by side on one device (one), on two devices of this process (local), or in a "
    "process each (distributed). Under torchrun, one means data parallelism: any number of processes, each with the "
    "whole network, average their gradients, which moves less data than distributed from batches of about 2,000 "
    "images on. auto is distributed for an even number of processes, local for one process with two GPUs, else one."
)
COMPILE_HELP = "Compile the network with torch.compile; on a GPU, launch it as CUDA graphs."
CUDNN_HELP = "Let cuDNN time its kernels and take the fastest, which may round differently in the next run."
DECODE_HELP = "Where JPEGs are decoded for a GPU: there, or cropped on the CPU. auto is the GPU."
CHECKPOINT_HELP = (
    "The newest checkpoint, the best (by top-1 error on the validation set in training), or that of a step."
)
CHECKPOINT_METAVAR = "STEP|best|newest"
THREADS_HELP = "Number of decoding threads."
CACHE_HELP = "Folder on this machine for copies of data sets in object stores, which its processes share."


@dataclass(frozen=True)
class TrainOptions:
    """How to train a recipe; of these only `steps`, `seed`, `init_from` and `precision` change what is learnt.

    With batch normalisation, `grad_accum_steps` does, too, like the number of processes.
    """

    val: Path | None = option(
        None,
        "Validation shards, or none for no validation.",
        metavar="PATH|none",
        default_text="SHARDS/val where SHARDS holds splits",
    )
    cache: Path | None = option(None, CACHE_HELP, metavar="DIR")
    towers: Towers = option("auto", TOWERS_HELP)
    device: Device = option("auto", DEVICE_HELP)
    precision: Precision = option("auto", PRECISION_HELP)
    compile: bool = option(False, COMPILE_HELP)
    cudnn_benchmark: bool = option(False, CUDNN_HELP)
    decode: Decode = option("auto", DECODE_HELP)
    steps: int | None = option(None, "Stop after N steps.", least=1, metavar="N", default_text="the recipe's epochs")
    grad_accum_steps: int = option(
        1,
        "Take each step's batch in N micro-batches, which needs less memory: the gradients are the same, but for batch "
        "normalisation, whose statistics are those of a micro-batch.",
        least=1,
        name="grad_accum_steps",
        metavar="N",
    )
    seed: int = option(0, "Seed for weights, dropout, order and augmentation.", least=0, most=MAX_SEED)
    init_from: Path | None = option(
        None,
        "Begin a new run with the weights of another run, or of a file that `export` wrote; where the classes differ, "
        "the last layer begins anew.",
        metavar="RUN|FILE",
    )
    resume: Literal["auto", "never"] = option(
        "never",
        "Resume from the newest checkpoint where there is one (auto). Rate, schedule and length may be given anew, or "
        "stay; all else must be the same.",
    )
    checkpoint_every_steps: int | None = option(
        None, "Also checkpoint every N steps.", least=1, metavar="N", default_text="only after each epoch"
    )
    keep_checkpoints: int = option(
        3, "Number of checkpoints to keep, beside the one with the lowest top-1 error.", least=1
    )
    log_every_steps: int = option(20, "Log metrics every N steps.", least=1, metavar="N")
    tensorboard: bool = option(False, "Also write TensorBoard event files to RUN_DIR/tensorboard.")
    wandb: str | None = option(
        None,
        "Also log to this project of Weights & Biases; WANDB_MODE=offline writes to RUN_DIR/wandb only.",
        metavar="PROJECT",
    )
    threads: int | None = option(None, THREADS_HELP, least=1, most=MAX_THREADS, default_text="the cores")
    timeout_s: float = option(
        600.0, "Abort if a process is silent for this many seconds.", above=0, most=MAX_TIMEOUT_S, metavar="SECONDS"
    )


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate."""

    cache: Path | None = option(None, CACHE_HELP, metavar="DIR")
    checkpoint: str = option("newest", CHECKPOINT_HELP, metavar=CHECKPOINT_METAVAR)
    crops: Crops = option(1, "Crops per image: the centre, or the paper's ten.")
    device: Device = option("auto", DEVICE_HELP)
    predictions: Path | None = option(
        None,
        "Write a JSON line per image: key, truth, five best classes, and the classes' words where they are known.",
        metavar="FILE",
    )


@dataclass(frozen=True)
class LoadOptions:
    """How to measure loading."""

    batch_images: int = option(128, "Images per batch.", least=1, most=1 << 20, name="batch_size")
    cache: Path | None = option(None, CACHE_HELP, metavar="DIR")
    images: int = option(5000, "Images to load after warm-up.", least=1)
    device: Device = option("auto", DEVICE_HELP)
    decode: Decode = option("auto", DECODE_HELP)
    threads: int | None = option(None, THREADS_HELP, least=1, most=MAX_THREADS, default_text="the cores")


@dataclass(frozen=True)
class StepOptions:
    """How to measure training steps."""

    steps: int = option(20, "Steps to measure after warm-up.", least=1)
    classes: int = option(1000, "Number of classes of generated batches.", least=2, most=1_000_000)
    cache: Path | None = option(None, CACHE_HELP, metavar="DIR")
    towers: Towers = option("auto", TOWERS_HELP)
    device: Device = option("auto", DEVICE_HELP)
    precision: Precision = option("auto", PRECISION_HELP)
    compile: bool = option(False, COMPILE_HELP)
    cudnn_benchmark: bool = option(False, CUDNN_HELP)
    decode: Decode = option("auto", DECODE_HELP)
    threads: int | None = option(None, THREADS_HELP, least=1, most=MAX_THREADS, default_text="the cores")
    trace: Path | None = option(None, "Also write a trace of three steps, for chrome://tracing.", metavar="FILE")


@dataclass(frozen=True)
class PredictOptions:
    """How to name what photographs show."""

    checkpoint: str = option("newest", CHECKPOINT_HELP, metavar=CHECKPOINT_METAVAR)
    crops: Crops = option(1, "Crops per photo: the centre, or the paper's ten.")
    top: int = option(5, "Classes to name.", least=1)
    device: Device = option("auto", DEVICE_HELP)
