"""The DALI graph: it decodes images, crops and flips them as the source says, and subtracts the mean, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, pipeline_def, types

# One call gives a batch: a list of images, and arrays of means, then of tops, lefts and flips unless views are fixed.
Source = Callable[[], tuple[Sequence[NDArray[Any]] | NDArray[Any], ...]]
DALI_TYPES = {"float32": types.FLOAT, "float16": types.FLOAT16}
PREFETCH_BATCHES = 2


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What decides the graph.

    Attributes:
        encoded: images are JPEG or PNG files; otherwise HWC uint8 as they are.
        crop_px: side of the crops.
        room_px: how far a crop can move on each axis, but at least 1: DALI takes a crop's place as shares of it.
        crops: (top, left, flip) of several fixed views of each image; empty for one view, by the source.
        mean: (3,), which the source subtracts, or (crop, crop, 3) float32, which the graph does.
        dtype: of the result.
        layout: of each crop in memory.
    """

    encoded: bool
    crop_px: int
    room_px: int
    crops: tuple[tuple[int, int, int], ...]
    mean: NDArray[np.float32]
    dtype: Literal["float32", "float16"]
    layout: Literal["CHW", "HWC"]


def build_pipeline(
    options: PipelineOptions, source: Source, *, batch_images: int, threads: int, gpu: int | None
) -> Any:
    """A built DALI pipeline whose only output is the batch of crops.

    Args:
        options: what decides the graph.
        source: called for each batch, ahead of time, in the thread that runs the pipeline.
        batch_images: most images of a batch.
        threads: number of decoding threads.
        gpu: device number; None keeps all on the CPU and needs neither GPU nor driver.
    """
    # `exec_dynamic`: outputs that are still in use are not overwritten; `seed`: nothing in the graph is random.
    build = pipeline_def(_graph, prefetch_queue_depth=PREFETCH_BATCHES, exec_dynamic=True, seed=0)
    return build(options, source, gpu is not None, batch_size=batch_images, num_threads=threads, device_id=gpu)


def _graph(options: PipelineOptions, source: Source, on_gpu: bool) -> Any:
    inputs = 2 if options.crops else 5
    layouts = ["" if options.encoded else "HWC", *[""] * (inputs - 1)]
    encoded, means, *views = fn.external_source(source, num_outputs=inputs, batch=True, no_copy=True, layout=layouts)
    if options.encoded and not options.crops and not on_gpu:
        # The same pixels as from the whole image, a little cheaper; a GPU's own decoder takes whole images only.
        top, left, flip = views
        size_px = (options.crop_px, options.crop_px)
        images = fn.decoders.image_crop(encoded, crop=size_px, crop_pos_x=left, crop_pos_y=top, output_type=types.RGB)
        return _crop(options, images, means, 0.0, 0.0, flip)
    if options.encoded:
        images = fn.decoders.image(encoded, device="mixed" if on_gpu else "cpu", output_type=types.RGB)
    else:
        images = encoded.gpu() if on_gpu else encoded
    if not options.crops:
        return _crop(options, images, means, *views)
    room_px = options.room_px
    crops = (_crop(options, images, means, top / room_px, left / room_px, flip) for top, left, flip in options.crops)
    return fn.stack(*crops)


def _crop(options: PipelineOptions, images: Any, means: Any, top: Any, left: Any, flip: Any) -> Any:
    """Crop, mirror, subtract the mean and add the lighting in one operator: lighting is part of the mean."""
    plain = options.mean.ndim == 1
    crops = fn.crop_mirror_normalize(
        images,
        crop=(options.crop_px, options.crop_px),
        crop_pos_x=left,
        crop_pos_y=top,
        mirror=flip,
        mean=means,
        std=[1.0],
        dtype=DALI_TYPES[options.dtype] if plain else types.FLOAT,
        output_layout=options.layout,
    )
    if plain:
        return crops
    mean = options.mean.transpose(2, 0, 1) if options.layout == "CHW" else options.mean
    constant = types.Constant(np.ascontiguousarray(mean), device=crops.device)
    return fn.cast(crops - constant, dtype=DALI_TYPES[options.dtype])
