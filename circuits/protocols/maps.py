"""Step 4b: operands that are read through an index map (windows, strides, slices, splits and merges of axes).

For such a term step 4 ended with X_t, the operand read at result positions and kernel offsets. With A_t(q) the public number
of ways in which they lead to position q of the mapped axes,

    X_t = Σ_q A_t(q)·x_t(q, …)

in one sumcheck for all such terms, separated by powers of λ, which is drawn after their values were sent. It ends at θ with
x_t there. A_t is a product over axes, and the verifier evaluates each factor by going through one axis: never through a
tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuits import engine
from circuits.engine import Integers, Operand, Vector
from circuits.field import MODULUS
from circuits.layers.axes import Kernel, Mode
from circuits.layout import count_bits
from circuits.multilinear import compute_eq_table
from circuits.plan import TermPlan, Terms
from circuits.proof_error import require
from circuits.protocols import sumcheck
from circuits.protocols.linear import Reading, compute_eq_weights
from circuits.transcript import Transcript


@dataclass(frozen=True)
class Config:
    """Shapes of the step."""

    terms: Terms

    @property
    def sumcheck(self) -> sumcheck.Config:
        return sumcheck.Config(self.terms.map_variables, 2, "maps")

    def draw_powers(self, transcript: Transcript) -> list[int]:
        """1, λ, λ², … for the terms."""
        challenge = transcript.draw()
        return [pow(challenge, i, MODULUS) for i in range(len(self.terms.mapped))]


def compute_operand(plan: TermPlan, sigma: Sequence[int], rho: Sequence[int], x: Integers) -> Operand:
    """x_t over the mapped axes alone, every other axis at its coordinates."""
    reading, of_result = Reading(x, list(plan.operand_shape)), plan.split_sigma(sigma)
    of_sum = plan.split_rho(rho)
    for a, axis in enumerate(plan.term.axes):
        size = plan.operand_shape[a]
        if axis.mode is Mode.DIRECT:
            reading.contract(a, compute_eq_weights(of_result[axis.result], size))
        elif axis.mode is Mode.FIXED:
            reading.take(a, axis.offset)
        elif not axis.is_mapped:
            reading.contract(a, compute_eq_weights(of_sum["axis", a], size))
    return reading.arrange(plan.mapped_axes)


def compute_map(plan: TermPlan, sigma: Sequence[int], rho: Sequence[int]) -> Vector:
    """A_t over the mapped axes, each padded to a power of two."""
    of_sum = plan.split_rho(rho)
    table = engine.from_scalars([1])
    for a in plan.mapped_axes:
        axis = plan.term.axes[a]
        if axis.mode is Mode.MERGED:
            continue
        kernel = None
        if axis.kernel is Kernel.WEIGHTED:
            kernel = compute_eq_table(of_sum["kernel", a])[: axis.kernel_size]
        weights = engine.from_scalars(plan.compute_axis_weights(a, sigma, kernel))
        sizes = [plan.operand_shape[a]] + ([plan.operand_shape[a + 1]] if axis.mode is Mode.MERGE else [])
        padding = [(0, (1 << count_bits(size)) - size) for size in sizes]
        weights = np.pad(weights.reshape(*sizes, 4), [*padding, (0, 0)]).reshape(-1, 4)
        repeated = np.ascontiguousarray(np.repeat(table, len(weights), axis=0))
        table = engine.multiply(repeated, np.ascontiguousarray(np.tile(weights, (len(table), 1))))
    return table


def prove(
    config: Config, transcript: Transcript, points: tuple[Sequence[int], Sequence[int]], tensors: Sequence[Integers]
) -> tuple[list[int], list[int], list[int]]:
    """Messages, θ, x_t there for every mapped term. `points` are σ, ρ."""
    products = []
    for plan, power in zip(config.terms.mapped, config.draw_powers(transcript), strict=True):
        operand = compute_operand(plan, *points, tensors[plan.term.operand])
        products.append(sumcheck.Product(power, None, compute_map(plan, *points), operand, plan.map_bits))
    messages, point, ends = sumcheck.prove(config.sumcheck, transcript, products)
    return messages, point, [b for _, b in ends]


def verify(config: Config, transcript: Transcript, operands: Sequence[int], messages: Sequence[int]) -> tuple[list[int], list[int], int]:
    """The powers of λ, θ, and what the values there must add up to; `operands` are X_t of the mapped terms."""
    powers = config.draw_powers(transcript)
    claim = sum(p * v for p, v in zip(powers, operands, strict=True)) % MODULUS
    point, claim = sumcheck.verify(config.sumcheck, transcript, claim, messages)
    return powers, point, claim


def check_end(
    config: Config, points: tuple[Sequence[int], Sequence[int], Sequence[int]], powers: Sequence[int], claim: int, values: Sequence[int]
) -> None:
    """Raise ProofError unless Σ λ^k·scale·A_t(θ)·x_t is the claim. `points` are σ, ρ, θ."""
    total = 0
    for plan, power, value in zip(config.terms.mapped, powers, values, strict=True):
        scale = power * config.sumcheck.scale(plan.map_bits) % MODULUS
        total += scale * plan.compute_map(*points) % MODULUS * value
    require((total - claim) % MODULUS == 0, "maps")
