"""Several conversions at once against each alone, and what they need of a picture."""

import numpy as np
import pytest

from alexnet_pipeline.pixels.convert import convert, convert_each, needed
from alexnet_pipeline.pixels.kernels import NAMED, UNKERNELLED
from alexnet_pipeline.records import MethodOptions

METHODS = (*UNKERNELLED, *NAMED, "lanczos3:point", "opencv:linear")
ALONE = [MethodOptions(method=method, size_px=48) for method in METHODS]
MIXED = [
    *ALONE[:3],
    MethodOptions(method="lanczos", size_px=40, geometry="pad"),
    MethodOptions(method="lanczos", size_px=48, linear_light=True),
    MethodOptions(method="nearest", size_px=40, geometry="pad"),
    MethodOptions(method="bilinear", size_px=33, geometry="squash", rounding="truncate"),
    *ALONE[3:],
]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(3)).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("wanted", [ALONE, MIXED, ALONE[:1], ALONE[-1:]], ids=["alike", "mixed", "one", "library"])
@pytest.mark.parametrize("shape", [(75, 100), (131, 49), (48, 48), (20, 31), (1, 7)])
def test_what_is_shared_changes_nothing(wanted, shape) -> None:
    image = noise(*shape)
    for options, (pixels, placement) in zip(wanted, convert_each(image, wanted), strict=True):
        alone, placed = convert(image, options)
        assert placement == placed
        assert (pixels == alone).all()
        assert pixels.flags.c_contiguous


@pytest.mark.parametrize("wanted", [ALONE[:-1], MIXED[:7], ALONE[:1]], ids=["alike", "mixed", "nearest"])
@pytest.mark.parametrize("shape", [(75, 100), (131, 49), (20, 31), (1, 7)])
def test_nothing_else_is_needed(wanted, shape) -> None:
    """Whatever stands outside the needed part, the targets stay the same."""
    image = noise(*shape)
    top, bottom, left, right = needed(*shape, wanted)
    other = 255 - image
    other[top:bottom, left:right] = image[top:bottom, left:right]
    for (pixels, _), (same, _) in zip(convert_each(image, wanted), convert_each(other, wanted), strict=True):
        assert (pixels == same).all()


def test_a_library_needs_all() -> None:
    assert needed(75, 100, ALONE) == (0, 75, 0, 100)
