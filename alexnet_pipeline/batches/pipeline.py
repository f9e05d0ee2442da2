"""The DALI graph: encoded images and their views in, normalised crops out; one definition for CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, pipeline_def, types

DType = Literal["float32", "float16"]
Layout = Literal["NCHW", "NHWC"]

# One call gives a batch: a list of images, and arrays of means, then of tops, lefts and flips unless views are fixed.
Source = Callable[[], tuple[Sequence[NDArray[Any]] | NDArray[Any], ...]]
DALI_TYPES = {"float32": types.FLOAT, "float16": types.FLOAT16}


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What decides the graph.

    Attributes:
        encoded: images are JPEG or PNG files; otherwise HWC uint8 as they are.
        crop_px: side of the crops.
        crops: (top, left, flip) of several fixed views of each image, as shares; empty for one view, by the source.
        mean_image: (crop, crop, 3) float32 subtracted besides the source's means, or None.
        dtype: of the result.
        layout: of each crop in memory.
    """

    encoded: bool
    crop_px: int
    crops: tuple[tuple[float, float, int], ...] = ()
    mean_image: NDArray[np.float32] | None = None
    dtype: DType = "float32"
    layout: Layout = "NCHW"


def build_pipeline(
    options: PipelineOptions, source: Source, *, batch_images: int, threads: int, gpu: int | None, prefetch_batches: int
) -> Any:
    """A built DALI pipeline whose only output is the batch of crops.

    Args:
        options: what decides the graph.
        source: called for each batch, ahead of time, in the thread that runs the pipeline.
        batch_images: most images of a batch.
        threads: number of decoding threads.
        gpu: device number; None keeps all on the CPU and needs neither GPU nor driver.
        prefetch_batches: number of batches made ahead.
    """
    build = pipeline_def(_graph)
    return build(
        options,
        source,
        gpu is not None,
        batch_size=batch_images,
        num_threads=threads,
        device_id=gpu,
        prefetch_queue_depth=prefetch_batches,
        exec_dynamic=True,  # outputs that are still in use are not overwritten
        seed=0,  # nothing in the graph is random
    )


def _graph(options: PipelineOptions, source: Source, on_gpu: bool) -> Any:
    inputs = 2 if options.crops else 5
    layouts = ["" if options.encoded else "HWC", *[""] * (inputs - 1)]
    encoded, means, *views = fn.external_source(source, num_outputs=inputs, batch=True, no_copy=True, layout=layouts)
    if options.encoded and not options.crops and not on_gpu:
        # The same pixels as from the whole image, a little cheaper; a GPU's own decoder takes whole images only.
        top, left, flip = views
        side_px = options.crop_px
        images = fn.decoders.image_crop(
            encoded, crop=(side_px, side_px), crop_pos_x=left, crop_pos_y=top, output_type=types.RGB
        )
        return _crop(options, images, means, 0.0, 0.0, flip)
    if options.encoded:
        images = fn.decoders.image(encoded, device="mixed" if on_gpu else "cpu", output_type=types.RGB)
    else:
        images = encoded.gpu() if on_gpu else encoded
    if not options.crops:
        return _crop(options, images, means, *views)
    return fn.stack(*(_crop(options, images, means, *view) for view in options.crops))


def _crop(options: PipelineOptions, images: Any, means: Any, top: Any, left: Any, flip: Any) -> Any:
    """Crop, mirror, subtract the mean and add the lighting in one operator: lighting is part of the mean."""
    whole = options.mean_image is None
    layout = "CHW" if options.layout == "NCHW" else "HWC"
    crops = fn.crop_mirror_normalize(
        images,
        crop=(options.crop_px, options.crop_px),
        crop_pos_x=left,
        crop_pos_y=top,
        mirror=flip,
        mean=means,
        std=[1.0],
        dtype=DALI_TYPES[options.dtype] if whole else types.FLOAT,
        output_layout=layout,
    )
    if options.mean_image is None:
        return crops
    mean = options.mean_image.transpose(2, 0, 1) if layout == "CHW" else options.mean_image
    constant = types.Constant(np.ascontiguousarray(mean), device=crops.device)
    return fn.cast(crops - constant, dtype=DALI_TYPES[options.dtype])
