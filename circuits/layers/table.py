"""TABLE: any function of one activation, element by element: y = T(x), T being 4096 integers of the model.

Entry t of a table is the result for x + o = t, o being 2048 for a signed operand and 0 for a rectified one. The proof looks
(table, x + o, y) up; the entries are committed with the weights, so the model id binds them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod

import numpy as np

from circuits.layers.linear import decode_shape, encode_shape, shape_problem
from circuits.layers.term import Shape
from circuits.tensors import VALUE_BITS, Format, Integers

CODE = 0x20
LENGTH = 1 << VALUE_BITS
MAX_TABLES = 15


@dataclass(frozen=True)
class Table:
    """`number` of the table, from 0 in the order of first use."""

    operand: int
    shape: Shape
    number: int
    format: Format

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.operand,)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def problem(self, shapes: list[Shape]) -> str | None:
        """Why this operator is not acceptable behind tensors of those shapes, or None."""
        if problem := shape_problem(self.shape):
            return problem
        if shapes[self.operand] != self.shape:
            return f"shape {list(self.shape)} for an operand of {list(shapes[self.operand])}"
        return None if self.number < MAX_TABLES else f"table {self.number}, of at most {MAX_TABLES}"

    def encode(self) -> bytes:
        """One word."""
        return struct.pack(">BBBBI", CODE, self.number, self.format, len(self.shape), self.operand) + encode_shape(self.shape)


def decode(words: list[bytes], position: int) -> tuple[Table, int]:
    _, number, result, rank, operand = struct.unpack(">BBBBI", words[position][:8])
    return Table(operand, decode_shape(words[position], rank), number, Format(result)), position + 1


def run(entries: Integers, x: Integers, operand: Format) -> Integers:
    """(batch, size) to (batch, size); `operand` is the format of x."""
    result: Integers = np.take(entries, x + operand.offset)
    return result


def entries_problem(entries: Integers, result: Format) -> str | None:
    """Why these cannot be a table of results in that format, or None."""
    if entries.shape != (LENGTH,):
        return f"{entries.shape} entries, not {LENGTH}"
    if int(entries.min()) < result.low or int(entries.max()) > result.high:
        return f"an entry outside {result.low} … {result.high}"
    return None
