"""Sixteen float32 side by side, for compiled code: what LLVM's vectoriser does not find by itself.

In numba code, `splat`, `load`, `+` and `*` make and combine such values, which LLVM keeps in vector registers
of whatever width the CPU has. Every lane is rounded as a float32 of its own, so that the result is the same on
all of them. Indices count elements of the array as it lies in memory and are not checked.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from alexnet_pipeline.pixels.vectors import BYTE, pointer, read, transposed, write

COUNT = 16
# Rows and columns of the float32 that are transposed together: as many as registers hold.
SQUARE = 8
# 2 to the 23rd: float32 has no fractions from here on.
ROUNDING = 8388608.0


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES = _LanesType()
_VECTOR = ir.VectorType(ir.FloatType(), COUNT)
_INTEGERS = ir.VectorType(ir.IntType(32), COUNT)
_LEVELS = ir.VectorType(ir.IntType(8), COUNT)
_SQUARE_ROW = ir.VectorType(ir.FloatType(), SQUARE)
_ANY = ir.Constant(_VECTOR, ir.Undefined)


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


def _is_contiguous(array: Any, *dtypes: Any) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and array.dtype in dtypes


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Sixteen neighbours of a C-contiguous float32 or uint8 array, the latter turned into float32."""
    if not _is_contiguous(array, types.float32, types.uint8):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        array, index = arguments
        if array_type.dtype == types.float32:
            return builder.load(pointer(context, builder, array_type, array, index, _VECTOR), align=4)
        loaded = builder.load(pointer(context, builder, array_type, array, index, _LEVELS), align=1)
        return builder.sitofp(builder.zext(loaded, _INTEGERS), _VECTOR)

    return _LANES(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write sixteen neighbours of a C-contiguous array, into uint8 clipped and rounded half to even."""
    if not _is_contiguous(array, types.float32, types.uint8):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        array, index, value = arguments
        if array_type.dtype == types.float32:
            builder.store(value, pointer(context, builder, array_type, array, index, _VECTOR), align=4)
            return context.get_dummy_value()
        for bound, wrong in ((0.0, "<"), (255.0, ">")):
            limit = ir.Constant(_VECTOR, [bound] * COUNT)
            value = builder.select(builder.fcmp_ordered(wrong, value, limit), limit, value)
        # Beside this number there is room for integers only: adding it rounds, and leaves the level in the low byte.
        shifted = builder.fadd(value, ir.Constant(_VECTOR, [ROUNDING] * COUNT))
        low_byte = builder.and_(builder.bitcast(shifted, _INTEGERS), ir.Constant(_INTEGERS, [255] * COUNT))
        levels = builder.trunc(low_byte, _LEVELS)
        builder.store(levels, pointer(context, builder, array_type, array, index, _LEVELS), align=1)
        return context.get_dummy_value()

    return types.none(array, types.intp, _LANES), generate


@intrinsic
def copy_four(typing: Any, source: Any, at: Any, target: Any, to: Any) -> Any:
    """Copy four neighbours of a C-contiguous uint8 array."""
    if not (_is_contiguous(source, types.uint8) and _is_contiguous(target, types.uint8)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, start, to_array, to_start = arguments
        four = read(context, builder, signature.args[0], from_array, start, BYTE, 4)
        write(context, signature.args[2], to_array, to_start, four)
        return context.get_dummy_value()

    return types.none(source, types.intp, target, types.intp), generate


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """One float32 in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(_ANY, arguments[0], ir.IntType(32)(0))
        return builder.shuffle_vector(first, _ANY, ir.Constant(_INTEGERS, [0] * COUNT))

    return _LANES(types.float32), generate


@intrinsic
def transpose(typing: Any, source: Any, at: Any, step: Any, target: Any, to: Any, target_step: Any) -> Any:
    """Write the 8x8 float32 whose rows begin at `at`, `at + step`, ... as columns: rows from `to` on."""
    if not (_is_contiguous(source, types.float32) and _is_contiguous(target, types.float32)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, start, from_step, to_array, to_start, to_step = arguments
        from_type, to_type = signature.args[0], signature.args[3]
        half = ir.VectorType(ir.FloatType(), SQUARE // 2)
        starts = [start]
        for _ in range(SQUARE - 1):
            starts.append(builder.add(starts[-1], from_step))
        for left in range(0, SQUARE, SQUARE // 2):
            # Four columns of a row and of the one four below it side by side, then 4 x 4 turned in both halves, which
            # no instruction has to cross.
            parts = []
            for start in starts:
                place = builder.add(start, start.type(left))
                parts.append(builder.load(pointer(context, builder, from_type, from_array, place, half), align=4))
            rows = [builder.shuffle_vector(parts[k], parts[k + 4], _order(range(SQUARE))) for k in range(4)]
            for low, high in (((0, 8, 1, 9), (2, 10, 3, 11)),) * 2:
                one = _order([*low, *(lane + 4 for lane in low)]), _order([*high, *(lane + 4 for lane in high)])
                rows = [builder.shuffle_vector(rows[k], rows[k + 2], each) for k in range(2) for each in one]
            for row in rows:
                builder.store(row, pointer(context, builder, to_type, to_array, to_start, _SQUARE_ROW), align=4)
                to_start = builder.add(to_start, to_step)
        return context.get_dummy_value()

    index = types.intp
    return types.none(source, index, index, target, index, index), generate


@intrinsic
def transpose_levels(typing: Any, source: Any, at: Any, target: Any, to: Any, target_step: Any) -> Any:
    """Write the 16x16 uint8 that lie together from `at` on as columns: rows from `to` on, `target_step` apart."""
    if not (_is_contiguous(source, types.uint8) and _is_contiguous(target, types.uint8)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, start, to_array, to_start, to_step = arguments
        rows = []
        for _ in range(COUNT):
            rows.append(read(context, builder, signature.args[0], from_array, start, BYTE, COUNT))
            start = builder.add(start, start.type(COUNT))
        for column in transposed(rows):
            write(context, signature.args[2], to_array, to_start, column)
            to_start = builder.add(to_start, to_step)
        return context.get_dummy_value()

    index = types.intp
    return types.none(source, index, target, index, index), generate


def _order(lanes: Any) -> Any:
    chosen = list(lanes)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen)


def _define(symbol: Any, instruction: str) -> None:
    """Let an operator of two lanes be one instruction."""

    @intrinsic
    def combine(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return _LANES(_LANES, _LANES), generate

    @overload(symbol)
    def choose(a: Any, b: Any) -> Callable[..., Any] | None:
        def apply(a: Any, b: Any) -> Any:
            return combine(a, b)

        return apply if a == b == _LANES else None


_define(operator.add, "fadd")
_define(operator.mul, "fmul")
