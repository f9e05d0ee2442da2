"""Check a machine with a GPU: run the GPU tests, and measure loading, training and the share of the roofline.

    pip install -e '.[test]' && python tools/gpu_check.py RAW_IMAGES

RAW_IMAGES is a source for `alexnet-pipeline shard`; without it, the embedded sample is generated. Tables go to standard
output in Markdown, ready for tools/results/.
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

import torch

import alexnet_pipeline
from alexnet_pipeline.alexnet.bench import measure_loading, measure_training

ROOT = Path(__file__).parent.parent
# Roofline of the paper's network on one H200 in bf16, in images/s: by arithmetic alone (790 TFLOP/s), and with memory
# traffic that overlaps with nothing (4.3 TB/s).
ROOFLINE_ARITHMETIC, ROOFLINE_TRAFFIC = 191_000, 79_000
LOAD_IMAGES, STEPS = 50_000, 50
BATCHES = (128, 256, 1024)


def tests_pass() -> bool:
    """Whether the GPU tests pass."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_gpu.py"]
    return subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr).returncode == 0


def loading_rows(source: Path | None, scratch: Path) -> Iterator[str]:
    """Measure loading, and give one row of the table per encoding."""
    if source is None:
        source = scratch / "images"
        alexnet_pipeline.sample(source)
    for encoding in ("jpg", "raw"):
        out = scratch / encoding
        alexnet_pipeline.shard(source, out, methods=["lanczos"], encoding=encoding, quality=90)
        folder = next(out.glob("lanczos/*/manifest.json")).parent
        speed = measure_loading(folder, batch_size=256, images=LOAD_IMAGES, device="cuda")
        decoder = "decoded on the GPU" if encoding == "jpg" else "not encoded"
        yield f"| load {encoding}, {decoder} | {speed.images_per_s:,.0f} | {speed.cpu_ms:.3f} |"


def training_rows() -> Iterator[str]:
    """Measure training, and give one row of the table per batch size and norm."""
    for norm in ("lrn", "none"):
        for batch in BATCHES:
            speed = measure_training(batch_size=batch, norm=norm, steps=STEPS, device="cuda", precision="bf16")
            share = speed.images_per_s / ROOFLINE_TRAFFIC
            yield f"| train {speed.what} | {speed.images_per_s:,.0f} | {100 * share:.0f} % |"


def main() -> None:
    """Run the tests, measure, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", help="raw images; default: the embedded sample")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("gpu_check: PyTorch finds no GPU; run this on a machine that has one")
    passed = tests_pass()
    print(f"# gpu_check, {datetime.datetime.now(datetime.UTC).date()}\n")
    print(f"{torch.cuda.get_device_name()}, {platform.machine()}, Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}; GPU tests {'passed' if passed else 'FAILED'}\n")
    print("| what | images/s | CPU ms per image |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for row in loading_rows(given.source, Path(scratch)):
            print(row, flush=True)
    print("\n| what | images/s | share of the roofline with traffic |\n|---|---|---|")
    for row in training_rows():
        print(row, flush=True)
    print(f"\nRoofline of one H200: {ROOFLINE_ARITHMETIC:,} images/s by arithmetic, {ROOFLINE_TRAFFIC:,} with traffic.")
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
