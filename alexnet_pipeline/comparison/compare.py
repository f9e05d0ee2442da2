"""The public function `compare`: checks the request, compares, writes the report, and trains networks if asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from alexnet_pipeline.comparison.methods import compare_methods, sample_images
from alexnet_pipeline.comparison.options import (
    DEFAULT_METHODS,
    RAW_ONLY,
    CompareOptions,
    NetworkTraining,
    idle_parameters,
)
from alexnet_pipeline.comparison.page.figure_file import check_figure, write_figure
from alexnet_pipeline.comparison.page.gallery import Gallery, gallery_of
from alexnet_pipeline.comparison.page.report import write_page
from alexnet_pipeline.comparison.records import Comparison
from alexnet_pipeline.comparison.sets import compare_sets
from alexnet_pipeline.errors import PipelineError, RefusedError
from alexnet_pipeline.options import make, takes_options
from alexnet_pipeline.progress import Progress, Report, Stage, reporting, warn_to
from alexnet_pipeline.raw.options import SourceOptions
from alexnet_pipeline.raw.source import Source, open_source
from alexnet_pipeline.storage.place import StrPath, locate


@takes_options(CompareOptions, NetworkTraining, SourceOptions)
def compare(
    source: StrPath | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    *,
    shards: Sequence[StrPath] = (),
    command: str = "",
    stop: Callable[[], int] | None = None,
    progress: Progress = True,
    **options: object,
) -> Comparison:
    """Compare downsampling methods on raw images, or finished data sets key by key.

    Worker processes are started: a script calls this below `if __name__ == "__main__":`.

    Args:
        source: raw images, as `shard` takes them; a path or a URL.
        **options: see below.
        command: that repeats the comparison, for the report.
        stop: asked between the steps of training, as `train` does.
        progress: show a bar on a terminal or in a notebook; or a function that is called with each event.

    Returns:
        All numbers; the report and the figure are written in addition.

    Raises:
        RefusedError: the request cannot be carried out; nothing was changed.
        PipelineError: something failed.
        InterruptedRunError: training was stopped; the same call resumes.
    """
    given: dict[str, Any] = {**options, "shards": shards}
    if methods is not DEFAULT_METHODS:
        given["methods"] = methods
    choices, training = make(CompareOptions, given), make(NetworkTraining, given)
    reading = make(SourceOptions, given)
    _check_effects(source, choices, given)
    _check_writable(choices)
    with reporting(progress) as report:
        if source is None:
            comparison, read = compare_sets(choices, command=command, report=report)
        else:
            opened = open_source(locate(source), options=reading)
            networks = _import_networks(opened, source, training) if choices.train else None
            if networks:
                networks.check_size(training.preset, choices.size_px)
            report(Stage("listing the source"))
            images, rejects = sample_images(opened, choices)
            comparison, read = compare_methods(
                images, choices, source=str(source), command=command, rejects=rejects, report=report
            )
        gallery = gallery_of(comparison, read) if choices.output else Gallery()
        _write(comparison, gallery, choices)  # before the networks, which take long and may fail
        if source is not None and networks:
            for with_networks in networks.add_networks(
                comparison, locate(source), choices, training, reading=reading, report=report, stop=stop
            ):
                comparison = with_networks
                _write_interim(comparison, gallery, choices, report)
            _write(comparison, gallery, choices)
    return comparison


def _check_effects(source: StrPath | None, choices: CompareOptions, given: Mapping[str, Any]) -> None:
    """Refuse what contradicts itself or would have no effect."""
    if choices.shards and (source is not None or choices.train):
        raise RefusedError("finished shard sets are compared as they are; leave `source` and `train` out")
    if choices.shards and choices.figure:
        raise RefusedError("`figure` shows frequency responses, which finished shards do not have; leave it out")
    if not choices.shards and source is None:
        raise RefusedError("nothing to compare: give `source`, or at least two `shards`")
    for name in given:
        if name in idle_parameters(shards=bool(choices.shards), train=choices.train):
            why = "finished shard sets are compared as they are" if name in RAW_ONLY else "it belongs to `train=True`"
            raise RefusedError(f"`{name}` has no effect here: {why}; leave it out")


def _check_writable(choices: CompareOptions) -> None:
    """Refuse before the work what could not be written after it."""
    if choices.figure is not None:
        check_figure(choices.figure)
    for path in (choices.output, choices.figure):
        if path is not None and path.is_dir():
            raise RefusedError(f"{path} is a folder; name a file")
        if path is not None and not path.parent.is_dir():
            raise RefusedError(f"{path} cannot be written: {path.parent} is no folder")
        if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
            raise RefusedError(f"{path} cannot be written: permission denied, or the file system is read-only")


def _import_networks(opened: Source, source: StrPath, training: NetworkTraining) -> ModuleType:
    """The module that trains networks, which only `train=True` needs, since it needs torch."""
    if not {"train", "val"} <= set(opened.splits):
        raise RefusedError(f"`train=True` needs the splits train and val; {source} has {', '.join(opened.splits)}")
    if training.work_dir is None:
        raise RefusedError("`train=True` needs `work_dir`, a folder that keeps shards and runs")
    try:
        from alexnet_pipeline.comparison import networks  # noqa: PLC0415
    except ImportError as error:
        raise RefusedError(f"`train=True` needs {error.name}; pip install 'alexnet-pipeline[train]'") from error
    return networks


def _write_interim(comparison: Comparison, gallery: Gallery, choices: CompareOptions, report: Report) -> None:
    """Write the page while networks are trained; if it cannot be written, training goes on all the same."""
    try:
        _write(comparison, gallery, choices)
    except PipelineError as error:
        warn_to(report)(f"{error}; training goes on")


def _write(comparison: Comparison, gallery: Gallery, choices: CompareOptions) -> None:
    if choices.output is not None:
        write_page(comparison, gallery, choices.output)
    if choices.figure is not None:
        write_figure(comparison, choices.figure)
