"""A root of a polynomial of small degree over the field: by gcd with X^r − X and random splitting (Cantor, Zassenhaus)."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.field import MODULUS, invert

Polynomial = list[int]  # c0, c1, …, the last one not zero


def find_root(coefficients: Sequence[int]) -> int:
    """One root. Raises LookupError where there is none."""
    f = _trim(list(coefficients))
    linear = _gcd(f, _subtract(_power([0, 1], MODULUS, f), [0, 1])) if len(f) > 2 else f
    if len(linear) < 2:
        raise LookupError("no root")
    shift = 1
    while len(linear) > 2:
        half = _gcd(linear, _subtract(_power([shift, 1], (MODULUS - 1) // 2, linear), [1]))
        if 1 < len(half) < len(linear):
            linear = half
        shift += 1
    return -linear[0] * invert(linear[1]) % MODULUS


def solve_two(a: tuple[int, int, int], b: tuple[int, int, int]) -> tuple[int, int]:
    """x, y with a0·x + a1·y = a2 and b0·x + b1·y = b2."""
    inverse = invert((a[0] * b[1] - a[1] * b[0]) % MODULUS)
    return (a[2] * b[1] - a[1] * b[2]) * inverse % MODULUS, (a[0] * b[2] - a[2] * b[0]) * inverse % MODULUS


def _trim(f: Polynomial) -> Polynomial:
    while f and f[-1] % MODULUS == 0:
        f = f[:-1]
    return [c % MODULUS for c in f]


def _subtract(a: Polynomial, b: Polynomial) -> Polynomial:
    size = max(len(a), len(b))
    return _trim([x - y for x, y in zip(a + [0] * (size - len(a)), b + [0] * (size - len(b)), strict=True)])


def _remainder(a: Polynomial, f: Polynomial) -> Polynomial:
    a, lead = _trim(a), invert(f[-1])
    while len(a) >= len(f):
        q, shift = a[-1] * lead % MODULUS, len(a) - len(f)
        a = _trim([c - q * f[i - shift] if i >= shift else c for i, c in enumerate(a)])
    return a


def _gcd(a: Polynomial, b: Polynomial) -> Polynomial:
    while b:
        a, b = b, _remainder(a, b)
    return a


def _power(base: Polynomial, exponent: int, f: Polynomial) -> Polynomial:
    result = [1]
    for bit in bin(exponent)[2:]:
        result = _remainder(_multiply(result, result), f)
        if bit == "1":
            result = _remainder(_multiply(result, base), f)
    return result


def _multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    out = [0] * max(len(a) + len(b) - 1, 0)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = (out[i + j] + x * y) % MODULUS
    return out
