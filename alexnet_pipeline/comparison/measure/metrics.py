"""The metrics, each with a sentence from which a reader can repeat the measurement."""

from __future__ import annotations

from alexnet_pipeline.comparison.measure.ringing import NOTICED_LEVELS
from alexnet_pipeline.comparison.measure.similarity import MOST_PSNR_DB
from alexnet_pipeline.comparison.records import Metric

# Metrics that are times and differ from run to run.
TIMES = ("decode_ms", "resample_ms", "encode_ms")

_RMS = "Root mean squared RGB difference"
_PSNR = "10 log10(255^2 / mean squared RGB difference)"
_CAP = f"capped at {MOST_PSNR_DB:.1f} dB"
_SSIM = "Mean structural similarity (Wang et al. 2004: 11-tap Gaussian of sigma 1.5, K1 = 0.01, K2 = 0.03) of luma"
_IDEAL = "the float64 ideal low-pass (cosine transform cut at the output's length, clipped to 0..255, not rounded)"
_SHIFT = (
    "The image without its last column and the image without its first column are resampled. The first result, shifted "
    "by the one source pixel between them with band-limited interpolation, and the second differ by this root mean "
    "square (RGB, without the columns near the left and right border); aliasing raises it, and blur lowers it."
)
_OVERSHOOT = (
    "Ringing: before rounding and clipping, how far output values lie outside the range of the source pixels within "
    f"one output pixel of their centre, mean over all values (under {NOTICED_LEVELS} levels counts as none)."
)
_CLIPPED = "Share of output values outside -0.5..255.5 before rounding, which clipping changes."
_LOST = "JPEG loses more of a detailed image than of a blurred one"
_DECODE = "CPU time to decode the image, measured once for all methods."
_RESAMPLE = "CPU time to convert the decoded image, including the computation of the weights for a new size."


def method_metrics(quality: int) -> tuple[Metric, ...]:
    """The metrics of methods on raw images, in the order of the table, for JPEGs of a quality."""
    jpeg = f"a JPEG of quality {quality}"
    psnr = f"{_PSNR} from {_IDEAL}, {_CAP}, which rounding alone costs; it rewards sharpness."
    size = f"Size of the result as {jpeg}, 4:2:0; both detail and aliasing cost bytes."
    jpeg_error = f"{_RMS} between the result and {jpeg} of it; {_LOST}."
    return (
        Metric("psnr_db", "PSNR", "dB", "higher", psnr),
        Metric("ssim", "SSIM", "", "higher", f"{_SSIM} with that of {_IDEAL}."),
        Metric("error_levels", "error", "levels", "lower", f"{_RMS} from {_IDEAL}."),
        Metric("shift_error_levels", "shift error", "levels", "lower", _SHIFT),
        Metric("overshoot_levels", "overshoot", "levels", "lower", _OVERSHOOT),
        Metric("clipped_share", "clipped", "", "lower", _CLIPPED),
        Metric("jpeg_bytes", "JPEG size", "bytes", "neither", size),
        Metric("jpeg_error_levels", "JPEG error", "levels", "neither", jpeg_error),
        Metric("stored_error_levels", "stored error", "levels", "lower", f"{_RMS} between {jpeg} and {_IDEAL}."),
        Metric("decode_ms", "decode", "ms", "neither", _DECODE, shared=True),
        Metric("resample_ms", "resample", "ms", "lower", _RESAMPLE),
        Metric("encode_ms", "encode", "ms", "neither", f"CPU time to encode the result as {jpeg}."),
    )


def shard_metrics(first: str) -> tuple[Metric, ...]:
    """The metrics of finished shard sets against the first of them, in the order of the table."""
    reference = f"the sample with the same key in {first}"
    largest = f"Largest difference of any value from {reference}."
    differing = f"Share of values that differ by more than one level from {reference}."
    return (
        Metric("psnr_db", "PSNR", "dB", "neither", f"{_PSNR} from {reference}, {_CAP}."),
        Metric("ssim", "SSIM", "", "neither", f"{_SSIM} with {reference}."),
        Metric("error_levels", "difference", "levels", "neither", f"{_RMS} from {reference}."),
        Metric("most_levels", "largest difference", "levels", "neither", largest),
        Metric("differing_share", "differing", "", "neither", differing),
        Metric("file_bytes", "file size", "bytes", "neither", "Size of the encoded image in the shard."),
    )
