"""The scalar field of BLS12-381: plain Python integers in [0, MODULUS), and vectors of them as numpy object arrays.

Object arrays never wrap: every element is a Python integer. They are reduced after each expression that can grow.
Source of the modulus: EIP-2537, "r".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.errors import InvariantBroken

MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
SCALAR_BYTES = 32
Vector = NDArray[np.object_]


def to_vector(values: Iterable[int]) -> Vector:
    """Integers of any sign, reduced. numpy integers become Python ones, which cannot wrap."""
    listed = [int(value) % MODULUS for value in values]
    vector: Vector = np.empty(len(listed), dtype=object)
    vector[:] = listed
    return vector


def make_zeros(count: int) -> Vector:
    return to_vector([0] * count)


def dot(a: Vector, b: Vector) -> int:
    """Σ a_i·b_i. Lengths must agree: a silently cut sum is how peers have lost soundness."""
    if a.shape != b.shape:
        raise InvariantBroken(f"a product of vectors of {a.shape} and {b.shape}")
    return int((a * b).sum()) % MODULUS if a.size else 0


def invert(value: int) -> int:
    """1/value. Raises ValueError for zero."""
    return pow(value, -1, MODULUS)


def invert_all(values: Sequence[int]) -> list[int]:
    """The inverses, with one inversion and three products each. Raises ValueError if one is zero."""
    prefixes, product = [], 1
    for value in values:
        prefixes.append(product)
        product = product * value % MODULUS
    inverse, results = invert(product), [0] * len(values)
    for index in reversed(range(len(values))):
        results[index] = inverse * prefixes[index] % MODULUS
        inverse = inverse * values[index] % MODULUS
    return results


def encode_scalar(value: int) -> bytes:
    """32 bytes, big-endian. Raises InvariantBroken unless 0 <= value < MODULUS."""
    if not 0 <= value < MODULUS:
        raise InvariantBroken("a scalar that was not reduced")
    return value.to_bytes(SCALAR_BYTES, "big")


# ---- polynomials in one variable, as the coefficients c0, c1, … ------------------------------------------------------------------


def evaluate_polynomial(coefficients: Sequence[int], x: int) -> int:
    result = 0
    for coefficient in reversed(coefficients):
        result = (result * x + coefficient) % MODULUS
    return result


def interpolate(values: Sequence[int]) -> list[int]:
    """Coefficients of the polynomial of degree below len(values) that takes values[i] at i (Lagrange)."""
    result = [0] * len(values)
    for node, value in enumerate(values):
        basis, denominator = [1], 1
        for other in range(len(values)):
            if other != node:
                basis = [a - other * b for a, b in zip([0, *basis], [*basis, 0], strict=True)]
                denominator *= node - other
        scale = value * invert(denominator % MODULUS) % MODULUS
        result = [(a + scale * b) % MODULUS for a, b in zip(result, basis, strict=True)]
    return result
