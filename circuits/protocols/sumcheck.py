"""Sumcheck over sums of products: Σ_k factor_k · Σ_i a_k(i)·b_k(i), all k in one run (Thaler, chapter 4).

A message is c0, c2 of the round polynomial c0 + c1·X + c2·X²; c1 = claim − 2·c0 − c2, so that the claim is its sum over
0 and 1 by construction. A product with fewer variables is scaled by 2^-(missing variables) and constant in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from circuits.errors import InvariantBroken
from circuits.field import MODULUS, Vector, dot, evaluate_polynomial, interpolate, invert
from circuits.multilinear import fold
from circuits.transcript import Transcript

DEGREE = 2


@dataclass(frozen=True)
class Config:
    """Rounds of the whole run and the transcript's label of its messages."""

    variables: int
    label: str

    def scale(self, variables: int) -> int:
        """What a product over fewer variables is multiplied with, so that its sum over all of them stays the same."""
        return pow(invert(2), self.variables - variables, MODULUS)


@dataclass(frozen=True)
class Product:
    """One summand of the claim, both tables of 2^variables entries."""

    factor: int
    a: Vector
    b: Vector
    variables: int


def prove(config: Config, transcript: Transcript, products: Sequence[Product]) -> tuple[list[int], list[int], list[Product]]:
    """Messages, point, and the products with one entry left in each table: a and b at the point's first coordinates."""
    messages: list[int] = []
    point: list[int] = []
    live = [replace(p, factor=p.factor * config.scale(p.variables) % MODULUS) for p in products]
    for number in range(config.variables):
        values = [_sum_round(p, number, config.variables) for p in live]
        coefficients = interpolate([sum(column) % MODULUS for column in zip(*values, strict=True)])
        message = [coefficients[0], coefficients[2]]
        transcript.absorb_scalars(config.label, message)
        challenge = transcript.draw()
        live = [_bind(p, number, challenge) for p in live]
        messages += message
        point.append(challenge)
    return messages, point, live


def verify(config: Config, transcript: Transcript, claim: int, messages: Sequence[int]) -> tuple[list[int], int]:
    """The point, and the claim that Σ factor·scale·a·b must equal there: the caller checks it."""
    if len(messages) != DEGREE * config.variables:
        raise InvariantBroken("sumcheck messages of another layout")
    point = []
    for number in range(config.variables):
        c0, c2 = messages[2 * number : 2 * number + 2]
        transcript.absorb_scalars(config.label, (c0, c2))
        challenge = transcript.draw()
        claim = evaluate_polynomial([c0, (claim - 2 * c0 - c2) % MODULUS, c2], challenge)
        point.append(challenge)
    return point, claim


def _sum_round(product: Product, number: int, rounds: int) -> list[int]:
    """The round polynomial at 0, 1, 2. The variables still to come count twice each, for every product."""
    if number >= product.variables:
        constant = product.factor * int(product.a[0]) * int(product.b[0]) % MODULUS
        return [constant * pow(2, rounds - number - 1, MODULUS) % MODULUS] * (DEGREE + 1)
    a, b = product.a, product.b
    steps = a[1::2] - a[0::2], b[1::2] - b[0::2]
    sums = [dot(a[0::2] + x * steps[0], b[0::2] + x * steps[1]) for x in range(DEGREE + 1)]
    return [product.factor * s * pow(2, rounds - product.variables, MODULUS) % MODULUS for s in sums]


def _bind(product: Product, number: int, challenge: int) -> Product:
    if number >= product.variables:
        return product
    return replace(product, a=fold(product.a, challenge), b=fold(product.b, challenge))
