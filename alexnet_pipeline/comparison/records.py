"""The results of a comparison: plain frozen records, which the report shows and the command prints as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alexnet_pipeline.comparison import summary
from alexnet_pipeline.records import Geometry, Reject

Better = Literal["higher", "lower", "neither"]
Kind = Literal["methods", "shards"]


@dataclass(frozen=True, slots=True)
class Response:
    """The frequency response of a method along one axis at one scale, from the weights that it applies.

    Attributes:
        method: its name.
        scale: source samples per output sample.
        frequencies: cycles per source pixel, ascending from 0 to 1/2.
        gains: magnitude of the mean response over all output positions, at each frequency.
        alias_white_db: energy above the output's Nyquist frequency that remains, in dB of all energy there, for white
            input.
        alias_natural_db: the same for input of 1/f^2 power, as photographs have.
        passband_white: share of the energy below the Nyquist frequency that the mean response keeps, white input.
        passband_natural: the same for input of 1/f^2 power.
        half_nyquist_gain: gain of the mean response at half the output's Nyquist frequency.
        jitter_px: standard deviation of the sampling positions from the ideal ones, in source pixels.
    """

    method: str
    scale: float
    frequencies: tuple[float, ...]
    gains: tuple[float, ...]
    alias_white_db: float
    alias_natural_db: float
    passband_white: float
    passband_natural: float
    half_nyquist_gain: float
    jitter_px: float


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that is measured on every image.

    Attributes:
        name: identifier, like `psnr_db`.
        label: heading for people.
        unit: of the values, empty for none.
        better: which direction is good; `neither` where it depends on the use.
        definition: a sentence from which a reader can repeat the measurement.
        shared: it is measured once for all methods, so that nothing compares them by it.
    """

    name: str
    label: str
    unit: str
    better: Better
    definition: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class MetricMean:
    """The mean of a metric over all images, for one method, with the ends of its 95 % confidence interval.

    Attributes:
        metric: name of the metric.
        best: no method has a better mean; never where `better` is `neither`.
        near_best: not the best, but the paired test finds no difference from it.
    """

    metric: str
    mean: float
    low: float
    high: float
    best: bool
    near_best: bool


@dataclass(frozen=True, slots=True)
class MethodResult:
    """The results of one method, or of one shard set.

    Attributes:
        name: of the method; `METHOD (FOLDER)` for each of several shard sets of one method.
        definition: the method as a formula.
        responses: at each scale, the comparison's main scale first; empty for a shard set.
        measured: the mean of each metric, in the comparison's order of metrics.
        spectrum: radially averaged power of luma, mean over images, in dB, at the comparison's
            `spectrum_frequencies`.
    """

    name: str
    definition: str
    responses: tuple[Response, ...] = ()
    measured: tuple[MetricMean, ...] = ()
    spectrum: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two methods and the mean of first minus second, with the ends of its 95 % confidence interval.

    Attributes:
        p_value: two-sided, adjusted by Holm's method over all pairs.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, slots=True)
class PairedTest(_Pair):
    """Two methods on the same images, by one metric; p values are adjusted over the pairs of this metric.

    Attributes:
        metric: name of the metric.
        identical: the metric has the same value for both on every image.
    """

    metric: str
    identical: bool


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image and the metrics of every method on it.

    Attributes:
        key: of the image.
        name: within the source.
        path: file that holds its bytes.
        offset: of the bytes in that file.
        size_bytes: of the image.
        sha256: of the bytes, hex.
        height_px: of the upright image.
        width_px: likewise.
        scale: source pixels per output pixel along the shorter side.
        disagreement: standard deviation across methods, mean over all output values, in levels.
        window_px: (top, left) of the 64 x 64 window of the output in which methods disagree most.
        values: name of a metric -> its value for each method, in the comparison's order of methods.
    """

    key: str
    name: str
    path: str
    offset: int
    size_bytes: int
    sha256: str
    height_px: int
    width_px: int
    scale: float
    disagreement: float
    window_px: tuple[int, int]
    values: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class TrainedCell:
    """A network of one training method and seed on one test method's validation set: shares of wrong images, 0 to 1."""

    train: str
    test: str
    seed: int
    total_images: int
    top1_error: float
    top5_error: float


