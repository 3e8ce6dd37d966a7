"""Polynomials in one variable, as vectors of coefficients, lowest first: the two steps of an opening that are not sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits.field import MODULUS
from circuits.twin.arrays import (
    MAX_VARIABLES,
    Operand,
    Residues,
    Vector,
    check_length,
    check_variables,
    make_residues,
    read_vector,
    reduce,
    write_vector,
)
from circuits.twin.vectors import compute_sum

Pair = tuple[int, int]
Pairs = tuple[Pair, ...]


def multiply_tensors(terms: Sequence[tuple[Sequence[Pair], Sequence[int], Sequence[Operand]]]) -> Vector:
    """The 2^(k+1) − 1 coefficients of Σ (Σ coefficient·chunk)(X)·Π_j (a_j·X^(2^j) + b_j).

    A term is its pairs (a_j, b_j), coefficients and chunks. All terms have the same number k of pairs, and chunks of at
    most 2^k entries (ValueError otherwise, and for no term at all). Terms that share all pairs but the last are added up
    after that one, those that share all but two after the next, and so on (Horner): claims at one point cost k short
    products together, not each.
    """
    if not terms:
        raise ValueError("terms: none, so the length is unknown")
    count = len(terms[0][0])
    check_variables(count, MAX_VARIABLES)
    live: dict[Pairs, Residues] = {}
    for low, coefficients, chunks in terms:
        check_length("pairs", len(low), count)
        _add(live, tuple((reduce(a), reduce(b)) for a, b in low), compute_sum(coefficients, chunks, 1 << count))
    for level in reversed(range(count)):
        shorter: dict[Pairs, Residues] = {}
        for pairs, sums in live.items():
            _add(shorter, pairs[:level], _multiply_binomial(sums, pairs[level], 1 << level))
        live = shorter
    return write_vector(live[()])


def divide(polynomial: Vector, z: int) -> Vector:
    """The quotient by X − z, one coefficient fewer, remainder dropped. ValueError for no coefficients."""
    coefficients, factor = read_vector(polynomial, "polynomial"), reduce(z)
    if not len(coefficients):
        raise ValueError("polynomial: no coefficients")
    quotient, carry = [0] * (len(coefficients) - 1), 0
    for i in reversed(range(1, len(coefficients))):
        carry = (carry * factor + coefficients[i]) % MODULUS
        quotient[i - 1] = carry
    return write_vector(quotient)


def _add(sums: dict[Pairs, Residues], key: Pairs, polynomial: Residues) -> None:
    sums[key] = (sums[key] + polynomial) % MODULUS if key in sums else polynomial


def _multiply_binomial(polynomial: Residues, pair: Pair, step: int) -> Residues:
    """polynomial·(a·X^step + b), without the products by 0 and 1 of fixed bits and sums."""
    a, b = pair
    zeros = make_residues([0] * step)
    low, high = np.concatenate([_scale(polynomial, b), zeros]), np.concatenate([zeros, _scale(polynomial, a)])
    product: Residues = (low + high) % MODULUS
    return product


def _scale(polynomial: Residues, factor: int) -> Residues:
    if factor == 0:
        return make_residues([0] * len(polynomial))
    scaled: Residues = polynomial if factor == 1 else polynomial * factor % MODULUS
    return scaled
