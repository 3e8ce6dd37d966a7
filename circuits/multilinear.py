"""Multilinear extensions. Variable 0 is the least significant bit of an index, and is bound first.

Points are sequences of field elements, one a variable; tables have 2^variables entries. Source: Thaler, "Proofs,
Arguments, and Zero-Knowledge", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits import engine
from circuits.errors import InvariantBroken
from circuits.field import MODULUS
from circuits.tensors import Integers

Point = Sequence[int]


def split_bits(value: int, count: int) -> list[int]:
    """The lowest `count` bits, least significant first."""
    return [(value >> i) & 1 for i in range(count)]


def compute_eq_table(point: Point) -> list[int]:
    """eq(point, i) for every index i of 2^len(point), as a verifier uses it on one axis."""
    table = [1]
    for coordinate in point:
        high = [t * coordinate % MODULUS for t in table]
        table = [*((t - h) % MODULUS for t, h in zip(table, high, strict=True)), *high]
    return table


def compute_eq(a: Point, b: Point) -> int:
    """Π (1 − a_i)(1 − b_i) + a_i·b_i: one where two corners agree."""
    result = 1
    for x, y in zip(a, b, strict=True):
        result = result * ((1 - x) * (1 - y) + x * y) % MODULUS
    return result


def compute_prefix_mask(point: Point, count: int) -> int:
    """Σ_{i < count} eq(point, i), in one pass over the bits; 0 <= count <= 2^len(point)."""
    if not 0 <= count <= 1 << len(point):
        raise InvariantBroken(f"a mask of {count} positions in {len(point)} bits")
    if count == 1 << len(point):
        return 1
    result = 0  # the sum over the indices below `count`, of the bits seen so far
    for bit, coordinate in zip(split_bits(count, len(point)), point, strict=True):
        below = (1 - coordinate) % MODULUS
        result = (below + coordinate * result) % MODULUS if bit else below * result % MODULUS
    return result


def evaluate_tensor(values: Integers, shape: Sequence[int], point: Point) -> int:
    """The extension of a row-major tensor, each axis padded by itself, at one coordinate a bit; the last axis has the lowest."""
    padding = [(0, (1 << (size - 1).bit_length()) - size) for size in shape]
    padded = np.pad(values.reshape(shape), padding)
    return engine.evaluate(np.ascontiguousarray(padded.reshape(-1)), point)
