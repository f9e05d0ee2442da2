"""Lanes against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from alexnet_pipeline.pixels.lanes import load, splat, store, transpose

compiled = numba.njit(error_model="numpy")


@compiled
def weighted(source, at, weight, target, to):  # type: ignore[no-untyped-def]
    store(target, to, splat(weight) * load(source, at) + splat(np.float32(1)))


@compiled
def turned(source, at, step, target, to, target_step):  # type: ignore[no-untyped-def]
    transpose(source, at, step, target, to, target_step)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_eight_neighbours_are_combined(dtype: type) -> None:
    source = np.random.default_rng(0).integers(0, 256, (5, 9)).astype(dtype)
    target = np.full(20, -1, np.float32)
    weighted(source, 11, np.float32(0.3), target, 7)
    assert (target[7:15] == source.ravel()[11:19].astype(np.float32) * np.float32(0.3) + np.float32(1)).all()
    assert (target[:7] == -1).all()
    assert (target[15:] == -1).all()


def test_rows_become_columns() -> None:
    source = np.arange(200, dtype=np.float32)
    target = np.full((9, 10), -1, np.float32)
    turned(source, 3, 11, target, 10, 10)
    rows = np.stack([source[3 + 11 * row :][:8] for row in range(8)])
    assert (target[1:, :8] == rows.T).all()
    assert (target[0] == -1).all()
    assert (target[:, 8:] == -1).all()


def test_other_types_are_refused_at_compilation() -> None:
    with pytest.raises(numba.TypingError):
        weighted(np.zeros(8), 0, np.float32(1), np.zeros(8, np.float32), 0)
    with pytest.raises(numba.TypingError):
        weighted(np.zeros((8, 16), np.uint8)[:, ::2], 0, np.float32(1), np.zeros(8, np.float32), 0)
