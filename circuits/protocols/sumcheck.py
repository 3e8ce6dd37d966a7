"""Sumcheck over sums of products: Σ_k factor_k · Σ_i eq_k(i)·a_k(i)·b_k(i), all k in one run (Thaler, chapter 4).

A message is c0, c2 (and c3) of the round polynomial; c1 = claim − 2·c0 − c2 − c3, so that the claim is its sum over 0 and 1
by construction. A product with fewer variables is scaled by 2^-(missing variables) and constant in them. Degree 3 only
where some product has a factor eq.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuits import engine
from circuits.engine import Operand, Vector
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, evaluate_polynomial, invert
from circuits.transcript import Transcript

HALF = invert(2)


@dataclass(frozen=True)
class Config:
    """Rounds of the whole run, degree of a round, and the transcript's label of its messages."""

    variables: int
    degree: int
    label: str

    def scale(self, variables: int) -> int:
        """What a product over fewer variables is multiplied with, so that its sum over all of them stays the same."""
        return pow(HALF, self.variables - variables, MODULUS)


@dataclass(frozen=True)
class Product:
    """One summand of the claim; tables of at most 2^variables entries, padded with zeros."""

    factor: int
    eq: Vector | None
    a: Operand
    b: Operand
    variables: int


def prove(config: Config, transcript: Transcript, products: Sequence[Product]) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Messages, point, and a and b of every product at the point's first coordinates."""
    check = engine.ProductCheck([(p.factor, p.eq, p.a, p.b, p.variables) for p in products], config.variables, config.degree)
    messages: list[int] = []
    point: list[int] = []
    for _ in range(config.variables):
        message = check.message()
        transcript.absorb_scalars(config.label, message)
        challenge = transcript.draw()
        check.bind(challenge)
        messages += message
        point.append(challenge)
    return messages, point, check.ends()


def verify(config: Config, transcript: Transcript, claim: int, messages: Sequence[int]) -> tuple[list[int], int]:
    """The point, and the claim that Σ factor·scale·eq·a·b must equal there: the caller checks it."""
    if len(messages) != config.degree * config.variables:
        raise InvariantBroken("sumcheck messages of another layout")
    point = []
    for number in range(config.variables):
        c0, *higher = messages[config.degree * number : config.degree * (number + 1)]
        transcript.absorb_scalars(config.label, (c0, *higher))
        challenge = transcript.draw()
        claim = evaluate_polynomial([c0, (claim - 2 * c0 - sum(higher)) % MODULUS, *higher], challenge)
        point.append(challenge)
    return point, claim
