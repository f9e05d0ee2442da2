"""Every operator of a comparison against a slow one of another make."""

import math

import numpy as np
import pytest

from alexnet_pipeline.compare.measure import Settings, disagreement_of, measure
from alexnet_pipeline.compare.reference import low_pass, shifted
from alexnet_pipeline.compare.ringing import clipped_share, local_range, overshoot_levels, unrounded
from alexnet_pipeline.compare.similarity import MOST_PSNR_DB, luma, psnr_db, root_mean_square, ssim
from alexnet_pipeline.compare.spectrum import RINGS, radial_power, ring_frequencies
from alexnet_pipeline.pixels import codec
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.pixels.geometry import Placement, place
from alexnet_pipeline.pixels.kernels import find_method
from alexnet_pipeline.records import Geometry, MethodOptions, RawImage
from tests.pixels import oracle

METHODS = ("nearest", "bilinear", "area", "bilinear-aa", "bicubic", "lanczos", "antialias")
SHAPES = [(90, 130), (130, 77), (40, 50)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """White noise: all frequencies."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def placed(height: int, width: int, geometry: Geometry = "center-crop") -> Placement:
    """A target of 64 pixels."""
    return place(height, width, 64, geometry, "half-up")


def measured(image: np.ndarray, methods: tuple[str, ...], geometry: Geometry = "center-crop") -> dict:
    """A picture's numbers, from a PNG of it."""
    data = codec.encode(np.ascontiguousarray(image), encoding="png", quality=90, subsampling="420")
    picture = RawImage("k", 0, "n", "n/k", "p", 7, len(data), 0)
    found = measure(picture, data, Settings(methods, 64, geometry, 90))
    return {"numbers": found.numbers, "spectra": found.spectra, **found.numbers.values}


def cosines(length: int, positions: np.ndarray, count: int) -> np.ndarray:
    """(positions, count): cosine k of a mirrored axis at any position, scaled to go back from DCT-II."""
    k = np.arange(count)
    return np.cos(np.pi * k * (2 * positions[:, None] + 1) / (2 * length)) * np.where(k == 0, 1, 2) / length


def ideal_matrix(source: int, full: int) -> np.ndarray:
    """(full, source): the ideal low-pass of one axis, written out."""
    count = min(source, full)
    there = np.cos(np.pi * np.arange(count)[:, None] * (2 * np.arange(source) + 1) / (2 * source))
    positions = (np.arange(full) + 0.5) * source / full - 0.5
    return cosines(source, positions, count) @ there


@pytest.mark.parametrize("shape", SHAPES)
def test_the_reference_is_its_definition(shape: tuple[int, int]) -> None:
    """Against dense matrices of cosines, cropped; smaller and larger."""
    placement, image = placed(*shape), noise(*shape)
    rows, columns = placement.rows, placement.columns
    exact = np.einsum(
        "ik,klc,jl->ijc", ideal_matrix(rows.source, rows.full), image, ideal_matrix(columns.source, columns.full)
    )
    exact = exact[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
    assert low_pass(image, placement) == pytest.approx(exact, abs=1e-9)


def test_the_reference_keeps_what_fits_and_nothing_else() -> None:
    """A cosine below the output's limit is sampled exactly; one above leaves grey."""
    k = np.arange(128)
    for order, kept in ((40, True), (90, False)):
        wave = 128 + 100 * np.cos(np.pi * order * (2 * k + 1) / 256)
        image = np.repeat(wave[:, None, None], 128, 1).repeat(3, 2)
        found = low_pass(image, placed(128, 128))[:, 5, 0]  # type: ignore[arg-type]
        expected = 128 + kept * 100 * np.cos(np.pi * order * (2 * np.arange(64) + 1) / 128)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("by_px", [0.0, 0.37, 1.0, -2.6])
def test_a_shift_is_interpolation_by_cosines(by_px: float) -> None:
    """Against the dense matrix, in float64 and, nearly, in float32."""
    values = np.random.default_rng(1).random((3, 17, 2)) * 255
    there = np.cos(np.pi * np.arange(17)[:, None] * (2 * np.arange(17) + 1) / 34)
    matrix = cosines(17, np.arange(17) + by_px, 17) @ there
    exact = np.einsum("ij,hjc->hic", matrix, values)
    assert shifted(values, by_px) == pytest.approx(exact, abs=1e-9)
    single = shifted(values.astype(np.float32), by_px)
    assert single.dtype == np.float32
    assert single == pytest.approx(exact, abs=1e-3)


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al.'s formula, window by window."""
    taps = np.arange(11) - 5
    line = np.exp(-(taps**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (each[top : top + 11, left : left + 11].astype(np.float64) for each in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variances = (window * (a - mean_a) ** 2).sum() + (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            alike = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            found.append(alike / ((mean_a**2 + mean_b**2 + c1) * (variances + c2)))
    return float(np.mean(found))


def test_ssim_is_the_authors() -> None:
    """On noise, on flat pictures, and 1 for the same picture."""
    first = luma(noise(24, 31))
    for second in (luma(noise(24, 31, 5)), first * 0.5 + 20, np.full_like(first, 250)):
        assert ssim(first, second) == pytest.approx(slow_ssim(first, second), abs=1e-4)
    assert ssim(first, first) == pytest.approx(1)
    assert ssim(first[:1, :3], first[:1, :3]) == pytest.approx(1)


def test_errors_are_sums_of_squares() -> None:
    """Bytes, floats and mixed; PSNR of it, capped."""
    first, second = noise(9, 8), noise(9, 8, 1)
    exact = math.sqrt(((first.astype(float) - second) ** 2).mean())
    assert root_mean_square(first, second) == pytest.approx(exact)
    assert root_mean_square(first, second.astype(np.float32)) == pytest.approx(exact)
    assert psnr_db(exact) == pytest.approx(20 * math.log10(255 / exact))
    assert psnr_db(0) == MOST_PSNR_DB == pytest.approx(58.9, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_unrounded_values_are_the_oracles(method: str, shape: tuple[int, int]) -> None:
    """What the engine rounds, before it does."""
    placement, image = placed(*shape), noise(*shape)
    rows, columns = placement.rows, placement.columns
    exact = oracle.resample(image, (rows.full, columns.full), method)
    exact = exact[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
    assert unrounded(image.astype(np.float32), placement, find_method(method)) == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("method", ["opencv:linear", "opencv:cubic", "opencv:area", "pillow:bilinear", "pillow:box"])
@pytest.mark.parametrize("shape", SHAPES)
def test_unrounded_values_of_libraries_are_their_bytes(method: str, shape: tuple[int, int]) -> None:
    """Within a level and a half, since libraries round between passes."""
    if method.startswith("pillow"):
        pytest.importorskip("PIL", reason="pillow:* methods need the extra simd")
    image = noise(*shape)
    target, placement = convert(image, MethodOptions(method=method, size_px=64))
    found = unrounded(image.astype(np.float32), placement, find_method(method))
    assert np.abs(found.clip(0, 255) - target).max() < 1.5


@pytest.mark.parametrize("shape", SHAPES)
def test_local_ranges_are_brute_force(shape: tuple[int, int]) -> None:
    """The least and greatest source value nearer than one output pixel, sample by sample."""
    placement, image = placed(*shape), noise(*shape)
    lows, highs = local_range(image, placement)
    near = []
    for axis in (placement.rows, placement.columns):
        scale = axis.source / axis.full
        centres = (np.arange(axis.start, axis.start + axis.count) + 0.5) * scale - 0.5
        near.append([np.flatnonzero(np.abs(np.arange(axis.source) - c) < max(scale, 1)) for c in centres])
    for i, rows in enumerate(near[0]):
        for j, columns in enumerate(near[1]):
            window = image[np.ix_(rows, columns)]
            assert (lows[i, j] == window.min(axis=(0, 1))).all()
            assert (highs[i, j] == window.max(axis=(0, 1))).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_only_kernels_with_lobes_overshoot(shape: tuple[int, int]) -> None:
    """Weights that are positive within one output pixel stay in its range; Lanczos does not."""
    placement, image = placed(*shape), noise(*shape)
    lows, highs = local_range(image, placement)
    for method in ("nearest", "bilinear", "area", "bilinear-aa"):
        assert overshoot_levels(unrounded(image.astype(np.float32), placement, find_method(method)), lows, highs) == 0
    assert overshoot_levels(unrounded(image.astype(np.float32), placement, find_method("lanczos")), lows, highs) > 0


def test_overshoot_and_clipping_count_what_they_say() -> None:
    """Means and shares of a handful of values."""
    values = np.array([[-1.0, -0.4, 100, 255.4, 260]], np.float32)[..., None]
    assert clipped_share(values) == pytest.approx(0.4)
    lows, highs = np.full_like(values, 0), np.full_like(values, 255)
    assert overshoot_levels(values, lows, highs) == pytest.approx((1 + 0.4 + 0.4 + 5) / 5)


def test_white_noise_has_its_variance_in_every_ring() -> None:
    """The density's scale is right, and a wave shows at its own frequency."""
    random = np.random.default_rng(2)
    power = np.mean([radial_power(random.normal(100, 20, (256, 256))) for _ in range(16)], axis=0)
    assert power[4:] == pytest.approx(400, rel=0.2)
    wave = 128 + 50 * np.cos(2 * np.pi * 0.2 * np.arange(256))
    power = radial_power(np.repeat(wave[None], 256, 0))
    assert abs(ring_frequencies()[int(np.argmax(power))] - 0.2) < 1 / (2 * RINGS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (8, 8), (64, 20)])
def test_small_planes_have_a_whole_spectrum(shape: tuple[int, int]) -> None:
    """Every ring has a finite number."""
    power = radial_power(np.random.default_rng(0).random(shape))
    assert power.shape == (RINGS,)
    assert np.isfinite(power).all()


@pytest.mark.parametrize("shape", [(100, 90), (20, 200), (64, 64)])
def test_disagreement_is_brute_force(shape: tuple[int, int]) -> None:
    """The mean deviation and the window of greatest deviation."""
    targets = [noise(*shape, seed) for seed in range(4)]
    spread = np.std(targets, axis=0).mean(axis=2)
    height, width = (min(64, side) for side in shape)
    sums = {
        (top, left): spread[top : top + height, left : left + width].sum()
        for top in range(shape[0] - height + 1)
        for left in range(shape[1] - width + 1)
    }
    found, window = disagreement_of(targets)
    assert found == pytest.approx(spread.mean())
    assert sums[window] == pytest.approx(max(sums.values()))
    assert disagreement_of([targets[0]] * 3)[0] == 0


@pytest.mark.parametrize("geometry", ["center-crop", "squash", "shorter", "pad"])
def test_a_picture_is_measured_as_defined(geometry: Geometry) -> None:
    """Error, JPEG and provenance against the product's own pieces, for every geometry."""
    image = noise(90, 130)
    found = measured(image, ("lanczos", "nearest"), geometry)
    for number, method in enumerate(("lanczos", "nearest")):
        options = MethodOptions(method=method, size_px=64, geometry=geometry)
        target, placement = convert(image, options)
        top, left = placement.corner_px
        part = np.s_[top : top + placement.rows.count, left : left + placement.columns.count]
        ideal = low_pass(image, placement).clip(0, 255)
        error = math.sqrt(((target[part] - ideal) ** 2).mean())
        assert found["error_levels"][number] == pytest.approx(error, rel=1e-5)
        assert found["psnr_db"][number] == pytest.approx(20 * math.log10(255 / error), rel=1e-5)
        encoded = codec.encode(target, encoding="jpg", quality=90, subsampling="420")
        stored = codec.decode(encoded)
        assert found["jpeg_bytes"][number] == len(encoded)
        lost = math.sqrt(((stored[part] - target[part].astype(float)) ** 2).mean())
        assert found["jpeg_error_levels"][number] == pytest.approx(lost, rel=1e-5)
        both = math.sqrt(((stored[part] - ideal) ** 2).mean())
        assert found["stored_error_levels"][number] == pytest.approx(both, rel=1e-5)
    numbers = found["numbers"]
    assert (numbers.height_px, numbers.width_px, numbers.offset) == (90, 130, 7)
    assert numbers.scale == pytest.approx(90 / (32 * 90 // 65 if geometry == "pad" else 64))
    assert all(len(spectrum) == RINGS for spectrum in found["spectra"])


def test_a_moved_picture_changes_as_defined() -> None:
    """Both neighbours resampled, one moved by the dense matrix, compared inside."""
    image = noise(90, 130)
    found = measured(image, ("area", "nearest"))["shift_error_levels"]
    for number, method in enumerate(("area", "nearest")):
        options = MethodOptions(method=method, size_px=64)
        first, placement = convert(np.ascontiguousarray(image[:, :-1]), options)
        second, _ = convert(np.ascontiguousarray(image[:, 1:]), options)
        step = placement.columns.full / placement.columns.source
        there = np.cos(np.pi * np.arange(64)[:, None] * (2 * np.arange(64) + 1) / 128)
        moved = np.einsum("ij,hjc->hic", cosines(64, np.arange(64) + step, 64) @ there, first)
        margin = 16 + math.ceil(step)
        exact = (moved - second)[:, margin : 64 - margin]
        assert found[number] == pytest.approx(math.sqrt((exact**2).mean()), rel=1e-4)


def test_aliasing_breaks_consistency_and_smooth_pictures_keep_it() -> None:
    """Stripes above the output's limit come out otherwise after a shift; a slow wave does not."""
    x = np.arange(200)
    fine = np.repeat(np.where(x % 3 == 0, 255, 0)[None, :, None], 150, 0).repeat(3, 2).astype(np.uint8)
    slow = np.rint(128 + 90 * np.cos(2 * np.pi * x / 80))
    slow = np.repeat(slow[None, :, None], 150, 0).repeat(3, 2).astype(np.uint8)
    nearest, calm = measured(fine, ("nearest", "antialias"))["shift_error_levels"]
    assert nearest > 10 * calm
    assert max(measured(slow, ("lanczos", "antialias"))["shift_error_levels"]) < 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (20, 30), (300, 9)])
@pytest.mark.parametrize("geometry", ["center-crop", "pad"])
def test_odd_shapes_have_finite_numbers(shape: tuple[int, int], geometry: Geometry) -> None:
    """Single pixels, strips and enlarged pictures."""
    found = measured(noise(*shape), ("lanczos", "opencv:linear"), geometry)
    assert all(math.isfinite(value) for values in found["numbers"].values.values() for value in values)
    assert all(math.isfinite(value) for spectrum in found["spectra"] for value in spectrum)
