"""What is measured on every picture, with a sentence each that lets a reader repeat it."""

from __future__ import annotations

from alexnet_pipeline.comparison.records import Metric
from alexnet_pipeline.comparison.measure.ringing import NOTICED_LEVELS
from alexnet_pipeline.comparison.measure.similarity import MOST_PSNR_DB

# Metrics whose values are times, and differ from run to run.
TIMES = ("decode_ms", "resample_ms", "encode_ms")

_IDEAL = "the float64 ideal low-pass (cosine transform cut at the target's length, clipped to 0..255, not rounded)"


def method_metrics(quality: int) -> tuple[Metric, ...]:
    """The metrics of methods on raw pictures, in the order of the table, where JPEG has this quality."""
    return (
        Metric(
            "psnr_db",
            "PSNR",
            "dB",
            "higher",
            f"10 log10(255^2 / mean squared RGB difference) from {_IDEAL}, capped at {MOST_PSNR_DB:.1f} dB, which "
            "rounding alone costs; it rewards sharpness.",
        ),
        Metric(
            "ssim",
            "SSIM",
            "",
            "higher",
            f"Mean structural similarity (Wang et al. 2004: 11-tap Gaussian of sigma 1.5, K1 = 0.01, K2 = 0.03) of "
            f"luma with that of {_IDEAL}.",
        ),
        Metric("error_levels", "error", "levels", "lower", f"Root mean squared RGB difference from {_IDEAL}."),
        Metric(
            "shift_error_levels",
            "shift error",
            "levels",
            "lower",
            "The picture without its last column and without its first are resampled; the first result, moved by the "
            "source pixel between them with band-limited interpolation, and the second differ by this root mean square "
            "(RGB, columns near the left and right border left out); aliasing raises it, and blur lowers it.",
        ),
        Metric(
            "overshoot_levels",
            "overshoot",
            "levels",
            "lower",
            "Before rounding and clipping, how far samples lie outside the range of the source pixels within one "
            f"output pixel of their centre, mean over all samples (under {NOTICED_LEVELS} levels counts as none): "
            "ringing.",
        ),
        Metric(
            "clipped_share",
            "clipped",
            "",
            "lower",
            "Share of samples that lie outside -0.5..255.5 before rounding, so that clipping changes them.",
        ),
        Metric(
            "jpeg_bytes",
            "JPEG size",
            "bytes",
            "neither",
            f"Bytes of the result as a JPEG of quality {quality}, 4:2:0; detail and aliasing both cost bytes.",
        ),
        Metric(
            "jpeg_error_levels",
            "JPEG error",
            "levels",
            "neither",
            f"Root mean squared RGB difference between the result and itself after a JPEG of quality {quality}: what "
            "storing costs; detail costs more than blur.",
        ),
        Metric(
            "stored_error_levels",
            "stored error",
            "levels",
            "lower",
            f"Root mean squared RGB difference between the result after a JPEG of quality {quality} and {_IDEAL}.",
        ),
        Metric(
            "decode_ms",
            "decode",
            "ms",
            "neither",
            "CPU time to decode the picture, measured once and the same for all methods.",
        ),
        Metric(
            "resample_ms",
            "resample",
            "ms",
            "lower",
            "CPU time to bring the decoded picture to the target, the method's weights for a new size included.",
        ),
        Metric(
            "encode_ms", "encode", "ms", "neither", f"CPU time to encode the result as a JPEG of quality {quality}."
        ),
    )


def shard_metrics(first: str) -> tuple[Metric, ...]:
    """The metrics of finished shard sets against the first of them, in the order of the table."""
    return (
        Metric(
            "psnr_db",
            "PSNR",
            "dB",
            "neither",
            f"10 log10(255^2 / mean squared RGB difference) from the sample of the same key in {first}, capped at "
            f"{MOST_PSNR_DB:.1f} dB.",
        ),
        Metric(
            "ssim",
            "SSIM",
            "",
            "neither",
            "Mean structural similarity (Wang et al. 2004: 11-tap Gaussian of sigma 1.5, K1 = 0.01, K2 = 0.03) of luma "
            f"with the sample of the same key in {first}.",
        ),
        Metric(
            "error_levels",
            "difference",
            "levels",
            "neither",
            f"Root mean squared RGB difference from the sample of the same key in {first}.",
        ),
        Metric(
            "most_levels",
            "largest difference",
            "levels",
            "neither",
            f"Largest difference of any value from the sample of the same key in {first}.",
        ),
        Metric(
            "differing_share",
            "differing",
            "",
            "neither",
            f"Share of values that differ by more than one level from the sample of the same key in {first}.",
        ),
        Metric("file_bytes", "file size", "bytes", "neither", "Bytes of the picture as it lies in the shard."),
    )
