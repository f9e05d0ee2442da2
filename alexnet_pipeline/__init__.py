"""Turn raw ImageNet into 256x256 WebDataset shards with exactly specified resampling, and train AlexNet on them.

    import alexnet_pipeline

    if __name__ == "__main__":
        alexnet_pipeline.shard("/data/ILSVRC2012", "/data/shards", methods=["lanczos", "antialias"])
        alexnet_pipeline.verify("/data/shards")
        alexnet_pipeline.train("/data/shards/lanczos", run_dir="runs/a")

The functions mirror the commands. `shard` and `compare` start worker processes, so a script must call them under
`if __name__ == "__main__":`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet_pipeline.alexnet.bench import bench
    from alexnet_pipeline.alexnet.evaluate import evaluate
    from alexnet_pipeline.alexnet.export import export
    from alexnet_pipeline.alexnet.photos import predict
    from alexnet_pipeline.alexnet.report import report
    from alexnet_pipeline.alexnet.train import train
    from alexnet_pipeline.alexnet.trained import load_network
    from alexnet_pipeline.batches.loader import Loader
    from alexnet_pipeline.cli.doctor import doctor
    from alexnet_pipeline.comparison.compare import compare
    from alexnet_pipeline.dataset.open import open_shards
    from alexnet_pipeline.errors import InterruptedRunError, PipelineError, RefusedError, RejectedImageError
    from alexnet_pipeline.pixels.convert import resize
    from alexnet_pipeline.pixels.kernels import methods
    from alexnet_pipeline.shards.build import shard
    from alexnet_pipeline.shards.estimate import estimate
    from alexnet_pipeline.shards.inspect import inspect
    from alexnet_pipeline.shards.merge import merge
    from alexnet_pipeline.shards.reindex import reindex
    from alexnet_pipeline.shards.verify import verify
    from alexnet_pipeline.synthetic.sample import sample

__version__ = "0.2.0"

# The public names of each module. A module is imported on the first access to one of its names.
_NAMES = {
    "alexnet.bench": "bench",
    "alexnet.evaluate": "evaluate",
    "alexnet.export": "export",
    "alexnet.photos": "predict",
    "alexnet.report": "report",
    "alexnet.train": "train",
    "alexnet.trained": "load_network",
    "batches.loader": "Loader",
    "cli.doctor": "doctor",
    "comparison.compare": "compare",
    "dataset.open": "open_shards",
    "errors": "InterruptedRunError PipelineError RefusedError RejectedImageError",
    "pixels.convert": "resize",
    "pixels.kernels": "methods",
    "shards.build": "shard",
    "shards.estimate": "estimate",
    "shards.inspect": "inspect",
    "shards.merge": "merge",
    "shards.reindex": "reindex",
    "shards.verify": "verify",
    "synthetic.sample": "sample",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = [
    "InterruptedRunError",
    "Loader",
    "PipelineError",
    "RefusedError",
    "RejectedImageError",
    "bench",
    "compare",
    "doctor",
    "estimate",
    "evaluate",
    "export",
    "inspect",
    "load_network",
    "merge",
    "methods",
    "open_shards",
    "predict",
    "reindex",
    "report",
    "resize",
    "sample",
    "shard",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        globals()[name] = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        error.add_note(f"{name} may need an extra: pip install 'alexnet-pipeline[train]'")
        raise
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
