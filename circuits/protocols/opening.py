"""Step 5: one opening for every claim, by one point evaluation.

With e(X) = Π_j (a_j·X^(2^j) + b_j), the tensor reversed into coefficients, and n entries a chunk, ⟨⊗ low, chunk⟩ is the
coefficient of X^(n−1) in chunk(X)·e(X). For T = Σ_k μ^k·coefficient·chunk(X)·e_k(X) and V = Σ_k μ^k·value_k,

    X·T(X) = A(X) + V·X^n + X^(n+1)·B(X)          A, B of degree below n, as everything anybody can commit to

so at a random ζ one commitment, a combination of the chunks', of A's and of B's, must open:

    F = [A] + ζ^(n+1)·[B] − ζ·Σ μ^k·coefficient·e_k(ζ)·[chunk]          takes −V·ζ^n at ζ

A counts once, and is a summand where every other commitment is multiplied: on chain that is a tenth of the gas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from circuits import engine
from circuits.claims import Claim, Low
from circuits.commitment import INFINITY, combine
from circuits.engine import Operand, Vector
from circuits.errors import InvariantBroken
from circuits.field import MODULUS
from circuits.proof_error import require
from circuits.setup import Setup
from circuits.transcript import Transcript

Place = tuple[str, int]  # a vector and the number of a chunk in it
Functionals = dict[Place, dict[Low, int]]


@dataclass(frozen=True)
class Config:
    setup: Setup

    @property
    def length(self) -> int:
        """n, the entries of a chunk."""
        return self.setup.chunk_length


def batch(claims: Sequence[Claim], mu: int) -> tuple[Functionals, int]:
    """For every chunk its functionals with their coefficients, and V."""
    functionals: Functionals = {}
    value, power = 0, 1
    for claim in claims:
        for part in claim.parts:
            of_chunk = functionals.setdefault((part.vector, part.chunk), {})
            of_chunk[part.low] = (of_chunk.get(part.low, 0) + power * part.coefficient) % MODULUS
        value, power = (value + power * claim.value) % MODULUS, power * mu % MODULUS
    return functionals, value


def evaluate_reversed(low: Low, x: int) -> int:
    """e(x) = Π_j (a_j·x^(2^j) + b_j)."""
    result = 1
    for a, b in low:
        result, x = result * (a * x + b) % MODULUS, x * x % MODULUS
    return result


def compute_scales(functionals: Functionals, zeta: int) -> dict[Place, int]:
    """−ζ·Σ μ^k·coefficient·e_k(ζ): what each chunk counts in F."""
    tensors = {low: evaluate_reversed(low, zeta) for low in {low for of_chunk in functionals.values() for low in of_chunk}}
    return {
        place: -zeta * sum(coefficient * tensors[low] for low, coefficient in of_chunk.items()) % MODULUS
        for place, of_chunk in functionals.items()
    }


def compute_product(functionals: Functionals, chunks: Mapping[Place, Operand]) -> Vector:
    """T, 2·n − 1 coefficients: the chunks of each functional added up, then multiplied by its binomials."""
    by_low: dict[Low, tuple[list[int], list[Operand]]] = {}
    for place, of_chunk in functionals.items():
        for low, coefficient in of_chunk.items():
            coefficients, summands = by_low.setdefault(low, ([], []))
            coefficients.append(coefficient)
            summands.append(chunks[place])
    return engine.multiply_tensors([(low, *parts) for low, parts in by_low.items()])


def prove(config: Config, transcript: Transcript, claims: Sequence[Claim], chunks: Mapping[Place, Operand]) -> tuple[list[bytes], bytes]:
    """A and B, and the quotient. Raises InvariantBroken if a claim is not true of the chunks."""
    functionals, value = batch(claims, transcript.draw())
    product = compute_product(functionals, chunks)
    if engine.to_scalars(product[config.length - 1 : config.length])[0] != value:
        raise InvariantBroken("a claim that does not hold of the committed values")
    return prove_product(config, transcript, functionals, chunks, product)


def prove_product(
    config: Config, transcript: Transcript, functionals: Functionals, chunks: Mapping[Place, Operand], product: Vector
) -> tuple[list[bytes], bytes]:
    """The same for any T, true or not."""
    zero = np.zeros((1, product.shape[1]), dtype=np.uint64)
    low, high = np.concatenate([zero, product[: config.length - 1]]), product[config.length :].copy()
    parts = config.setup.powers.commit_many([low, high])
    transcript.absorb_points("parts", parts)
    zeta = transcript.draw()
    scales = compute_scales(functionals, zeta)
    coefficients = [*scales.values(), 1, pow(zeta, config.length + 1, MODULUS)]
    combined = engine.accumulate(coefficients, [*(chunks[place] for place in scales), low, high], config.length)
    return parts, config.setup.powers.commit(engine.divide(combined, zeta))


def verify(
    config: Config,
    transcript: Transcript,
    claims: Sequence[Claim],
    commitments: Mapping[Place, bytes],
    parts: Sequence[bytes],
    quotient: bytes,
) -> None:
    """Raise ProofError unless every claim holds. Every commitment must be one that some claim opens."""
    functionals, value = batch(claims, transcript.draw())
    if set(functionals) != set(commitments):
        raise InvariantBroken("a commitment that is never opened, or an opening of none")
    transcript.absorb_points("parts", parts)
    zeta = transcript.draw()
    scales = compute_scales(functionals, zeta)
    points = [*(commitments[place] for place in scales), *parts]
    combined = combine(points, [*scales.values(), 1, pow(zeta, config.length + 1, MODULUS)])
    require(combined != INFINITY, "opening: the combination", "a point other than infinity")
    claimed = -value * pow(zeta, config.length, MODULUS) % MODULUS
    require(config.setup.is_evaluation(combined, zeta, claimed, quotient), "opening")
