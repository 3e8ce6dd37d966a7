"""Vectors of field elements, and the multilinear extensions of tables (variable 0 = least significant bit of the index)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits.field import MODULUS
from circuits.twin.arrays import (
    MAX_VARIABLES,
    Integers,
    Operand,
    Residues,
    Vector,
    check_length,
    check_variables,
    make_residues,
    pad,
    read_integers,
    read_operand,
    read_vector,
    reduce,
    write_vector,
)


def from_scalars(values: Sequence[int]) -> Vector:
    """A vector of integers of any size and sign, reduced."""
    return write_vector([reduce(value) for value in values])


def to_scalars(vector: Vector) -> list[int]:
    """Its elements as integers in [0, r)."""
    return list(read_vector(vector, "vector"))


def from_integers(integers: Integers) -> Vector:
    """−1 becomes r − 1."""
    return write_vector(read_integers(integers, "integers"))


def eq_table(point: Sequence[int]) -> Vector:
    """Π_j (point_j·i_j + (1 − point_j)(1 − i_j)) for every index i of 2^len(point); i_j is bit j of i. ValueError above 30 variables."""
    check_variables(len(point), MAX_VARIABLES)
    return write_vector(compute_eq_table([reduce(x) for x in point]))


def evaluate(values: Operand, point: Sequence[int]) -> int:
    """The multilinear extension at `point`; values shorter than 2^len(point) count as padded with zeros, longer are a ValueError."""
    table = read_operand(values, "values")
    if len(table) > 1 << len(point):
        raise ValueError(f"values: {len(table)} entries, at most {1 << len(point)}")
    for x in point:
        table = fold(table, reduce(x))
    return int(table[0]) % MODULUS if len(table) else 0


def affine(constant: int, coefficients: Sequence[int], columns: Sequence[Integers]) -> Vector:
    """constant + Σ coefficient·column, elementwise. ValueError for no columns, or columns of different lengths."""
    check_length("coefficients", len(coefficients), len(columns))
    if not columns:
        raise ValueError("columns: none, so the length is unknown")
    read = [read_integers(column, "columns") for column in columns]
    for column in read:
        check_length("columns", len(column), len(read[0]))
    result = make_residues([reduce(constant)] * len(read[0]))
    for coefficient, column in zip(coefficients, read, strict=True):
        result = result + reduce(coefficient) * column
    return write_vector(result)


def invert_all(vector: Vector) -> Vector:
    """1/v_i, with one inversion and three products each (Montgomery's trick). ValueError if one is zero."""
    values = read_vector(vector, "vector")
    prefixes, product = [], 1
    for value in values:
        prefixes.append(product)
        product = product * value % MODULUS
    if product == 0:
        raise ValueError("vector: zero has no inverse")
    inverse = pow(product, -1, MODULUS)
    results = [0] * len(values)
    for i in reversed(range(len(values))):
        results[i] = inverse * prefixes[i] % MODULUS
        inverse = inverse * values[i] % MODULUS
    return write_vector(results)


def add(a: Vector, b: Vector) -> Vector:
    """Elementwise; lengths must agree."""
    left, right = read_vector(a, "a"), read_vector(b, "b")
    check_length("b", len(right), len(left))
    return write_vector(left + right)


def multiply(a: Vector, b: Operand) -> Vector:
    """Elementwise; lengths must agree."""
    left, right = read_vector(a, "a"), read_operand(b, "b")
    check_length("b", len(right), len(left))
    return write_vector(left * right)


def dot(a: Vector, b: Operand) -> int:
    """Σ a_i·b_i; lengths must agree."""
    left, right = read_vector(a, "a"), read_operand(b, "b")
    check_length("b", len(right), len(left))
    return int(sum(left * right)) % MODULUS


def contract(values: Operand, shape: tuple[int, int, int], weights: Vector) -> Vector:
    """result[o·inner + i] = Σ_k weights[k]·values[(o·n + k)·inner + i] for shape (outer, n, inner); values are flat."""
    outer, n, inner = shape
    if min(outer, n, inner) < 0:
        raise ValueError(f"shape: {shape}")
    table, vector = read_operand(values, "values"), read_vector(weights, "weights")
    check_length("values", len(table), outer * n * inner)
    check_length("weights", len(vector), n)
    if not outer * n * inner:
        return write_vector([0] * (outer * inner))
    sums: Residues = vector @ table.reshape(outer, n, inner)
    return write_vector(sums.reshape(-1))


def accumulate(coefficients: Sequence[int], chunks: Sequence[Operand], length: int) -> Vector:
    """Σ coefficient·chunk, chunks shorter than `length` padded with zeros; a longer one is a ValueError."""
    if length < 0:
        raise ValueError(f"length: {length}")
    return write_vector(compute_sum(coefficients, chunks, length))


# ---- the same inside, on Python integers -------------------------------------------------------------------------------------------


def compute_sum(coefficients: Sequence[int], chunks: Sequence[Operand], length: int) -> Residues:
    check_length("coefficients", len(coefficients), len(chunks))
    result = make_residues([0] * length)
    for coefficient, chunk in zip(coefficients, chunks, strict=True):
        result = (result + reduce(coefficient) * pad(read_operand(chunk, "chunks"), length, "chunks")) % MODULUS
    return result


def compute_eq_table(point: Sequence[int]) -> Residues:
    table = make_residues([1])
    for x in point:
        high = table * x % MODULUS
        table = np.concatenate([(table - high) % MODULUS, high])
    return table


def split(table: Residues) -> tuple[Residues, Residues]:
    """The values at 0 of variable 0, and the differences to those at 1; an odd entry at the end meets a padding zero."""
    even = pad(table, len(table) + len(table) % 2, "table")
    return even[0::2], even[1::2] - even[0::2]


def fold(table: Residues, challenge: int) -> Residues:
    """Bind variable 0: half as many entries, rounded up, reduced."""
    low, difference = split(table)
    result: Residues = (low + challenge * difference) % MODULUS
    return result
