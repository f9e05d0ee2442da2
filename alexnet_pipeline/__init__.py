"""Raw ImageNet to 256x256 shards by an exactly defined downsampling method, and an AlexNet trained from them.

    import alexnet_pipeline

    alexnet_pipeline.shard("/data/ILSVRC2012", "/data/shards", methods=["lanczos", "antialias"])
    alexnet_pipeline.verify("/data/shards")
    alexnet_pipeline.train("/data/shards/lanczos", run_dir="runs/a")

What the command line can do, these functions can, in the same words. `shard` starts worker processes: a script
calls it below `if __name__ == "__main__":`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet_pipeline.api import estimate, inspect, merge, resize, shard, verify
    from alexnet_pipeline.comparison.api import compare
    from alexnet_pipeline.errors import PipelineError
    from alexnet_pipeline.synthetic.sample import write_sample
    from alexnet_pipeline.training_api import evaluate, report, train

__version__ = "0.1.0"
__all__ = [
    "PipelineError",
    "compare",
    "estimate",
    "evaluate",
    "inspect",
    "merge",
    "report",
    "resize",
    "shard",
    "train",
    "verify",
    "write_sample",
]

_MODULE_OF = {
    "PipelineError": "errors",
    "compare": "comparison_api",
    "evaluate": "training_api",
    "report": "training_api",
    "train": "training_api",
    "write_sample": "sample",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `--help` must not wait for numba."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, 'api')}"), name)