@dataclass(frozen=True, slots=True)
class ShiftCell:
    """How often a network predicts the same class for an image that is moved by one pixel: share from 0 to 1."""

    train: str
    seed: int
    total_images: int
    consistency: float


@dataclass(frozen=True, slots=True)
class MatrixEntry:
    """Errors by training and test method: means and standard deviations (n - 1) over seeds, as shares."""

    train: str
    test: str
    top1_mean: float
    top1_deviation: float
    top5_mean: float
    top5_deviation: float


@dataclass(frozen=True, slots=True)
class TrainedPair(_Pair):
    """The top-1 errors (shares) of two methods, each trained and tested with itself, paired by seed.

    The interval is from the residuals of all methods' errors when the means of methods and of seeds are taken away.

    Attributes:
        detectable: smallest true difference that this comparison could have detected with 80 % power.
    """

    detectable: float


@dataclass(frozen=True, slots=True)
class NetworkResults:
    """The accuracy of networks that were trained on each method's shards.

    Attributes:
        preset: of the networks.
        steps: of training, for each network.
        batch_images: images per step.
        seeds: in order.
        train_images: size of the training set.
        cells: each network on each validation set.
        shifts: each network on its own validation set.
        matrix: errors by training and test method, over seeds.
        pairs: every two methods, each trained and tested with itself.
        finding: in words: the differences that were found, and the smallest that could have been detected.
    """

    preset: str
    steps: int
    batch_images: int
    seeds: tuple[int, ...]
    train_images: int
    cells: tuple[TrainedCell, ...]
    shifts: tuple[ShiftCell, ...]
    matrix: tuple[MatrixEntry, ...]
    pairs: tuple[TrainedPair, ...]
    finding: str


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """The results of a comparison.

    Attributes:
        format_version: of these records.
        kind: `methods` on raw images, or finished `shards`.
        source: path of the raw images, or the paths of the shard sets, joined by commas.
        command: that repeats the comparison; empty where it was started from Python.
        size_px: side of the output images.
        geometry: how an image of any shape becomes the output.
        quality: of the JPEG whose size and error are measured.
        scales: at which the frequency responses are computed; the first is the main one.
        methods: in the order asked for.
        metrics: in the order of the table.
        tests: every pair of methods by every metric.
        images: in the order of their keys.
        rejects: images that could not be read.
        spectrum_frequencies: cycles per output pixel, 0 to 1/2.
        training: None where no networks were trained.
        verdict: advice in plain words, then the numbers: of the weights, of the images and of trained networks.
        versions: of the libraries that decided the numbers.
        decoder: how images were decoded, in words.
        machine: processor and cores.
    """

    format_version: int
    kind: Kind
    source: str
    command: str
    size_px: int
    geometry: Geometry
    quality: int
    scales: tuple[float, ...]
    methods: tuple[MethodResult, ...]
    metrics: tuple[Metric, ...]
    tests: tuple[PairedTest, ...]
    images: tuple[ImageResult, ...]
    rejects: tuple[Reject, ...]
    spectrum_frequencies: tuple[float, ...]
    training: NetworkResults | None
    verdict: tuple[str, ...]
    versions: dict[str, str]
    decoder: str
    machine: str

    def __repr__(self) -> str:
        names = ", ".join(method.name for method in self.methods)
        trained = ", with networks" if self.training else ""
        return f"Comparison({len(self.images):,} images of {self.source!r}: {names}{trained})"

    def _repr_html_(self) -> str:
        """The means as a table and the verdict, for a notebook."""
        return summary.as_html(self)
