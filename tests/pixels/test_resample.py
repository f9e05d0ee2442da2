"""The engine against its definition, against libraries and against closed forms."""

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_pipeline.pixels.geometry import Axis, Placement, place
from alexnet_pipeline.pixels.kernels import KERNELS, NAMED, SUPPORTS, WITHOUT_KERNEL, find_method
from alexnet_pipeline.pixels.resample import resample_each
from alexnet_pipeline.pixels.weights import axis_weights
from tests.pixels import oracle

METHODS = [*WITHOUT_KERNEL, *NAMED]
PAIRS = [f"{kernel}:{support}" for kernel in KERNELS for support in SUPPORTS]


def resample(image, placement, method, linear_light=False):
    """The engine, for one method."""
    return resample_each(image, placement, [method], linear_light=linear_light)[0]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """White noise: the hardest picture for a filter, since all frequencies are in it."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, 3), np.uint8)


def whole(height: int, width: int, full: tuple[int, int]) -> Placement:
    """The uncropped placement."""
    return Placement(Axis(height, full[0], 0, full[0]), Axis(width, full[1], 0, full[1]), full, (0, 0))


def check(image: np.ndarray, placement: Placement, method: str, linear_light: bool = False) -> None:
    """At most one level from the oracle anywhere, equal almost everywhere."""
    rows, columns = placement.rows, placement.columns
    exact = oracle.resample(image, (rows.full, columns.full), method, linear_light)
    exact = exact[rows.start : rows.start + rows.count, columns.start : columns.start + columns.count]
    levels = np.rint(np.clip(exact, 0, 255))
    ours = resample(image, placement, find_method(method), linear_light=linear_light)
    assert ours.dtype == np.uint8
    difference = np.abs(ours - levels)
    assert difference.max() <= 1
    # Where the exact value lies on a half, float32 may fall on either side.
    near_half = np.abs(np.abs(exact - np.floor(exact)) - 0.5) < 1e-3
    assert not difference[~near_half].any()


@pytest.mark.parametrize("method", [*METHODS, *PAIRS])
@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (256, 300), (100, 90)])
def test_every_method_is_its_definition(method: str, shape: tuple[int, int]) -> None:
    """Down, to the same size and up, cropped as ImageNet is."""
    check(noise(*shape), place(*shape, 256, "center-crop", "half-up"), method)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    full_height=st.integers(1, 80),
    full_width=st.integers(1, 80),
    method=st.sampled_from([*METHODS, *PAIRS]),
    seed=st.integers(0, 9),
)
def test_any_size_is_the_definition(
    height: int, width: int, full_height: int, full_width: int, method: str, seed: int
) -> None:
    """One-pixel sides and extreme aspects too."""
    check(noise(height, width, seed), whole(height, width, (full_height, full_width)), method)


@pytest.mark.parametrize("shape", [(3000, 1), (1, 3000), (3000, 7), (1, 1)])
def test_extreme_aspects_are_the_definition(shape: tuple[int, int]) -> None:
    """Strips, of which only the kept part is computed."""
    check(noise(*shape), whole(*shape, (40, 40)), "lanczos")
    ours = resample(noise(*shape), place(*shape, 256, "center-crop", "half-up"), find_method("lanczos"))
    assert ours.shape == (256, 256, 3)


@pytest.mark.parametrize("method", ["lanczos", "antialias", "nearest", "area"])
def test_linear_light_is_the_definition(method: str) -> None:
    """Through the exact sRGB curve and back."""
    check(noise(300, 400), place(300, 400, 128, "center-crop", "half-up"), method, linear_light=True)


def test_linear_light_keeps_every_level() -> None:
    """An identity of size is one of levels."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert (resample(ramp, whole(16, 16, (16, 16)), find_method("lanczos"), linear_light=True) == ramp).all()


def test_passes_are_not_quantised_between() -> None:
    """Overshoot of the first pass must reach the second: clipping or rounding between them is off by levels."""
    image = np.kron(np.random.Generator(np.random.PCG64(1)).integers(0, 2, (60, 60, 1)), np.ones((4, 4, 3)))
    check((image * 255).astype(np.uint8), whole(240, 240, (111, 111)), "lanczos")


