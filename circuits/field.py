"""The scalar field of BLS12-381: plain Python integers in [0, MODULUS). Vectors of them are the engine's.

Source of the modulus: EIP-2537, "r".
"""

from __future__ import annotations

from collections.abc import Sequence

from circuits.errors import InvariantBroken

MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
SCALAR_BYTES = 32


def invert(value: int) -> int:
    """1/value. Raises ValueError for zero."""
    return pow(value, -1, MODULUS)


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
