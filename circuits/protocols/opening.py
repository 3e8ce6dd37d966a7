"""Step 5: one opening for every claim, by one point evaluation.

With e(X) = Π_j (a_j·X^(2^j) + b_j), the tensor reversed into coefficients, and n entries a chunk, ⟨⊗ low, chunk⟩ is the
coefficient of X^(n−1) in chunk(X)·e(X). For T = Σ_k μ^k·coefficient·chunk(X)·e_k(X) and V = Σ_k μ^k·value_k,

    X·T(X) = A(X) + V·X^n + X^(n+1)·B(X)          A, B of degree below n, as everything anybody can commit to

so at a random ζ one commitment, a combination of the chunks', of A's and of B's, must open:

    F = ζ·Σ μ^k·coefficient·e_k(ζ)·[chunk] − [A] − ζ^(n+1)·[B]          takes V·ζ^n at ζ
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from py_arkworks_bls12381 import G1Point

from circuits.claims import Claim, Low
from circuits.commitment import INFINITY, combine, commit
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, Vector, make_zeros
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
    """ζ·Σ μ^k·coefficient·e_k(ζ): what each chunk counts in F."""
    tensors = {low: evaluate_reversed(low, zeta) for of_chunk in functionals.values() for low in of_chunk}
    return {
        place: zeta * sum(coefficient * tensors[low] for low, coefficient in of_chunk.items()) % MODULUS
        for place, of_chunk in functionals.items()
    }


def compute_product(functionals: Functionals, chunks: Mapping[Place, Vector], length: int) -> Vector:
    """T, 2·length − 1 coefficients. The last pair of all functionals that share the pairs before it is multiplied in at once."""
    live: dict[Low, Vector] = {}
    for place, of_chunk in functionals.items():
        for low, coefficient in of_chunk.items():
            live[low] = (live.get(low, 0) + coefficient * chunks[place]) % MODULUS
    for level in reversed(range(length.bit_length() - 1)):
        shorter: dict[Low, Vector] = {}
        for low, polynomial in live.items():
            product = _multiply_binomial(polynomial, low[level], 1 << level)
            shorter[low[:level]] = (shorter[low[:level]] + product) % MODULUS if low[:level] in shorter else product
        live = shorter
    return live[()]


def _multiply_binomial(polynomial: Vector, pair: tuple[int, int], step: int) -> Vector:
    """polynomial·(a·X^step + b), without the products by 0 and 1 of fixed bits."""
    a, b = pair
    zeros = make_zeros(step)
    low = np.concatenate([_scale(polynomial, b), zeros])
    high = np.concatenate([zeros, _scale(polynomial, a)])
    product: Vector = low + high if 0 in pair else (low + high) % MODULUS
    return product


def _scale(polynomial: Vector, factor: int) -> Vector:
    if factor == 0:
        return make_zeros(len(polynomial))
    scaled: Vector = polynomial if factor == 1 else polynomial * factor % MODULUS
    return scaled


def divide(polynomial: Vector, z: int) -> list[int]:
    """The quotient by X − z, one coefficient fewer; the remainder is the value at z."""
    quotient, carry = [0] * (len(polynomial) - 1), 0
    for index in reversed(range(1, len(polynomial))):
        carry = (carry * z + int(polynomial[index])) % MODULUS
        quotient[index - 1] = carry
    return quotient


def prove(config: Config, transcript: Transcript, claims: Sequence[Claim], chunks: Mapping[Place, Vector]) -> tuple[list[G1Point], G1Point]:
    """A and B, and the quotient. Raises InvariantBroken if a claim is not true of the chunks."""
    functionals, value = batch(claims, transcript.draw())
    product = compute_product(functionals, chunks, config.length)
    if int(product[config.length - 1]) != value:
        raise InvariantBroken("a claim that does not hold of the committed values")
    return prove_product(config, transcript, functionals, chunks, product)


def prove_product(
    config: Config, transcript: Transcript, functionals: Functionals, chunks: Mapping[Place, Vector], product: Vector
) -> tuple[list[G1Point], G1Point]:
    """The same for any T, true or not."""
    low = np.concatenate([make_zeros(1), product[: config.length - 1]])
    high = np.concatenate([product[config.length :], make_zeros(1)])
    parts = [commit(config.setup, low.tolist()), commit(config.setup, high.tolist())]
    transcript.absorb_points("parts", parts)
    zeta = transcript.draw()
    combined = -low - pow(zeta, config.length + 1, MODULUS) * high
    for place, scale in compute_scales(functionals, zeta).items():
        combined = combined + scale * chunks[place]
    return parts, commit(config.setup, divide(combined % MODULUS, zeta))


def verify(
    config: Config,
    transcript: Transcript,
    claims: Sequence[Claim],
    commitments: Mapping[Place, G1Point],
    parts: Sequence[G1Point],
    quotient: G1Point,
) -> None:
    """Raise ProofError unless every claim holds. Every commitment must be one that some claim opens."""
    functionals, value = batch(claims, transcript.draw())
    if set(functionals) != set(commitments):
        raise InvariantBroken("a commitment that is never opened, or an opening of none")
    transcript.absorb_points("parts", parts)
    zeta = transcript.draw()
    scales = compute_scales(functionals, zeta)
    points = [*(commitments[place] for place in scales), *parts]
    combined = combine(points, [*scales.values(), -1, -pow(zeta, config.length + 1, MODULUS)])
    require(combined != INFINITY, "opening: the combination", "a point other than infinity")
    claimed = value * pow(zeta, config.length, MODULUS) % MODULUS
    require(config.setup.is_evaluation(combined, zeta, claimed, quotient), "opening")