@pytest.mark.parametrize("method", [*METHODS, *PAIRS])
@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_constants_stay_constant(method: str, value: int) -> None:
    """Weights sum to one."""
    image = np.full((90, 130, 3), value, np.uint8)
    assert (resample(image, whole(90, 130, (37, 211)), find_method(method)) == value).all()


@pytest.mark.parametrize("method", [*METHODS, *PAIRS])
def test_weights_sum_to_one(method: str) -> None:
    """In every row, and unused taps weigh nothing."""
    for source, full in [(500, 256), (256, 256), (100, 256), (1, 9), (2400, 256)]:
        first, taps, weights = axis_weights(Axis(source, full, 0, full), find_method(method))
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
        assert (first >= 0).all()
        assert (first + taps <= source).all()
        assert (taps >= 1).all()
        assert not any(row[count:].any() for row, count in zip(weights, taps, strict=True))


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bilinear-aa", "bicubic", "lanczos", "area"])
def test_same_size_is_the_identity(method: str) -> None:
    """Of interpolating kernels."""
    image = noise(50, 70)
    assert (resample(image, whole(50, 70, (50, 70)), find_method(method)) == image).all()


@pytest.mark.parametrize("method", ["bilinear", "bilinear-aa", "bicubic", "lanczos", "area", "antialias"])
def test_ramps_are_kept_inside(method: str) -> None:
    """A linear ramp keeps its slope and position; half a pixel off would show as a step of levels."""
    ramp = np.broadcast_to(np.arange(0, 240, 2, np.uint8)[None, :, None], (120, 120, 3)).copy()
    ours = resample(ramp, whole(120, 120, (40, 40)), find_method(method)).astype(int)
    expected = 2 * ((np.arange(40) + 0.5) * 3 - 0.5)
    assert np.abs(ours[20, 8:-8, 0] - expected[8:-8]).max() <= 1


@pytest.mark.parametrize("method", [m for m in METHODS if m != "nearest"])
def test_mirroring_and_transposing_commute(method: str) -> None:
    """Neither direction nor axis is favoured, up to float32's order of summation."""
    image, target = noise(90, 120), find_method(method)
    straight = resample(image, whole(90, 120, (41, 53)), target).astype(int)
    mirrored = resample(np.ascontiguousarray(image[:, ::-1]), whole(90, 120, (41, 53)), target)[:, ::-1]
    turned = resample(np.ascontiguousarray(image.transpose(1, 0, 2)), whole(120, 90, (53, 41)), target)
    assert np.abs(straight - mirrored).max() <= 1
    assert np.abs(straight - turned.transpose(1, 0, 2)).max() <= 1


def test_integer_factor_is_filter_then_subsample() -> None:
    """`antialias` is a low-pass, then every fourth pixel, as its name says."""
    image = noise(160, 160)
    offsets = np.arange(-7.5, 8)
    taps = np.exp(-2 * (offsets / 4) ** 2)
    taps /= taps.sum()
    exact = image.astype(np.float64)
    for axis in (0, 1):
        exact = np.apply_along_axis(lambda line: np.convolve(line, taps, "valid"), axis, exact)
    ours = resample(image, whole(160, 160, (40, 40)), find_method("antialias"))
    # Output i is centred on source 4 i + 1.5, so its first tap is on 4 i - 6.
    assert np.abs(ours[2:-2, 2:-2] - np.rint(exact[2::4, 2::4])).max() <= 1


def test_sinusoids_follow_the_analytic_response() -> None:
    """A cosine below Nyquist comes out with the gain of the weights' Fourier sum."""
    n, m = 480, 160
    for cycles in (10, 40, 70):
        wave = 127.5 + 100 * np.cos(2 * np.pi * cycles * (np.arange(n) + 0.5) / n)
        image = np.repeat(np.rint(wave).astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)
        ours = resample(image, whole(48, n, (16, m)), find_method("antialias"))[8, :, 0].astype(float)
        offsets = np.arange(-6, 7)
        taps = np.where(np.abs(offsets) < 6, np.exp(-2 * (offsets / 3) ** 2), 0)
        gain = (taps * np.cos(2 * np.pi * cycles * offsets / n)).sum() / taps.sum()
        expected = 127.5 + 100 * gain * np.cos(2 * np.pi * cycles * (np.arange(m) + 0.5) / m)
        assert np.abs(ours - expected)[4:-4].max() <= 1.5


