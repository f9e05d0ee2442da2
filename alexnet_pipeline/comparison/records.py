"""The numbers of a comparison: plain frozen records, which the page draws and `--json` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alexnet_pipeline.records import Reject

Better = Literal["higher", "lower", "neither"]
Kind = Literal["methods", "shards"]


@dataclass(frozen=True, slots=True)
class Response:
    """One method's frequency response along one axis at one scale, from the weights it really uses.

    Attributes:
        method: name.
        scale: source samples per output sample.
        frequencies: cycles per source pixel, ascending from 0 to 1/2.
        gains: magnitude of the mean response over all output positions, at each frequency.
        alias_white_db: energy from above the output's Nyquist frequency that stays, in dB of all that was there,
            for white input.
        alias_natural_db: the same for input of 1/f^2 power, as photographs have.
        passband_white: share of the energy below it that the mean response keeps, white input.
        passband_natural: the same for 1/f^2.
        half_nyquist_gain: the mean response's gain at half the output's Nyquist frequency.
        jitter_px: standard deviation of where outputs really sample, about where they should, in source pixels.
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
    """Something measured on every picture.

    Attributes:
        name: identifier, like `psnr_db`.
        label: heading for people.
        unit: of the values, empty for none.
        better: which direction is good; `neither` where it depends on the use.
        definition: one sentence that lets a reader repeat the measurement.
    """

    name: str
    label: str
    unit: str
    better: Better
    definition: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one method over all pictures.

    Attributes:
        metric: name of the metric.
        mean: over pictures.
        low: lower end of the mean's 95 % interval.
        high: its upper end.
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
class MethodNumbers:
    """All of one method, or of one shard set.

    Attributes:
        name: method name; of a shard set, `METHOD (FOLDER)` where two sets share a method, else the method.
        definition: what the name promises.
        responses: one a scale, the comparison's main scale first; empty for a shard set.
        measured: one a metric, in the comparison's order of metrics.
        spectrum: radially averaged power of luma, mean over pictures, in dB, at the comparison's
            `spectrum_frequencies`.
    """

    name: str
    definition: str
    responses: tuple[Response, ...]
    measured: tuple[Measured, ...]
    spectrum: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Two methods on the same pictures, by one metric.

    Attributes:
        metric: name.
        first: method.
        second: method.
        difference: mean of first minus second.
        low: lower end of its 95 % interval.
        high: upper end.
        p_value: two-sided, adjusted by Holm over all pairs of this metric; 1 where all differences are zero.
        identical: no picture differed at all.
    """

    metric: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    identical: bool


@dataclass(frozen=True, slots=True)
class PictureNumbers:
    """One picture and what every method did to it.

    Attributes:
        key: of the picture.
        name: within the source.
        path: file that holds its bytes.
        offset: of the bytes in that file.
        size_bytes: of the picture.
        sha256: of the bytes, hex.
        height_px: upright.
        width_px: upright.
        scale: source pixels per output pixel along the shorter side.
        disagreement: standard deviation across methods, mean over samples of the whole target, in levels.
        window_px: (top, left) of the 64 x 64 window of the target in which methods disagree most.
        values: metric name -> one value a method, in the comparison's order of methods.
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
    """One network evaluated on one method's validation set.

    Attributes:
        train: method of the training set.
        test: method of the validation set.
        seed: of weights, order and views.
        total_images: counted.
        top1_error: share, 0 to 1, centre crop.
        top5_error: share.
    """

    train: str
    test: str
    seed: int
    total_images: int
    top1_error: float
    top5_error: float


@dataclass(frozen=True, slots=True)
class ShiftCell:
    """How often a network answers the same for a picture moved by one pixel; share from 0 to 1."""

    train: str
    seed: int
    total_images: int
    consistency: float


@dataclass(frozen=True, slots=True)
class MatrixEntry:
    """Train filter x test filter over seeds: means and standard deviations (n - 1) of error shares."""

    train: str
    test: str
    top1_mean: float
    top1_deviation: float
    top5_mean: float
    top5_deviation: float


@dataclass(frozen=True, slots=True)
class TrainedPair:
    """Two methods, each trained and tested with itself, paired by seed.

    Attributes:
        first: method.
        second: method.
        difference: of top-1 error, first minus second, mean over seeds, as a share.
        low: lower end of its 95 % interval, by what is left of all methods' errors beside means of methods and seeds.
        high: upper end.
        p_value: two-sided, adjusted by Holm over the pairs.
        detectable: smallest true difference that this run would have found with 80 % power.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    detectable: float


@dataclass(frozen=True, slots=True)
class Training:
    """What training by every method showed.

    Attributes:
        preset: recipe.
        steps: of every network.
        batch_images: a step.
        seeds: in order.
        train_images: of the training set.
        cells: every network on every validation set.
        shifts: every network on its own validation set.
        matrix: over seeds.
        pairs: of the diagonal.
        finding: in words: which differences were found, or none, and the smallest that could have been.
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a comparison found.

    Attributes:
        format_version: of these records.
        kind: `methods` on raw pictures, or finished `shards`.
        source: path of the raw pictures, or those of the shard sets, joined by a comma.
        command: that a person would repeat.
        size_px: target side.
        geometry: how any shape becomes the target.
        quality: of the JPEG whose size and error are measured.
        scales: at which the responses are computed; the first is the main one.
        methods: in the order asked for.
        metrics: in the order of the table.
        tests: every pair by every metric.
        pictures: in the order of their keys.
        rejects: pictures that could not be read.
        spectrum_frequencies: cycles per output pixel, 0 to 1/2.
        training: None where none was asked for.
        verdict: three sentences.
        versions: of the libraries that decided the numbers.
        decoder: how pictures were decoded, in words.
        machine: processor and cores.
    """

    format_version: int
    kind: Kind
    source: str
    command: str
    size_px: int
    geometry: str
    quality: int
    scales: tuple[float, ...]
    methods: tuple[MethodNumbers, ...]
    metrics: tuple[Metric, ...]
    tests: tuple[PairedTest, ...]
    pictures: tuple[PictureNumbers, ...]
    rejects: tuple[Reject, ...]
    spectrum_frequencies: tuple[float, ...]
    training: Training | None
    verdict: tuple[str, ...]
    versions: dict[str, str]
    decoder: str
    machine: str
