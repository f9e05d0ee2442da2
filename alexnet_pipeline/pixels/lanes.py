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
_ANY = ir.Constant(_VECTOR, ir.Undefined)


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
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
            return builder.load(_pointer(context, builder, array_type, array, index, _VECTOR), align=4)
        levels = ir.VectorType(ir.IntType(8), COUNT)
        loaded = builder.load(_pointer(context, builder, array_type, array, index, levels), align=1)
        return builder.sitofp(builder.zext(loaded, _INTEGERS), _VECTOR)

    return _LANES(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write eight neighbours of a C-contiguous float32 array."""
    if not _is_contiguous(array, types.float32):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, value = arguments
        builder.store(value, _pointer(context, builder, signature.args[0], array, index, _VECTOR), align=4)
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
            rows.append(builder.load(_pointer(context, builder, from_type, from_array, start, _VECTOR), align=4))
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
            builder.store(row, _pointer(context, builder, to_type, to_array, to_start, _VECTOR), align=4)
            to_start = builder.add(to_start, to_step)
        return context.get_dummy_value()

    index = types.intp
    return types.none(source, index, index, target, index, index), generate


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
