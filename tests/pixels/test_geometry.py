"""Sizes and crops, to the pixel."""

import pytest

from alexnet_pipeline.errors import RejectedImageError
from alexnet_pipeline.pixels.geometry import place


@pytest.mark.parametrize(
    ("shape", "full", "start"),
    [
        ((375, 500), (256, 341), (0, 42)),
        ((500, 375), (341, 256), (42, 0)),
        ((333, 500), (256, 384), (0, 64)),
        ((256, 256), (256, 256), (0, 0)),
        ((100, 300), (256, 768), (0, 256)),
        ((375, 501), (256, 342), (0, 43)),
    ],
)
def test_center_crop(shape, full, start) -> None:
    """The long side is floor(x + 1/2), the crop start floor."""
    placed = place(*shape, 256, "center-crop", "half-up")
    assert (placed.rows.full, placed.columns.full) == full
    assert (placed.rows.start, placed.columns.start) == start
    assert placed.canvas_px == (256, 256)


def test_torchvision_truncates() -> None:
    """341.33 and 341.99 are both 341, and halves of the crop go to even."""
    assert place(375, 500, 256, "center-crop", "truncate").columns.full == 341
    assert place(375, 501, 256, "center-crop", "truncate").columns.full == 342
    assert place(374, 499, 256, "center-crop", "truncate").columns.full == 341
    placed = place(256, 259, 256, "center-crop", "truncate")
    assert placed.columns.start == 2  # round(1.5) is 2, floor is 1
    assert place(256, 259, 256, "center-crop", "half-up").columns.start == 1


def test_other_geometries() -> None:
    """Squash loses the aspect, shorter keeps all, pad lays on black."""
    assert place(300, 600, 256, "squash", "half-up").canvas_px == (256, 256)
    assert place(300, 600, 256, "shorter", "half-up").canvas_px == (256, 512)
    padded = place(300, 600, 256, "pad", "half-up")
    assert (padded.canvas_px, padded.rows.count, padded.corner_px) == ((256, 256), 128, (64, 0))


def test_a_strip_never_becomes_a_monster() -> None:
    """`shorter` refuses what no JPEG can hold; the others take it."""
    with pytest.raises(RejectedImageError, match="too_large"):
        place(1, 3000, 256, "shorter", "half-up")
    assert place(1, 3000, 256, "pad", "half-up").rows.full == 1


def test_upsampled_is_told() -> None:
    """On any axis."""
    assert place(255, 500, 256, "center-crop", "half-up").upsampled
    assert not place(256, 500, 256, "center-crop", "half-up").upsampled
    assert place(200, 500, 256, "squash", "half-up").upsampled
