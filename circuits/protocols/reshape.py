"""Operands read across padding: a second sumcheck from the consumer's axes to the producer's rows.

A tensor of P·O elements lies in its producer's block as (position, feature), each padded to a power of two, and may be read
as (P', I') with P'·I' = P·O. Where neither padding interrupts the row-major order, or the axes are the same, the bits are
the same too and nothing is to be done. Otherwise, for the value x_l(ρ, σ) of step 4,

    x_l(ρ, σ) = Σ_q A_l(q)·y(q)          A_l(q) = Σ_t eq(σ, t div I')·eq(ρ, t mod I')·[t lies at row q]

over the true elements t alone. All such layers run in one sumcheck, separated by powers of λ, drawn after the values were
sent; it ends at θ with y(θ). The verifier evaluates A_l(θ) by going through the elements: linear in that tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuits.field import MODULUS, Vector, dot, make_zeros
from circuits.layout import Layer, Layout
from circuits.multilinear import compute_eq_table
from circuits.proof_bytes import compute_reshape_bits
from circuits.proof_error import require
from circuits.protocols import sumcheck
from circuits.protocols.linear import split_sigma
from circuits.tensors import Integers
from circuits.transcript import Transcript


@dataclass(frozen=True)
class Config:
    """Shapes of the step, for one layout."""

    layout: Layout

    @property
    def sumcheck(self) -> sumcheck.Config:
        return sumcheck.Config(compute_reshape_bits(self.layout), "reshape")

    def draw_powers(self, transcript: Transcript) -> list[int]:
        """1, λ, λ², … for the layers; λ is drawn only where there are any."""
        if not self.layout.reshaped:
            return []
        challenge = transcript.draw()
        return [pow(challenge, i, MODULUS) for i in range(len(self.layout.reshaped))]


def find_rows(producer: Layer) -> Integers:
    """For every true element, in row-major order, its row inside the producer's block."""
    elements = np.arange(producer.operator.size, dtype=np.int64)
    positions, features = np.divmod(elements, producer.operator.out_features)
    return (positions << producer.out_bits) + features


def compute_element_weights(layer: Layer, sigma: Sequence[int], rho: Sequence[int]) -> Vector:
    """eq of every true element with (ρ, σ), in the consumer's axes, row-major."""
    positions = compute_eq_table(split_sigma(layer, sigma)[1])[: layer.operator.positions]
    features = compute_eq_table(rho[: layer.in_bits])[: layer.operator.in_features]
    weights: Vector = np.outer(positions, features).reshape(-1) % MODULUS
    return weights


def prove(
    config: Config, transcript: Transcript, sigma: Sequence[int], rho: Sequence[int], blocks: Sequence[Vector]
) -> tuple[list[int], list[int], list[int]]:
    """Messages, θ, y(θ) per layer. `blocks` by layer index: y over each layer's block, reduced."""
    products = []
    for layer, power in zip(config.layout.reshaped, config.draw_powers(transcript), strict=True):
        producer = config.layout.find_producer(layer)
        table = make_zeros(1 << producer.block_bits)
        table[find_rows(producer)] = compute_element_weights(layer, sigma, rho)
        products.append(sumcheck.Product(power, table, blocks[producer.index], producer.block_bits))
    messages, point, ends = sumcheck.prove(config.sumcheck, transcript, products)
    return messages, point, [int(end.b[0]) for end in ends]


def verify(config: Config, transcript: Transcript, operands: Sequence[int], messages: Sequence[int]) -> tuple[list[int], list[int], int]:
    """The powers of λ, θ, and what the values there must add up to; `operands` are x_l(ρ, σ) of the reshaped layers."""
    powers = config.draw_powers(transcript)
    claim = sum(p * v for p, v in zip(powers, operands, strict=True)) % MODULUS
    point, claim = sumcheck.verify(config.sumcheck, transcript, claim, messages)
    return powers, point, claim


def check_end(
    config: Config, points: tuple[Sequence[int], Sequence[int], Sequence[int]], powers: Sequence[int], claim: int, values: Sequence[int]
) -> None:
    """Raise ProofError unless Σ λ^k·scale·A_l(θ)·y(θ) is the claim. `points` are σ, ρ, θ."""
    sigma, rho, theta = points
    total = 0
    for layer, power, value in zip(config.layout.reshaped, powers, values, strict=True):
        producer = config.layout.find_producer(layer)
        at_rows = compute_eq_table(theta[: producer.block_bits])[find_rows(producer)]
        weight = dot(compute_element_weights(layer, sigma, rho), at_rows)
        total += power * config.sumcheck.scale(producer.block_bits) % MODULUS * weight % MODULUS * value
    require((total - claim) % MODULUS == 0, "reshaped operands")