@pytest.mark.parametrize(
    ("method", "flag", "shape"),
    [
        ("bilinear", cv2.INTER_LINEAR, (375, 500)),
        ("area", cv2.INTER_AREA, (375, 500)),
        ("area", cv2.INTER_AREA, (512, 768)),
    ],
)
def test_opencv_agrees_where_it_should(method: str, flag: int, shape: tuple[int, int]) -> None:
    """An independent implementation at its known tolerance."""
    image = cv2.GaussianBlur(noise(*shape), (0, 0), 1)
    full = (256, round(256 * shape[1] / shape[0]))
    ours = resample(image, whole(*shape, full), find_method(method)).astype(int)
    theirs = cv2.resize(image, full[::-1], interpolation=flag)
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize(("method", "name"), [("bilinear-aa", "BILINEAR"), ("nearest", "NEAREST")])
def test_pillow_agrees_where_it_should(method: str, name: str) -> None:
    """Pillow's bilinear is ours to a level; nearest but for exact ties."""
    pillow = pytest.importorskip("PIL.Image", reason="the extra 'simd' is not installed")
    image = noise(375, 500)
    ours = resample(image, whole(375, 500, (256, 341)), find_method(method)).astype(int)
    theirs = np.asarray(pillow.fromarray(image).resize((341, 256), getattr(pillow.Resampling, name)))
    off = np.abs(ours - theirs) > 1
    assert off.mean() <= (0.01 if method == "nearest" else 0)


@pytest.mark.parametrize(
    ("method", "mode"), [("bilinear", "bilinear"), ("bicubic", "bicubic"), ("bilinear-aa", "bilinear")]
)
def test_torch_agrees(method: str, mode: str) -> None:
    """Torch's float path with and without antialias."""
    torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
    image = noise(375, 500)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    theirs = torch.nn.functional.interpolate(
        tensor, size=(256, 341), mode=mode, antialias=method != "bilinear", align_corners=False
    )
    levels = theirs[0].permute(1, 2, 0).round().clip(0, 255).numpy().astype(int)
    ours = resample(image, whole(375, 500, (256, 341)), find_method(method)).astype(int)
    assert np.abs(ours - levels).max() <= 1


GOLDENS = {
    "nearest": "dff71d8d864c6b68",
    "bilinear": "761ad15558f70240",
    "area": "bda3c1c7fb30050f",
    "lanczos": "00998d5f90ccbb78",
    "antialias": "92726cfb10059fca",
    "bilinear-aa": "a7c8dbfb0ac0dd75",
    "bicubic": "429c4336406b8057",
}


@pytest.mark.parametrize("method", GOLDENS)
def test_pixels_are_frozen(method: str) -> None:
    """The same pixels in every release and on every CPU: a change here changes everybody's data."""
    image = noise(375, 500, seed=7)
    ours = resample(image, place(375, 500, 256, "center-crop", "half-up"), find_method(method))
    assert hashlib.sha256(ours.tobytes()).hexdigest()[:16] == GOLDENS[method]


def test_real_photographs_are_the_definition(data_folder) -> None:
    """On real pictures of many sizes."""
    from alexnet_pipeline.pixels.codec import decode

    for path in sorted((data_folder / "imagenet-sample").glob("*/*"))[::40]:
        image = decode(path.read_bytes())
        check(image, place(*image.shape[:2], 256, "center-crop", "half-up"), "lanczos")


# An image whose last byte is the last that may be read.
GUARDED = """
import ctypes, mmap
import numpy as np
from alexnet_pipeline.pixels.convert import convert
from alexnet_pipeline.records import Conversion

page = mmap.PAGESIZE
memory = mmap.mmap(-1, 5 * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + 4 * page), page, 0) == 0
for height, width in ((9, 7), (20, 33), (36, 37), (1, 1)):
    size = height * width * 3
    image = np.frombuffer(memory, np.uint8, size, 4 * page - size).reshape(height, width, 3)
    for method in ("nearest", "area", "lanczos", "bilinear"):
        for side in (5, 16, 64):
            convert(image, Conversion(method=method, size_px=side))
print("read")
"""


def test_nothing_behind_an_image_is_read() -> None:
    """The engine's loads are not checked, so a page that must not be read lies behind the image."""
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
