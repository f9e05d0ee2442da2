"""Several conversions at once against each alone, and the public function for one image."""

import numpy as np
import pytest

from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.pixels.convert import convert, convert_each, resize
from alexnet_pipeline.pixels.kernels import NAMED, WITHOUT_KERNEL
from alexnet_pipeline.records import Conversion

METHODS = (*WITHOUT_KERNEL, *NAMED, "lanczos3:point", "opencv:linear")
ALONE = [Conversion(method=method, size_px=48) for method in METHODS]
MIXED = [
    *ALONE[:3],
    Conversion(method="lanczos", size_px=40, geometry="pad"),
    Conversion(method="lanczos", size_px=48, linear_light=True),
    Conversion(method="nearest", size_px=40, geometry="pad"),
    Conversion(method="bilinear", size_px=33, geometry="squash", rounding="truncate"),
    *ALONE[3:],
]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(3)).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("wanted", [ALONE, MIXED, ALONE[:1], ALONE[-1:]], ids=["alike", "mixed", "one", "library"])
@pytest.mark.parametrize("shape", [(75, 100), (131, 49), (48, 48), (20, 31), (1, 7)])
def test_what_is_shared_changes_nothing(wanted, shape) -> None:
    """Methods that share their work give what each gives alone."""
    image = noise(*shape)
    for options, (pixels, placement) in zip(wanted, convert_each(image, wanted), strict=True):
        alone, placed = convert(image, options)
        assert placement == placed
        assert (pixels == alone).all()
        assert pixels.flags.c_contiguous


def test_resize_is_what_shard_does() -> None:
    """The public function converts one image by the same words as the command line."""
    image = noise(75, 100)
    wanted = convert(image, Conversion(method="lanczos", size_px=48, geometry="pad", linear_light=True))[0]
    assert (resize(image, "lanczos", size=48, geometry="pad", linear_light=True) == wanted).all()
    assert resize(image).shape == (256, 256, 3)


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.zeros((4, 4), np.uint8), {}, "HWC uint8"),
        (np.zeros((4, 4, 3), np.float32), {}, "HWC uint8"),
        (np.zeros((4, 4, 3), np.uint8), {"size": 100_000}, "at most 4,096"),
        (np.zeros((4, 4, 3), np.uint8), {"method": "lanczo"}, "did you mean lanczos"),
        (np.zeros((4, 4, 3), np.uint8), {"method": "opencv:area", "linear_light": True}, "gamma"),
    ],
)
def test_resize_refuses_what_it_cannot_do(image, options, words) -> None:
    """In one line, and as the package's error."""
    with pytest.raises(RefusedError, match=words):
        resize(image, **options)
