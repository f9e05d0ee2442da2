"""Integer vectors for compiled code, as formulas: `Vector` stands for a value of LLVM while code is generated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

BYTE, SHORT, WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32)


class Vector:
    """Integers side by side; operators work lane by lane and wrap, and a Python integer stands for all lanes."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value
        self.count, self.element = value.type.count, value.type.element

    def _of(self, value: Any) -> Vector:
        return Vector(self.builder, value)

    def _all(self, number: Vector | int) -> Any:
        if isinstance(number, Vector):
            return number.value
        return ir.Constant(self.value.type, [number] * self.count)

    def __add__(self, other: Vector | int) -> Vector:
        return self._of(self.builder.add(self.value, self._all(other)))

    def __sub__(self, other: Vector | int) -> Vector:
        return self._of(self.builder.sub(self.value, self._all(other)))

    def __mul__(self, other: Vector | int) -> Vector:
        return self._of(self.builder.mul(self.value, self._all(other)))

    def __rshift__(self, bits: int) -> Vector:
        return self._of(self.builder.ashr(self.value, self._all(bits)))

    def __lshift__(self, bits: int) -> Vector:
        return self._of(self.builder.shl(self.value, self._all(bits)))

    def __or__(self, other: Vector) -> Vector:
        return self._of(self.builder.or_(self.value, other.value))

    def is_zero(self) -> Any:
        """Whether all lanes are, as LLVM's truth value."""
        whole = ir.IntType(self.count * self.element.width)
        return self.builder.icmp_unsigned("==", self.builder.bitcast(self.value, whole), whole(0))

    @classmethod
    def either(cls, builder: Any, *ways: tuple[Vector, Any]) -> Vector:
        """The vector of the block of code that was come from."""
        chosen = builder.phi(ways[0][0].value.type)
        for vector, block in ways:
            chosen.add_incoming(vector.value, block)
        return cls(builder, chosen)

    def signed(self, element: Any) -> Vector:
        """Widen each lane, keeping its sign."""
        return self._of(self.builder.sext(self.value, ir.VectorType(element, self.count)))

    def unsigned(self, element: Any) -> Vector:
        """Widen each lane by zeros."""
        return self._of(self.builder.zext(self.value, ir.VectorType(element, self.count)))

    def wrapped(self, element: Any) -> Vector:
        """Narrow each lane by dropping its high bits."""
        return self._of(self.builder.trunc(self.value, ir.VectorType(element, self.count)))

    def clipped(self, element: Any, low: int, high: int) -> Vector:
        """Narrow each lane, after a clip."""
        value = self.value
        for bound, wrong in ((low, "<"), (high, ">")):
            limit = self._all(bound)
            value = self.builder.select(self.builder.icmp_signed(wrong, value, limit), limit, value)
        return self._of(value).wrapped(element)

    def take(self, lanes: Iterable[int], other: Vector | None = None) -> Vector:
        """A vector of some lanes of this one and the other, whose lanes count on from this one's."""
        chosen = list(lanes)
        order = ir.Constant(ir.VectorType(WORD, len(chosen)), chosen)
        return self._of(self.builder.shuffle_vector(self.value, (other or self).value, order))

    def interleaved(self, other: Vector) -> tuple[Vector, Vector]:
        """The lanes of both in turn: those of their first halves, those of their second halves."""
        order = [lane // 2 + lane % 2 * self.count for lane in range(2 * self.count)]
        return self.take(order[: self.count], other), self.take(order[self.count :], other)

    def halves(self) -> tuple[Vector, Vector]:
        """The first and the second half of the lanes."""
        half = self.count // 2
        return self.take(range(half)), self.take(range(half, self.count))

    def followed_by(self, other: Vector) -> Vector:
        """The lanes of both, one after the other."""
        return self.take(range(2 * self.count), other)


def transposed(vectors: list[Vector]) -> list[Vector]:
    """Transpose the 8 x 8 or 16 x 16 lanes of all vectors, taken as one sequence.

    Each perfect shuffle rotates the bits of a lane's index by one; half as many as there are bits exchange row and
    column.
    """
    half = len(vectors) // 2
    bits = (len(vectors) * vectors[0].count).bit_length() - 1
    for _ in range(bits // 2):
        vectors = [part for row in range(half) for part in vectors[row].interleaved(vectors[row + half])]
    return vectors


def pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
    """Where an array's elements from an index on lie, as LLVM's pointer to a type; not checked."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def read(context: Any, builder: Any, array_type: Any, array: Any, index: Any, element: Any, count: int) -> Vector:
    """The neighbours of an array from an index on; neither bounds nor alignment are checked."""
    place = pointer(context, builder, array_type, array, index, ir.VectorType(element, count))
    return Vector(builder, builder.load(place, align=1))


def write(context: Any, array_type: Any, array: Any, index: Any, vector: Vector) -> None:
    """Write neighbours of an array; neither bounds nor alignment are checked."""
    place = pointer(context, vector.builder, array_type, array, index, vector.value.type)
    vector.builder.store(vector.value, place, align=1)
