"""Lanes against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from alexnet_pipeline.pixels.lanes import COUNT, copy_four, load, splat, store, transpose, transpose_levels

compiled = numba.njit(error_model="numpy")


@compiled
def weighted(source, at, weight, target, to):  # type: ignore[no-untyped-def]
    store(target, to, splat(weight) * load(source, at) + splat(np.float32(1)))


@compiled
def copied(source, at, target, to):  # type: ignore[no-untyped-def]
    copy_four(source, at, target, to)


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
def test_neighbours_are_combined(dtype: type) -> None:
    source = np.random.default_rng(0).integers(0, 256, (5, 9)).astype(dtype)
    target = np.full(28, -1, np.float32)
    weighted(source, 11, np.float32(0.3), target, 7)
    assert (target[7:23] == source.ravel()[11:27].astype(np.float32) * np.float32(0.3) + np.float32(1)).all()
    assert (target[:7] == -1).all()
    assert (target[23:] == -1).all()


def test_four_bytes_are_copied() -> None:
    target = np.full((3, 4), 77, np.uint8)
    copied(np.arange(20, dtype=np.uint8), 9, target, 5)
    assert target.ravel().tolist() == [77] * 5 + [9, 10, 11, 12] + [77] * 3


def test_rows_become_columns() -> None:
    source = np.arange(200, dtype=np.float32)
    target = np.full((9, 10), -1, np.float32)
    turned(source, 3, 11, target, 10, 10)
    rows = np.stack([source[3 + 11 * row :][:8] for row in range(8)])
    assert (target[1:, :8] == rows.T).all()
    assert (target[0] == -1).all()
    assert (target[:, 8:] == -1).all()


def test_levels_are_clipped_and_rounded_half_to_even() -> None:
    values = np.concatenate([np.arange(-20, 1060, dtype=np.float32) / 4, np.array([-1e9, 1e9, 0.49999997, 254.49998])])
    values = np.resize(values, 1088).astype(np.float32)
    target = np.full(1100, 77, np.uint8)
    for at in range(0, values.size, COUNT):
        levels(values, at, target, 5 + at)
    assert (target[5:1093] == np.rint(values.clip(0, 255))).all()
    assert (target[:5] == 77).all()
    assert (target[1093:] == 77).all()


def test_rows_of_levels_become_columns() -> None:
    source = np.random.default_rng(0).integers(0, 256, 270).astype(np.uint8)
    target = np.full((18, 19), 77, np.uint8)
    turned_levels(source, 5, target, 21, 19)
    assert (target[1:17, 2:18] == source[5:261].reshape(16, 16).T).all()
    assert (target[[0, 17]] == 77).all()
    assert (target[:, [0, 1, 18]] == 77).all()


def test_other_types_are_refused_at_compilation() -> None:
    with pytest.raises(numba.TypingError):
        weighted(np.zeros(8), 0, np.float32(1), np.zeros(8, np.float32), 0)
    with pytest.raises(numba.TypingError):
        weighted(np.zeros((8, 16), np.uint8)[:, ::2], 0, np.float32(1), np.zeros(8, np.float32), 0)
