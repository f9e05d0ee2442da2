"""The examples of docs/readers.md, and what is appended to one so that it tells which labels it reads."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "readers.md"
_NOTED = re.compile(
    r"^<!-- run by tools/check_readers\.py: (?P<name>\S+) -->\n```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
# What an example needs besides its name; timm imports torchvision.
PACKAGES = {
    "webdataset": ("webdataset", "pillow"),
    "timm": ("timm", "webdataset", "torch>=2.11,<2.14"),
    "datasets": ("datasets", "pillow"),
    "tensorflow-cpu": ("tensorflow-cpu",),
    "jax": ("jax", "webdataset", "pillow"),
}
PROLOGUES = {"timm": "import read_timm\n\nread_timm.import_torchvision()\n"}
# Each example ends with `dataset`: of (image, label), of such batches, or of dicts.
EPILOGUE = """
import json

import numpy

labels = []
for item in dataset:
    if isinstance(item, list) and isinstance(item[0], dict):
        item = item[0]
    label = (item["cls"] if "cls" in item else item["label"]) if isinstance(item, dict) else item[1]
    labels += numpy.asarray(label).ravel().tolist()
print(json.dumps(sorted(labels)))
"""


def noted_snippets() -> dict[str, str]:
    """The examples that this tool runs, by name, ready to be run where `shards/lanczos` is."""
    found = {match["name"]: match["code"] for match in _NOTED.finditer(PAGE.read_text("utf-8"))}
    return {name: with_labels(PROLOGUES.get(name, "") + code) for name, code in found.items()}


def with_labels(code: str) -> str:
    """An example that prints the sorted labels that it reads, as its last line."""
    return code + EPILOGUE
