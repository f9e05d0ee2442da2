"""Lanes against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from alexnet_pipeline.pixels.lanes import load, splat, store, transpose, transpose_levels

compiled = numba.njit(error_model="numpy")


@compiled
def weighted(source, at, weight, target, to):  # type: ignore[no-untyped-def]
    store(target, to, splat(weight) * load(source, at) + splat(np.float32(1)))


@compiled
def turned(source, at, step, target, to, target_step):  # type: ignore[no-untyped-def]
    transpose(source, at, step, target, to, target_step)


@compiled
def levels(source, at, target, to):  # type: ignore[no-untyped-def]
    store(target, to, load(source, at))


@compiled
def turned_levels(source, at, target, to, target_step):  # type: ignore[no-untyped-def]
    transpose_levels(source, at, target, to, target_step)


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


def test_levels_are_clipped_and_rounded_half_to_even() -> None:
    values = np.array([-3, 0.5, 1.5, 2.5, 254.5, 255.5, 1e9, 3.49], np.float32)
    target = np.full(20, 77, np.uint8)
    levels(values, 0, target, 5)
    assert target[5:13].tolist() == [0, 0, 2, 2, 254, 255, 255, 3]
    assert (target[:5] == 77).all()
    assert (target[13:] == 77).all()


def test_rows_of_levels_become_columns() -> None:
    source = np.random.default_rng(0).integers(0, 256, 90).astype(np.uint8)
    target = np.full((10, 11), 77, np.uint8)
    turned_levels(source, 5, target, 13, 11)
    assert (target[1:9, 2:10] == source[5:69].reshape(8, 8).T).all()
    assert (target[[0, 9]] == 77).all()
    assert (target[:, [0, 1, 10]] == 77).all()


def test_other_types_are_refused_at_compilation() -> None:
    with pytest.raises(numba.TypingError):
        weighted(np.zeros(8), 0, np.float32(1), np.zeros(8, np.float32), 0)
    with pytest.raises(numba.TypingError):
        weighted(np.zeros((8, 16), np.uint8)[:, ::2], 0, np.float32(1), np.zeros(8, np.float32), 0)
