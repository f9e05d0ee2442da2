"""`manifest.json` in, a proved Manifest out: where those who write data sets and those who read them meet."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.records import Manifest, manifest_from_json

FORMAT_VERSION = 1


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and prove that not a bit of it has changed.

    Raises:
        RefusedError: there is none, or of a version this release does not know.
        PipelineError: it is damaged.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise RefusedError(f"{path} is missing: no finished data set; `shard` resumes an unfinished one") from error
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from error
    try:
        data = json.loads(text)
        version = data["format_version"]
        manifest = manifest_from_json(data) if version == FORMAT_VERSION else None
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"{path} is damaged: {error}; shard the source again with --restart") from error
    if manifest is None:
        raise RefusedError(f"{path} has format version {version}; this release reads {FORMAT_VERSION}")
    blank = manifest_text(dataclasses.replace(manifest, digest=""))
    if manifest_text(manifest) != text or hashlib.sha256(blank).hexdigest() != manifest.digest:
        raise PipelineError(f"{path} is damaged: its digest does not match; shard the source again with --restart")
    return manifest


def manifest_text(manifest: Manifest) -> bytes:
    """The one text of a manifest: sorted keys, ASCII, one space of indentation."""
    return (json.dumps(dataclasses.asdict(manifest), sort_keys=True, indent=1) + "\n").encode("ascii")
