"""SIMD vectors of sixteen float32 for compiled code, where LLVM's vectoriser does not find them by itself.

In compiled functions, `splat`, `load`, `+` and `*` make and combine such vectors, which LLVM keeps in registers of
whatever width the CPU has. Each lane is rounded as a float32 of its own, so the result is the same on every CPU.
Indices count the elements of an array in memory order. They are not checked: only `resample` calls these functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

COUNT = 16
# Rows and columns of float32 that are transposed together, as many as fit in registers.
SQUARE = 8
# 2 to the 23rd, from where on float32 has no fractions.
ROUNDING = 8388608.0


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES = _LanesType()
_FLOAT, _BYTE, _WORD = ir.FloatType(), ir.IntType(8), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, COUNT)
_INTEGERS = ir.VectorType(_WORD, COUNT)
_LEVELS = ir.VectorType(_BYTE, COUNT)
_ANY = ir.Constant(_VECTOR, ir.Undefined)


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Load sixteen adjacent elements of a C-contiguous float32 or uint8 array, the latter converted to float32."""
    if not _is_contiguous(array, types.float32, types.uint8):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments)
        if signature.args[0].dtype == types.float32:
            return builder.load(place, align=4, typ=_VECTOR)
        levels = builder.load(place, align=1, typ=_LEVELS)
        return builder.sitofp(builder.zext(levels, _INTEGERS), _VECTOR)

    return _LANES(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Store sixteen adjacent elements of a C-contiguous array; for uint8, they are clipped and rounded half to even."""
    if not _is_contiguous(array, types.float32, types.uint8):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, value = arguments
        place = _place(context, builder, signature.args[0], array, index)
        if signature.args[0].dtype == types.float32:
            builder.store(value, place, align=4)
            return context.get_dummy_value()
        for bound, outside in ((0.0, "<"), (255.0, ">")):
            limit = ir.Constant(_VECTOR, [bound] * COUNT)
            value = builder.select(builder.fcmp_ordered(outside, value, limit), limit, value)
        # At this magnitude float32 holds only whole numbers: adding it rounds, and leaves the level in the low byte.
        shifted = builder.fadd(value, ir.Constant(_VECTOR, [ROUNDING] * COUNT))
        low_byte = builder.and_(builder.bitcast(shifted, _INTEGERS), ir.Constant(_INTEGERS, [255] * COUNT))
        builder.store(builder.trunc(low_byte, _LEVELS), place, align=1)
        return context.get_dummy_value()

    return types.none(array, types.intp, _LANES), generate


@intrinsic
def copy_four(typing: Any, source: Any, at: Any, target: Any, to: Any) -> Any:
    """Copy four adjacent elements of a C-contiguous uint8 array."""
    if not (_is_contiguous(source, types.uint8) and _is_contiguous(target, types.uint8)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_place = _place(context, builder, signature.args[0], *arguments[:2])
        to_place = _place(context, builder, signature.args[2], *arguments[2:])
        builder.store(builder.load(from_place, align=1, typ=_WORD), to_place, align=1)
        return context.get_dummy_value()

    return types.none(source, types.intp, target, types.intp), generate


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """Broadcast one float32 to all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(_ANY, arguments[0], _WORD(0))
        return _shuffle(builder, first, first, [0] * COUNT)

    return _LANES(types.float32), generate


@intrinsic
def transpose(typing: Any, source: Any, at: Any, step: Any, target: Any, to: Any, target_step: Any) -> Any:
    """Transpose 8 x 8 float32: rows are read from `at`, `step` apart, and written from `to`, `target_step` apart."""
    if not (_is_contiguous(source, types.float32) and _is_contiguous(target, types.float32)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, start, from_step, to_array, to_start, to_step = arguments
        half = ir.VectorType(_FLOAT, SQUARE // 2)
        starts = [start]
        for _ in range(SQUARE - 1):
            starts.append(builder.add(starts[-1], from_step))
        for left in range(0, SQUARE, SQUARE // 2):
            # A register gets four columns of a row, and of the row four below it. Then 4 x 4 are transposed in both
            # halves of the registers, so that no instruction crosses halves.
            parts = []
            for row_start in starts:
                index = builder.add(row_start, row_start.type(left))
                place = _place(context, builder, signature.args[0], from_array, index)
                parts.append(builder.load(place, align=4, typ=half))
            rows = [_shuffle(builder, parts[k], parts[k + 4], range(SQUARE)) for k in range(4)]
            for _ in range(2):
                rows = [
                    _shuffle(builder, rows[k], rows[k + 2], [*lanes, *(lane + 4 for lane in lanes)])
                    for k in range(2)
                    for lanes in ((0, 8, 1, 9), (2, 10, 3, 11))
                ]
            for row in rows:
                builder.store(row, _place(context, builder, signature.args[3], to_array, to_start), align=4)
                to_start = builder.add(to_start, to_step)
        return context.get_dummy_value()

    index = types.intp
    return types.none(source, index, index, target, index, index), generate


@intrinsic
def transpose_levels(typing: Any, source: Any, at: Any, target: Any, to: Any, target_step: Any) -> Any:
    """Transpose 16 x 16 uint8, contiguous from `at` on; rows are written from `to` on, `target_step` apart."""
    if not (_is_contiguous(source, types.uint8) and _is_contiguous(target, types.uint8)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, start, to_array, to_start, to_step = arguments
        rows = []
        for _ in range(COUNT):
            place = _place(context, builder, signature.args[0], from_array, start)
            rows.append(builder.load(place, align=1, typ=_LEVELS))
            start = builder.add(start, start.type(COUNT))
        # A perfect shuffle rotates the bits of a sample's index (row, column) by one; four of them swap the two.
        interleaved = [lane // 2 + lane % 2 * COUNT for lane in range(2 * COUNT)]
        for _ in range(4):
            rows = [
                _shuffle(builder, rows[row], rows[row + COUNT // 2], lanes)
                for row in range(COUNT // 2)
                for lanes in (interleaved[:COUNT], interleaved[COUNT:])
            ]
        for row in rows:
            builder.store(row, _place(context, builder, signature.args[2], to_array, to_start), align=1)
            to_start = builder.add(to_start, to_step)
        return context.get_dummy_value()

    index = types.intp
    return types.none(source, index, target, index, index), generate


def _is_contiguous(array: Any, *dtypes: Any) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and array.dtype in dtypes


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """An opaque pointer to an element of an array.

    numba's pointers have an element type in Python, for which the builder would refuse to store a vector. Passing the
    pointer through a struct with an opaque pointer drops that type, and generates no instruction.
    """
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    untyped = ir.Constant(ir.LiteralStructType([ir.PointerType()]), ir.Undefined)
    return builder.extract_value(builder.insert_value(untyped, builder.gep(data, [index]), 0), 0)


def _shuffle(builder: Any, first: Any, second: Any, lanes: Iterable[int]) -> Any:
    """A vector of chosen lanes of two vectors; the numbers of the second's lanes follow those of the first."""
    chosen = list(lanes)
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_WORD, len(chosen)), chosen))


def _define(symbol: Any, instruction: str) -> None:
    """Compile an operator on two vectors to one instruction."""

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
