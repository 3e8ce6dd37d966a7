"""Multilinear extensions. Variable 0 is the least significant bit of an index, and is bound first.

Points are sequences of field elements, one a variable; tables have 2^variables entries. Source: Thaler, "Proofs,
Arguments, and Zero-Knowledge", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits.errors import InvariantBroken
from circuits.field import MODULUS, Vector, make_zeros, to_vector

Point = Sequence[int]


def split_bits(value: int, count: int) -> list[int]:
    """The lowest `count` bits, least significant first."""
    return [(value >> i) & 1 for i in range(count)]


def compute_eq_table(point: Point) -> Vector:
    """eq(point, i) for every index i of 2^len(point)."""
    table = to_vector([1])
    for coordinate in point:
        high = table * coordinate % MODULUS
        table = np.concatenate([(table - high) % MODULUS, high])
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


def fold(table: Vector, challenge: int) -> Vector:
    """Bind variable 0: half as many entries."""
    low, high = table[0::2], table[1::2]
    result: Vector = (low + challenge * (high - low)) % MODULUS
    return result


def pad(values: Vector, variables: int) -> Vector:
    """Zeros behind `values`, up to 2^variables entries."""
    if len(values) > 1 << variables:
        raise InvariantBroken(f"{len(values)} values in {variables} variables")
    return np.concatenate([values, make_zeros((1 << variables) - len(values))])


def evaluate(values: Vector, point: Point) -> int:
    """The extension of `values`, padded with zeros, at `point`."""
    table = pad(values, len(point))
    for coordinate in point:
        table = fold(table, coordinate)
    return int(table[0]) % MODULUS


def evaluate_matrix(values: Vector, shape: tuple[int, int], feature_point: Point, position_point: Point) -> int:
    """The extension of a row-major (positions, features) tensor, each axis padded by itself, at a point of either axis."""
    positions, features = shape
    by_feature = (values.reshape(positions, features) * compute_eq_table(feature_point)[:features]).sum(axis=1) % MODULUS
    return int((by_feature * compute_eq_table(position_point)[:positions]).sum()) % MODULUS
