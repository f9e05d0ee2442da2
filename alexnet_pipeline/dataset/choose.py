"""Which data set a folder stands for: itself, its split's, or its only method's, as `shard` writes them."""

from __future__ import annotations

from alexnet_pipeline.dataset.manifest import is_finished
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.storage.place import Location
from alexnet_pipeline.storage.reading import names_in


def choose_set(folder: Location, *splits: str) -> Location:
    """The data set at `folder`, `folder/SPLIT` or `folder/METHOD/SPLIT`, of the first of the splits that is there.

    Returns:
        Its folder, or `folder` where nothing of the kind is there; opening that says what is wrong with it.

    Raises:
        RefusedError: the folder holds several methods.
        PipelineError: a store cannot be asked.
    """
    if is_finished(folder):
        return folder
    for split in splits:
        if is_finished(folder / split):
            return folder / split
    for split in splits:
        methods = [name for name in _folders_in(folder) if is_finished(folder / name / split)]
        if len(methods) > 1:
            names = ", ".join(methods)
            raise RefusedError(f"{folder} holds several methods ({names}); name one, like {folder / methods[0]}")
        if methods:
            return folder / methods[0] / split
    return folder


def _folders_in(folder: Location) -> list[str]:
    try:
        return sorted(names_in(folder)[0])
    except OSError:  # opening says what is wrong with it
        return []
