"""Check a machine with a GPU in one go of under ten minutes, and print a dated result.

    pip install -e '.[test]' && python tools/gpu_check.py RAW_IMAGES

RAW_IMAGES is a source for `alexnet-pipeline shard`, best with some thousands of photographs; without it, the embedded
sample is generated. First the GPU tests run: the loader's views, its buffers, the network and resuming against the
CPU's. Then speeds are measured: loading from raw and from JPEG shards, decoded on the GPU and on the CPU; steps on a
generated batch, by arrangement and precision, compiled or not; and loading and training together, as a share of the
same step without loading. Tables go to standard output in Markdown, ready for tools/results/.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import alexnet_pipeline
from alexnet_pipeline.alexnet.bench import measure_loading, measure_training
from alexnet_pipeline.cores import core_count
from alexnet_pipeline.errors import PipelineError

ROOT = Path(__file__).parent.parent
# Roofline of the paper's network on one H200 in bf16, in images/s: by arithmetic alone (790 TFLOP/s), and with memory
# traffic that overlaps with nothing (4.3 TB/s).
ROOFLINE_ARITHMETIC, ROOFLINE_TRAFFIC = 191_000, 79_000
LOAD_IMAGES, STEPS = 40_000, 100
# Steps on a generated batch: what, and options.
STEP_KINDS: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16"},
    "bf16, cuDNN's fastest": {"precision": "bf16", "cudnn_benchmark": True},
    "bf16, compiled, CUDA graphs": {"precision": "bf16", "compile": True},
    "tf32": {"precision": "tf32"},
    "fp32": {"precision": "fp32"},
    "bf16, two stacks on one device": {"precision": "bf16", "towers": "local"},
    "bf16, no normalisation": {"precision": "bf16", "norm": "none"},
    "bf16, preset batchnorm": {"precision": "bf16", "preset": "batchnorm"},
}
BATCHES = (128, 1024)


def tests_pass() -> bool:
    """Whether the GPU tests pass."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_gpu.py"]
    return subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr).returncode == 0


def make_shards(source: Path | None, scratch: Path) -> dict[str, Path]:
    """The training set's folder of each encoding."""
    if source is None:
        source = scratch / "images"
        alexnet_pipeline.sample(source)
    folders = {}
    for encoding in ("jpg", "raw"):
        alexnet_pipeline.shard(source, scratch / encoding, methods=["lanczos"], encoding=encoding, quality=90)
        folders[encoding] = next((scratch / encoding).glob("lanczos/*/manifest.json")).parent
    return folders


def loading_rows(folders: dict[str, Path]) -> Iterator[str]:
    """Measure loading, and give a row of the table for each way."""
    ways = (
        ("raw", "auto", "read and cropped by the CPU"),
        ("jpg", "gpu", "decoded on the GPU"),
        ("jpg", "cpu", "decoded on the CPU"),
    )
    for encoding, decode, how in ways:
        speed = measure_loading(folders[encoding], images=LOAD_IMAGES, device="cuda", decode=decode)
        yield f"| {encoding}, {how} | {speed.images_per_s:,.0f} | {speed.cpu_ms:.3f} |"


def step_rows() -> Iterator[str]:
    """Measure steps on a generated batch, and give a row of the table for each kind and batch size."""
    for what, options in STEP_KINDS.items():
        for batch in BATCHES:
            try:
                speed = measure_training(batch_size=batch, steps=STEPS, device="cuda", **{"towers": "one", **options})
            except (PipelineError, RuntimeError) as error:
                yield f"| {what} | {batch} | failed: {str(error).splitlines()[0][:80]} | | |"
                continue
            share = speed.images_per_s / ROOFLINE_TRAFFIC
            yield f"| {what} | {batch} | {speed.step_ms:.2f} | {speed.images_per_s:,.0f} | {100 * share:.0f} % |"


def together_rows(folders: dict[str, Path]) -> Iterator[str]:
    """Measure loading and training together, and give a row of the table for each way of loading."""
    how: dict[str, Any] = {"steps": STEPS, "device": "cuda", "precision": "bf16", "towers": "one"}
    alone = measure_training(**how).images_per_s
    for encoding, decode in (("raw", "auto"), ("jpg", "gpu"), ("jpg", "cpu")):
        speed = measure_training(folders[encoding], **how, decode=decode).images_per_s
        yield f"| {encoding}, decode {decode} | {speed:,.0f} | {100 * speed / alone:.0f} % |"


def main() -> None:
    """Run the tests, measure, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", help="raw images; default: the embedded sample")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("gpu_check: PyTorch finds no GPU; run this on a machine that has one")
    passed = tests_pass()
    print(f"# gpu_check, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"{torch.cuda.get_device_name()}, {core_count()} cores, {platform.machine()}, ", end="")
    print(f"Python {platform.python_version()}, torch {torch.__version__}; ", end="")
    print(f"GPU tests {'passed' if passed else 'FAILED'}\n")
    with tempfile.TemporaryDirectory() as scratch:
        folders = make_shards(given.source, Path(scratch))
        print("| load batches of 128 from | images/s | CPU ms per image |\n|---|---|---|")
        for row in loading_rows(folders):
            print(row, flush=True)
        print("\n| step of | batch | ms | images/s | share of the roofline with traffic |\n|---|---|---|---|---|")
        for row in step_rows():
            print(row, flush=True)
        print("\n| load and train, batch 128, bf16 | images/s | of the same step without loading |\n|---|---|---|")
        for row in together_rows(folders):
            print(row, flush=True)
    print(f"\nRoofline of one H200: {ROOFLINE_ARITHMETIC:,} images/s by arithmetic, {ROOFLINE_TRAFFIC:,} with traffic.")
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
