"""Eight float32 side by side, for compiled code: what LLVM's vectoriser does not find by itself.

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
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

COUNT = 8


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES = _LanesType()
_VECTOR = ir.VectorType(ir.FloatType(), COUNT)
_INTEGERS = ir.VectorType(ir.IntType(32), COUNT)
_LEVELS = ir.VectorType(ir.IntType(8), COUNT)
_ANY = ir.Constant(_VECTOR, ir.Undefined)


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


def pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
    """Where an array's elements from an index on lie, as LLVM's pointer to a type; not checked."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _is_contiguous(array: Any, *dtypes: Any) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and array.dtype in dtypes


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Eight neighbours of a C-contiguous float32 or uint8 array, the latter turned into float32."""
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
    """Write eight neighbours of a C-contiguous array, into uint8 clipped and rounded half to even."""
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
        rint = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.rint.v{COUNT}f32"
        )
        levels = builder.trunc(builder.fptosi(builder.call(rint, [value]), _INTEGERS), _LEVELS)
        builder.store(levels, pointer(context, builder, array_type, array, index, _LEVELS), align=1)
        return context.get_dummy_value()

    return types.none(array, types.intp, _LANES), generate


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """One float32 in all eight lanes."""

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
        rows = []
        for _ in range(COUNT):
            rows.append(builder.load(pointer(context, builder, from_type, from_array, start, _VECTOR), align=4))
            start = builder.add(start, from_step)
        # Swap single lanes, then pairs, then halves between rows that lie 1, 2 and 4 apart.
        for apart in (1, 2, 4):
            low = [lane if not lane & apart else lane - apart + COUNT for lane in range(COUNT)]
            high = [lane + apart if not lane & apart else lane + COUNT for lane in range(COUNT)]
            swapped = list(rows)
            for row in range(COUNT):
                if not row & apart:
                    pair = rows[row], rows[row + apart]
                    swapped[row] = builder.shuffle_vector(*pair, ir.Constant(_INTEGERS, low))
                    swapped[row + apart] = builder.shuffle_vector(*pair, ir.Constant(_INTEGERS, high))
            rows = swapped
        for row in rows:
            builder.store(row, pointer(context, builder, to_type, to_array, to_start, _VECTOR), align=4)
            to_start = builder.add(to_start, to_step)
        return context.get_dummy_value()

    index = types.intp
    return types.none(source, index, index, target, index, index), generate


@intrinsic
def transpose_levels(typing: Any, source: Any, at: Any, target: Any, to: Any, target_step: Any) -> Any:
    """Write the 8x8 uint8 that lie together from `at` on as columns: rows from `to` on, `target_step` apart."""
    if not (_is_contiguous(source, types.uint8) and _is_contiguous(target, types.uint8)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from_array, start, to_array, to_start, to_step = arguments
        from_type, to_type = signature.args[0], signature.args[2]
        two_rows = ir.VectorType(ir.IntType(8), 2 * COUNT)
        pairs = []
        for _ in range(COUNT // 2):
            pair = builder.load(pointer(context, builder, from_type, from_array, start, two_rows), align=1)
            pairs.append(builder.shuffle_vector(pair, pair, _order(lane // 2 + lane % 2 * COUNT for lane in range(16))))
            start = builder.add(start, start.type(2 * COUNT))
        # Now each holds two rows' bytes in turn; interleave pairs of bytes, then fours, between the four of them.
        for group, apart in ((2, 1), (4, 2)):
            merged = list(pairs)
            for low in (0, 1) if apart == 2 else (0, 2):
                two = pairs[low], pairs[low + apart]
                for half in (0, 1):
                    order = [
                        half * COUNT + place // (2 * group) * group + place % group + 16 * (place // group % 2)
                        for place in range(16)
                    ]
                    merged[low + half * apart] = builder.shuffle_vector(*two, _order(order))
            pairs = merged
        for which in (0, 2, 1, 3):
            for half in (0, 1):
                row = builder.shuffle_vector(
                    pairs[which], pairs[which], _order(range(half * COUNT, (half + 1) * COUNT))
                )
                builder.store(row, pointer(context, builder, to_type, to_array, to_start, _LEVELS), align=1)
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
