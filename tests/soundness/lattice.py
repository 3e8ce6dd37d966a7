"""Small integers that satisfy a linear equation over the field: what a public tensor would be replaced with if nobody hashed it.

Σ w_i·d_i = 0 mod r with d_i of about 255/n bits, by lattice reduction (Lenstra, Lenstra, Lovász; all in integers: Cohen, "A Course
in Computational Algebraic Number Theory", algorithm 2.6.7).
"""

from __future__ import annotations

from collections.abc import Sequence

from circuits.field import MODULUS, invert

Row = list[int]


def find_relation(weights: Sequence[int]) -> Row:
    """The shortest row of a reduced basis, not zero."""
    inverse = invert(weights[0])
    basis = [[MODULUS] + [0] * (len(weights) - 1)]
    for i in range(1, len(weights)):
        basis.append([-weights[i] * inverse % MODULUS, *(int(i == j) for j in range(1, len(weights)))])
    reduce_basis(basis)
    shortest = min(basis, key=lambda row: sum(v * v for v in row))
    assert sum(w * d for w, d in zip(weights, shortest, strict=True)) % MODULUS == 0
    return shortest


def reduce_basis(basis: list[Row]) -> None:
    """In place. `lam[i][j]` and `d` are the Gram–Schmidt coefficients without denominators."""
    count = len(basis)
    lam = [[0] * count for _ in range(count)]
    d = [1] + [0] * count
    done, k = -1, 0
    while k < count:
        if k > done:
            done = k
            _orthogonalise(basis, lam, d, k)
        if k == 0:
            k = 1
            continue
        _reduce(basis, lam, d, k, k - 1)
        if 4 * (d[k + 1] * d[k - 1] + lam[k][k - 1] ** 2) < 3 * d[k] ** 2:
            _swap(basis, lam, d, k, done)
            k = max(1, k - 1)
        else:
            for j in reversed(range(k - 1)):
                _reduce(basis, lam, d, k, j)
            k += 1


def _orthogonalise(basis: list[Row], lam: list[Row], d: Row, k: int) -> None:
    for j in range(k + 1):
        u = sum(a * b for a, b in zip(basis[k], basis[j], strict=True))
        for i in range(j):
            u = (d[i + 1] * u - lam[k][i] * lam[j][i]) // d[i]
        if j < k:
            lam[k][j] = u
        else:
            d[k + 1] = u


def _reduce(basis: list[Row], lam: list[Row], d: Row, k: int, j: int) -> None:
    if 2 * abs(lam[k][j]) <= d[j + 1]:
        return
    q = (2 * lam[k][j] + d[j + 1]) // (2 * d[j + 1])
    basis[k] = [a - q * b for a, b in zip(basis[k], basis[j], strict=True)]
    lam[k][j] -= q * d[j + 1]
    for i in range(j):
        lam[k][i] -= q * lam[j][i]


def _swap(basis: list[Row], lam: list[Row], d: Row, k: int, done: int) -> None:
    basis[k], basis[k - 1] = basis[k - 1], basis[k]
    for j in range(k - 1):
        lam[k][j], lam[k - 1][j] = lam[k - 1][j], lam[k][j]
    m = lam[k][k - 1]
    b = (d[k - 1] * d[k + 1] + m * m) // d[k]
    for i in range(k + 1, done + 1):
        t = lam[i][k]
        lam[i][k] = (d[k + 1] * lam[i][k - 1] - m * t) // d[k]
        lam[i][k - 1] = (b * t + m * lam[i][k]) // d[k + 1]
    d[k] = b
